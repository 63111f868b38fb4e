package openai

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// maxInputs is the API's own limit of inputs in one request.
const maxInputs = 2048

type embeddingRequest struct {
	Model          string          `json:"model"`
	Input          json.RawMessage `json:"input"`
	EncodingFormat string          `json:"encoding_format"`
	Dimensions     *int            `json:"dimensions"`

	model  model
	inputs []embeddingInput
}

// embeddingInput is one text, or one list of token numbers written as words.
type embeddingInput struct {
	words  []string
	tokens int
}

type embeddingObject struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"`
}

type embeddingResponse struct {
	Object string            `json:"object"`
	Data   []embeddingObject `json:"data"`
	Model  string            `json:"model"`
	Usage  struct {
		PromptTokens int `json:"prompt_tokens"`
		TotalTokens  int `json:"total_tokens"`
	} `json:"usage"`
}

func (f *Fake) embed(w http.ResponseWriter, r *http.Request) {
	req, status, e := parseEmbedding(r)
	if e != nil {
		writeError(w, status, *e)
		return
	}
	resp := embeddingResponse{Object: "list", Model: req.model.id}
	for i, input := range req.inputs {
		resp.Data = append(resp.Data, embeddingObject{"embedding", i, req.encode(vector(input.words, req.dims()))})
		resp.Usage.PromptTokens += input.tokens
	}
	resp.Usage.TotalTokens = resp.Usage.PromptTokens
	f.stats.prompt.Add(int64(resp.Usage.PromptTokens))
	writeJSON(w, resp)
}

func parseEmbedding(r *http.Request) (*embeddingRequest, int, *apiError) {
	req := &embeddingRequest{}
	if e := decode(r, req); e != nil {
		return nil, http.StatusBadRequest, e
	}
	if req.Model == "" {
		return nil, http.StatusBadRequest, &apiError{Message: "you must provide a model parameter", Type: typeInvalid}
	}
	m, ok := find(req.Model, embeddingModel)
	if !ok {
		e := errModel(req.Model)
		return nil, http.StatusNotFound, &e
	}
	req.model = m
	if e := req.checkShape(); e != nil {
		return nil, http.StatusBadRequest, e
	}
	if e := req.readInputs(); e != nil {
		return nil, http.StatusBadRequest, e
	}
	return req, 0, nil
}

func (r *embeddingRequest) checkShape() *apiError {
	if d := r.Dimensions; d != nil && (*d < 1 || *d > r.model.dims) {
		return &apiError{
			Message: fmt.Sprintf("Invalid value for 'dimensions' = %d. Must be between 1 and %d.", *d, r.model.dims), Type: typeInvalid, Param: "dimensions",
		}
	}
	switch r.EncodingFormat {
	case "", "float", "base64":
		return nil
	default:
		return &apiError{
			Message: fmt.Sprintf("Invalid value: '%s'. Supported values are: 'float' and 'base64'.", r.EncodingFormat),
			Type:    typeInvalid, Param: "encoding_format", Code: "invalid_value",
		}
	}
}

func (r *embeddingRequest) dims() int {
	if r.Dimensions != nil {
		return *r.Dimensions
	}
	return r.model.dims
}

// readInputs accepts a string, a list of strings, a list of tokens and a list of lists of tokens.
func (r *embeddingRequest) readInputs() *apiError {
	if len(r.Input) == 0 || string(r.Input) == "null" {
		return &apiError{Message: "Missing required parameter: 'input'.", Type: typeInvalid, Param: "input", Code: "missing_required_parameter"}
	}
	text, isText := as[string](r.Input)
	texts, areTexts := as[[]string](r.Input)
	tokens, isTokens := as[[]int](r.Input)
	lists, areLists := as[[][]int](r.Input)
	switch {
	case isText:
		texts = []string{text}
	case isTokens:
		lists = [][]int{tokens}
	case !areTexts && !areLists:
		return errInput
	}
	for _, t := range texts {
		r.inputs = append(r.inputs, embeddingInput{strings.Fields(t), CountTokens(t)})
	}
	for _, list := range lists {
		in := embeddingInput{tokens: len(list)}
		for _, n := range list {
			in.words = append(in.words, strconv.Itoa(n))
		}
		r.inputs = append(r.inputs, in)
	}
	return r.checkInputs()
}

// as decodes raw, or returns the zero value and false.
func as[T any](raw json.RawMessage) (T, bool) {
	var v, none T
	if json.Unmarshal(raw, &v) != nil {
		return none, false
	}
	return v, true
}

var errInput = &apiError{Message: "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.", Type: typeInvalid, Param: "input"}

func (r *embeddingRequest) checkInputs() *apiError {
	if len(r.inputs) == 0 || len(r.inputs) > maxInputs {
		return errInput
	}
	for _, in := range r.inputs {
		if in.tokens == 0 {
			return errInput
		}
		if in.tokens > r.model.context {
			return &apiError{
				Message: fmt.Sprintf("This model's maximum context length is %d tokens, however you requested %d tokens (%d in your prompt; 0 for the "+
					"completion). Please reduce your prompt; or completion length.", r.model.context, in.tokens, in.tokens),
				Type: typeInvalid,
			}
		}
	}
	return nil
}

// vector places a text by its words, so that texts that share words are near one another. Its length is 1.
func vector(words []string, dims int) []float32 {
	sum := make([]float64, dims)
	for _, word := range words {
		h := fnv.New64a()
		_, _ = h.Write([]byte(strings.ToLower(word)))
		g := generator(h.Sum64())
		for i := range sum {
			sum[i] += float64(g.next()>>11)/(1<<52) - 1
		}
	}
	var square float64
	for _, v := range sum {
		square += v * v
	}
	out := make([]float32, dims)
	for i, v := range sum {
		out[i] = float32(v / math.Sqrt(square))
	}
	return out
}

func (r *embeddingRequest) encode(v []float32) any {
	if r.EncodingFormat != "base64" {
		return v
	}
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return base64.StdEncoding.EncodeToString(raw)
}
