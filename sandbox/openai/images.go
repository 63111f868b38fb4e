package openai

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// The API's own limits of images.
const (
	maxImages, maxPrompt = 10, 32_000
	inputImageTokens     = 323
)

// imageRequest is what a request for images asks for.
type imageRequest struct {
	Model          string `json:"model"`
	Prompt         string `json:"prompt"`
	N              *int   `json:"n"`
	Size           string `json:"size"`
	Quality        string `json:"quality"`
	ResponseFormat string `json:"response_format"`
	Stream         bool   `json:"stream"`
	PartialImages  int    `json:"partial_images"`

	inputs int
	edits  bool
}

type imageData struct {
	B64JSON       string `json:"b64_json,omitempty"`
	URL           string `json:"url,omitempty"`
	RevisedPrompt string `json:"revised_prompt,omitempty"`
}

type imageTokens struct {
	TextTokens  int `json:"text_tokens"`
	ImageTokens int `json:"image_tokens"`
}

type imageUsage struct {
	TotalTokens        int         `json:"total_tokens"`
	InputTokens        int         `json:"input_tokens"`
	OutputTokens       int         `json:"output_tokens"`
	InputTokensDetails imageTokens `json:"input_tokens_details"`
}

type imageResponse struct {
	Created int64       `json:"created"`
	Data    []imageData `json:"data"`
	Usage   *imageUsage `json:"usage,omitempty"`
}

func (f *Fake) generateImages(w http.ResponseWriter, r *http.Request) {
	var req imageRequest
	if e := decode(r, &req); e != nil {
		writeError(w, http.StatusBadRequest, *e)
		return
	}
	f.paint(w, r, &req)
}

// editImages takes a form.
func (f *Fake) editImages(w http.ResponseWriter, r *http.Request) {
	form, e := readForm(r)
	if e != nil {
		writeError(w, http.StatusBadRequest, *e)
		return
	}
	req := imageRequest{
		Model: form.text("model"), Prompt: form.text("prompt"), Size: form.text("size"), Quality: form.text("quality"), ResponseFormat: form.text("response_format"),
		inputs: len(form.File["image"]) + len(form.File["image[]"]), edits: true, Stream: form.text("stream") == "true",
	}
	req.PartialImages, _ = strconv.Atoi(form.text("partial_images"))
	if n, err := strconv.Atoi(form.text("n")); err == nil {
		req.N = &n
	}
	if req.inputs == 0 {
		writeError(w, http.StatusBadRequest, missing("image"))
		return
	}
	f.paint(w, r, &req)
}

func (f *Fake) paint(w http.ResponseWriter, r *http.Request, req *imageRequest) {
	m, known := find(cmp.Or(req.Model, "dall-e-2"), imageModel)
	if !known {
		writeError(w, http.StatusNotFound, errModel(req.Model))
		return
	}
	if e := req.check(m); e != nil {
		writeError(w, http.StatusBadRequest, *e)
		return
	}
	if req.Stream {
		f.paintSlowly(w, r, req)
		return
	}
	n := 1
	if req.N != nil {
		n = *req.N
	}
	out := imageResponse{Created: f.now().Unix()}
	for i := range n {
		one := imageData{B64JSON: base64.StdEncoding.EncodeToString(picture(req.Prompt, i))}
		if m.id == "dall-e-3" {
			one.RevisedPrompt = "A picture of " + req.Prompt
			if req.ResponseFormat != "b64_json" {
				one.B64JSON, one.URL = "", fmt.Sprintf("https://images.example.com/%s.png", f.ids.Next("img-", 24))
			}
		}
		out.Data = append(out.Data, one)
	}
	if strings.HasPrefix(m.id, "gpt-image") {
		out.Usage = req.usage(n * imageTokensOf(req.Quality, req.Size))
		f.stats.prompt.Add(int64(out.Usage.InputTokens))
		f.stats.completion.Add(int64(out.Usage.OutputTokens))
	}
	writeJSON(w, out)
}

func (r *imageRequest) usage(output int) *imageUsage {
	u := imageUsage{OutputTokens: output, InputTokensDetails: imageTokens{CountTokens(r.Prompt), r.inputs * inputImageTokens}}
	u.InputTokens = u.InputTokensDetails.TextTokens + u.InputTokensDetails.ImageTokens
	u.TotalTokens = u.InputTokens + u.OutputTokens
	return &u
}

// partialTokens is what an incomplete image of a stream costs.
const partialTokens = 100

// paintSlowly streams an image after incomplete ones.
func (f *Fake) paintSlowly(w http.ResponseWriter, r *http.Request, req *imageRequest) {
	usage, kind := req.usage(imageTokensOf(req.Quality, req.Size)+partialTokens*req.PartialImages), "image_generation"
	if req.edits {
		kind = "image_edit"
	}
	event := func(name string, n int, more string) []byte {
		return fmt.Appendf(nil, "event: %s.%s\ndata: {\"type\":\"%[1]s.%[2]s\",\"b64_json\":%q,\"created_at\":%d,\"size\":%q,\"quality\":%q,\"background\":\"opaque\",\"output_format\":\"png\",%s}\n\n",
			kind, name, base64.StdEncoding.EncodeToString(picture(req.Prompt, n)), f.now().Unix(), cmp.Or(req.Size, "auto"), cmp.Or(req.Quality, "auto"), more)
	}
	f.begin(w, r, directives{}, usage.InputTokens, usage.OutputTokens-req.PartialImages).run(func(yield func(part, []byte) bool) {
		for n := range req.PartialImages {
			if !yield(delta, event("partial_image", n, fmt.Sprintf(`"partial_image_index":%d`, n))) {
				return
			}
		}
		last, _ := json.Marshal(usage) // numbers only: it cannot fail
		yield(closing, event("completed", 0, `"usage":`+string(last)))
	})
}

func (r *imageRequest) check(m model) *apiError {
	sizes, qualities := []string{"", "auto", "1024x1024", "1536x1024", "1024x1536"}, []string{"", "auto", "low", "medium", "high"}
	most := maxImages
	if m.id == "dall-e-3" {
		sizes, qualities, most = []string{"", "1024x1024", "1792x1024", "1024x1792"}, []string{"", "standard", "hd"}, 1
	}
	switch {
	case r.Prompt == "":
		e := missing("prompt")
		return &e
	case len(r.Prompt) > maxPrompt:
		return &apiError{Message: "Invalid 'prompt': string too long.", Type: typeInvalid, Param: "prompt", Code: "string_above_max_length"}
	case r.N != nil && (*r.N < 1 || *r.N > most):
		return outOfRange("n", "integer_above_max_value", "above maximum", fmt.Sprintf("<= %d, but got %d", most, *r.N))
	case !slices.Contains(sizes, r.Size):
		return wrongValue("size", r.Size, sizes)
	case !slices.Contains(qualities, r.Quality):
		return wrongValue("quality", r.Quality, qualities)
	case m.id != "dall-e-3" && r.ResponseFormat != "":
		return &apiError{Message: "Unknown parameter: 'response_format'.", Type: typeInvalid, Param: "response_format", Code: "unknown_parameter"}
	case r.Stream && m.id == "dall-e-3":
		return &apiError{Message: "Unknown parameter: 'stream'.", Type: typeInvalid, Param: "stream", Code: "unknown_parameter"}
	case r.PartialImages < 0 || r.PartialImages > 3:
		return outOfRange("partial_images", "integer_above_max_value", "above maximum", fmt.Sprintf("<= 3, but got %d", r.PartialImages))
	default:
		return nil
	}
}

func wrongValue(param, value string, allowed []string) *apiError {
	return &apiError{
		Message: fmt.Sprintf("Invalid value: '%s'. Supported values are: '%s'.", value, strings.Join(allowed[1:], "', '")),
		Type:    typeInvalid, Param: param, Code: "invalid_value",
	}
}

func missing(param string) apiError {
	return apiError{Message: fmt.Sprintf("Missing required parameter: '%s'.", param), Type: typeInvalid, Param: param, Code: "missing_required_parameter"}
}

// imageTokensOf are the tokens of an image, as OpenAI publishes them; "auto" is the dearest here.
func imageTokensOf(quality, size string) int {
	square, tall, wide := 4160, 6240, 6208
	switch quality {
	case "low":
		square, tall, wide = 272, 408, 400
	case "medium":
		square, tall, wide = 1056, 1584, 1568
	}
	switch size {
	case "1536x1024":
		return wide
	case "1024x1024":
		return square
	default:
		return tall
	}
}

// picture is a small PNG whose color depends on the prompt.
func picture(prompt string, n int) []byte {
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, prompt, n)
	sum := h.Sum32()
	img := image.NewPaletted(image.Rect(0, 0, 8, 8), color.Palette{color.RGBA{byte(sum), byte(sum >> 8), byte(sum >> 16), 255}})
	var out bytes.Buffer
	_ = png.Encode(&out, img) // into memory: it cannot fail
	return out.Bytes()
}
