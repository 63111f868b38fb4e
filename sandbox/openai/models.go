package openai

import "net/http"

// model is one row of the catalogue.
type model struct {
	id       string
	snapshot string // what an answer's "model" says
	created  int64
	kind     kind
	// reasoning models think before they answer and refuse some parameters.
	reasoning bool
	context   int // tokens
	maxOutput int // tokens
	dims      int // of an embedding
}

type kind int

const (
	chatModel kind = iota
	completionModel
	embeddingModel
	moderationModel
	imageModel
	speechModel
	transcriptionModel
)

// catalogue lists the models with the limits that OpenAI publishes.
func catalogue() []model {
	return []model{
		{id: "gpt-5", snapshot: "gpt-5-2025-08-07", created: 1754425777, reasoning: true, context: 400_000, maxOutput: 128_000},
		{id: "gpt-5-mini", snapshot: "gpt-5-mini-2025-08-07", created: 1754425928, reasoning: true, context: 400_000, maxOutput: 128_000},
		{id: "gpt-5-nano", snapshot: "gpt-5-nano-2025-08-07", created: 1754426384, reasoning: true, context: 400_000, maxOutput: 128_000},
		{id: "gpt-4.1", snapshot: "gpt-4.1-2025-04-14", created: 1744316542, context: 1_047_576, maxOutput: 32_768},
		{id: "gpt-4.1-mini", snapshot: "gpt-4.1-mini-2025-04-14", created: 1744318173, context: 1_047_576, maxOutput: 32_768},
		{id: "gpt-4.1-nano", snapshot: "gpt-4.1-nano-2025-04-14", created: 1744321707, context: 1_047_576, maxOutput: 32_768},
		{id: "gpt-4o", snapshot: "gpt-4o-2024-08-06", created: 1715367049, context: 128_000, maxOutput: 16_384},
		{id: "gpt-4o-mini", snapshot: "gpt-4o-mini-2024-07-18", created: 1721172741, context: 128_000, maxOutput: 16_384},
		{id: "o3", snapshot: "o3-2025-04-16", created: 1744225308, reasoning: true, context: 200_000, maxOutput: 100_000},
		{id: "o4-mini", snapshot: "o4-mini-2025-04-16", created: 1744225351, reasoning: true, context: 200_000, maxOutput: 100_000},
		{id: "gpt-3.5-turbo-instruct", created: 1692901427, kind: completionModel, context: 4_096, maxOutput: 4_096},
		{id: "text-embedding-3-small", created: 1705948997, kind: embeddingModel, context: 8_192, dims: 1536},
		{id: "text-embedding-3-large", created: 1705953180, kind: embeddingModel, context: 8_192, dims: 3072},
		{id: "omni-moderation-latest", snapshot: "omni-moderation-2024-09-26", created: 1731689265, kind: moderationModel},
		{id: "gpt-image-1", created: 1745517030, kind: imageModel},
		{id: "gpt-image-1-mini", created: 1758845821, kind: imageModel},
		{id: "dall-e-3", created: 1698785189, kind: imageModel},
		{id: "tts-1", snapshot: "tts-1-1106", created: 1681940951, kind: speechModel},
		{id: "tts-1-hd", snapshot: "tts-1-hd-1106", created: 1699046015, kind: speechModel},
		{id: "gpt-4o-mini-tts", snapshot: "gpt-4o-mini-tts-2025-03-20", created: 1742403959, kind: speechModel},
		{id: "whisper-1", created: 1677532384, kind: transcriptionModel},
		{id: "gpt-4o-transcribe", created: 1742068463, kind: transcriptionModel},
		{id: "gpt-4o-mini-transcribe", created: 1742068596, kind: transcriptionModel},
	}
}

// find returns the model with that name or snapshot.
func find(name string, k kind) (model, bool) {
	for _, m := range catalogue() {
		if m.kind == k && (m.id == name || m.snapshot == name) {
			return m, true
		}
	}
	return model{}, false
}

// answersAs is the name in an answer: the dated snapshot, where the real API says that.
func (m model) answersAs() string {
	if m.snapshot != "" {
		return m.snapshot
	}
	return m.id
}

type modelObject struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func modelObjects() []modelObject {
	var list []modelObject
	for _, m := range catalogue() {
		list = append(list, modelObject{m.id, "model", m.created, "system"})
		if m.snapshot != "" {
			list = append(list, modelObject{m.snapshot, "model", m.created, "system"})
		}
	}
	return list
}

func (f *Fake) listModels(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, struct {
		Object string        `json:"object"`
		Data   []modelObject `json:"data"`
	}{"list", modelObjects()})
}

func (f *Fake) getModel(w http.ResponseWriter, r *http.Request) {
	for _, m := range modelObjects() {
		if m.ID == r.PathValue("model") {
			writeJSON(w, m)
			return
		}
	}
	e := errModel(r.PathValue("model"))
	e.Param = "model"
	writeError(w, http.StatusNotFound, e)
}
