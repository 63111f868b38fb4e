package gateway

import "strings"

// unbuilt are paths of OpenAI's API that Trivet does not have, by prefix, with what to use instead.
var unbuilt = []struct{ prefix, instead string }{
	{"/v1/chat/completions/", "Chat completions are not stored. Set store to false and keep the response."},
	{"/v1/assistants", "Use POST /v1/responses and continue a conversation by its previous_response_id."},
	{"/v1/threads", "Use POST /v1/responses and continue a conversation by its previous_response_id."},
	{"/v1/conversations", "Use POST /v1/responses and continue a conversation by its previous_response_id."},
	{"/v1/realtime", "Use POST /v1/chat/completions with stream: true."},
	{"/v1/batches", "Send the requests one by one to POST /v1/chat/completions or POST /v1/embeddings."},
	{"/v1/videos", "Videos are not available through Trivet; use POST /v1/images/generations for images."},
	{"/v1/containers", "Use POST /v1/responses with the tool code_interpreter and container: {\"type\": \"auto\"}."},
	{"/v1/chatkit", "Use POST /v1/responses and continue a conversation by its previous_response_id."},
	{"/v1/skills", "Send instructions and tools with each request to POST /v1/responses."},
	{"/v1/edits", "Use POST /v1/chat/completions."},
	{"/v1/engines", "Use POST /v1/completions with the field model."},
	{"/v1/images/variations", "Use POST /v1/images/edits."},
	{"/v1/images", "Use POST /v1/images/generations or POST /v1/images/edits."},
	{"/v1/audio", "Use POST /v1/audio/speech, POST /v1/audio/transcriptions or POST /v1/audio/translations."},
	{"/v1/files", "Files are not stored; send their content within the messages."},
	{"/v1/uploads", "Files are not stored; send their content within the messages."},
	{"/v1/vector_stores", "Store the vectors of POST /v1/embeddings in a database of your own."},
	{"/v1/fine_tuning", "Fine-tune at the provider, then add the model to MODELS_FILE."},
	{"/v1/evals", "Evaluations are not available through Trivet."},
	{"/v1/organization", "The provider's administration is not available through Trivet."},
	{"/v1/projects", "The provider's administration is not available through Trivet."},
}

// withoutVersion are the paths of clients whose base URL lacks /v1.
var withoutVersion = []string{"/chat/completions", "/responses", "/completions", "/embeddings", "/moderations", "/models", "/images/", "/audio/"}

// notFound is the message for an unknown path. Base addresses that lack /v1, or have it twice, are the usual mistakes.
func notFound(path string) string {
	for _, u := range unbuilt {
		if rest, ok := strings.CutPrefix(path, u.prefix); ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(u.prefix, "/")) {
			return "Trivet does not have " + u.prefix + ". " + u.instead
		}
	}
	if strings.HasPrefix(path, "/v1/v1/") {
		return "Not found. The base URL has /v1 twice; use it once."
	}
	for _, known := range withoutVersion {
		if strings.HasPrefix(path, known) {
			return "Not found. Add /v1 to the base URL."
		}
	}
	return "Not found. /docs lists all paths."
}
