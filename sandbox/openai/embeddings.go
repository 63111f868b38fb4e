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

// The API's own limits of one request.
const (
	maxInputs      = 2048
	maxInputTokens = 300_000 // of all inputs
)

type embeddingRequest struct {
	Model          string          `json:"model"`
	Input          json.RawMessage `json:"input"`
	EncodingFormat string          `json:"encoding_format"`
	Dimensions     *int            `json:"dimensions"`

	model  model
	inputs []embeddingInput
}

// embeddingInput is one text, or one list of token numbers.
type embeddingInput struct {
	text   string
	list   []int
	tokens int
}

// words are those of the text, or the numbers.
func (in *embeddingInput) words() []string {
	words := strings.Fields(in.text)
	for _, n := range in.list {
		words = append(words, strconv.Itoa(n))
	}
	return words
}

// embed writes the vectors one by one: all of them could take 100 MB.
func (f *Fake) embed(w http.ResponseWriter, r *http.Request) {
	req, status, e := parseEmbedding(r)
	if e != nil {
		writeError(w, status, *e)
		return
	}
	r.Body, req.Input = http.NoBody, nil // a client may read slowly
	tokens := 0
	for i := range req.inputs {
		tokens += req.inputs[i].tokens
	}
	f.stats.prompt.Add(int64(tokens))
	buf := []byte(`{"object":"list","data":[`)
	for i := range req.inputs {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = fmt.Appendf(buf, `{"object":"embedding","index":%d,"embedding":`, i)
		buf = append(req.encode(buf, vector(req.inputs[i].words(), req.dims())), '}')
		if _, err := w.Write(buf); err != nil { //nolint:gosec // JSON of numbers, sent as such
			panic(http.ErrAbortHandler)
		}
		req.inputs[i], buf = embeddingInput{}, buf[:0]
	}
	_, _ = fmt.Fprintf(w, `],"model":%q,"usage":{"prompt_tokens":%d,"total_tokens":%d}}`+"\n", req.model.id, tokens, tokens)
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
		r.inputs = append(r.inputs, embeddingInput{text: t, tokens: CountTokens(t)})
	}
	for _, list := range lists {
		r.inputs = append(r.inputs, embeddingInput{list: list, tokens: len(list)})
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
	total := 0
	for _, in := range r.inputs {
		if in.tokens == 0 {
			return errInput
		}
		if total += in.tokens; total > maxInputTokens {
			return &apiError{
				Message: fmt.Sprintf("Invalid 'input': maximum request size is %d tokens per request.", maxInputTokens),
				Type:    typeInvalid, Param: "input", Code: "max_tokens_per_request",
			}
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

// encode appends a vector as JSON: a list of numbers, or their bytes in base64.
func (r *embeddingRequest) encode(buf []byte, v []float32) []byte {
	if r.EncodingFormat != "base64" {
		buf = append(buf, '[')
		for i, x := range v {
			if i > 0 {
				buf = append(buf, ',')
			}
			buf = strconv.AppendFloat(buf, float64(x), 'g', -1, 32)
		}
		return append(buf, ']')
	}
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return append(base64.StdEncoding.AppendEncode(append(buf, '"'), raw), '"')
}
