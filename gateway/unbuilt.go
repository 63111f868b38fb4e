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
	{"/v1/images/variations", "Use POST /v1/images/edits."},
	{"/v1/images", "Use POST /v1/images/generations or POST /v1/images/edits."},
	{"/v1/audio", "Use POST /v1/audio/speech, POST /v1/audio/transcriptions or POST /v1/audio/translations."},
	{"/v1/files", "Files are not stored; send their content within the messages."},
	{"/v1/uploads", "Files are not stored; send their content within the messages."},
	{"/v1/vector_stores", "Store the vectors of POST /v1/embeddings in a database of your own."},
	{"/v1/fine_tuning", "Fine-tune at the provider, then add the model to MODELS_FILE."},
	{"/v1/evals", "Evaluations are not available through Trivet."},
	{"/v1/organization", "The provider's administration is not available through Trivet."},
}

// notFound is the message for an unknown path. Base addresses that lack /v1, or have it twice, are the usual mistakes.
func notFound(path string) string {
	for _, u := range unbuilt {
		if rest, ok := strings.CutPrefix(path, u.prefix); ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(u.prefix, "/")) {
			return "Trivet does not have " + u.prefix + ". " + u.instead
		}
	}
	switch {
	case strings.HasPrefix(path, "/v1/v1/"):
		return "Not found. The base URL has /v1 twice; use it once."
	case strings.HasPrefix(path, "/chat/completions"), strings.HasPrefix(path, "/embeddings"), strings.HasPrefix(path, "/models"), strings.HasPrefix(path, "/responses"):
		return "Not found. Add /v1 to the base URL."
	default:
		return "Not found. /docs lists all paths."
	}
}
