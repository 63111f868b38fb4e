package wire_test

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

var (
	model     = models.Model{ID: "gpt-5", Kind: models.KindChat, Vocabulary: models.VocabularyO200k, ContextTokens: 400_000, MaxImageTokens: 4_096}
	embedding = models.Model{ID: "e", Kind: models.KindEmbedding, Vocabulary: models.VocabularyCl100k, ContextTokens: 8191}
)

func parse(t testing.TB, endpoint aiv1.Endpoint, body string) *wire.Request {
	t.Helper()
	r, err := wire.Parse(endpoint, []byte(body), nil)
	require.NoError(t, err)
	return r
}

// count counts an input within a large budget.
func count(t testing.TB, counter *tokens.Counter, r *wire.Request, m models.Model) int64 {
	t.Helper()
	budget := counter.Budget(t.Context(), m.Vocabulary, 64<<20)
	defer budget.Close()
	return r.CountInput(m, budget)
}

// sound is the content of a message with an uncompressed sound of one byte a sample.
func sound(rate, samples int) string {
	file := []byte("RIFF....WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00....----\x01\x00\x08\x00data....")
	binary.LittleEndian.PutUint32(file[24:], uint32(rate))
	file = append(file, make([]byte, samples)...)
	return `[{"type":"input_audio","input_audio":{"data":"` + base64.StdEncoding.EncodeToString(file) + `","format":"wav"}}]`
}

func TestInputIsBounded(t *testing.T) {
	counter := tokens.NewCounter()
	image := `{"type":"image_url","image_url":{"url":"data:image/png;base64,` + strings.Repeat("A", 100_000) + `"}}`
	message := func(content string) string {
		return `{"model":"m","messages":[{"role":"user","content":` + content + `}]}`
	}
	cases := map[string]struct {
		body     string
		model    models.Model
		counted  int64 // exactly, by the tokenizer
		boundMax int64
	}{
		"text":           {message(`"hello world"`), model, 3 + 4 + 2, 80},
		"escapes":        {message(`"\u0068\u0065\u006c\u006c\u006f"`), model, 3 + 4 + 1, 100},
		"parts":          {message(`[{"type":"text","text":"hello"},{"type":"text","text":"world"}]`), model, 3 + 4 + 2, 130},
		"image":          {message(`[` + image + `]`), model, 3 + 4 + 4096, 4300},
		"large image":    {message(`[` + image + `]`), models.Model{Vocabulary: models.VocabularyO200k, ContextTokens: 128_000, MaxImageTokens: 48_169}, 3 + 4 + 48169, 48_400},
		"two images":     {message(`[` + image + `,` + image + `]`), model, 3 + 4 + 2*4096, 8500},
		"content alone":  {message(image), model, 3 + 4 + 4096, 4300},
		"unknown image":  {message(`[` + image + `]`), models.Model{Vocabulary: models.VocabularyO200k, ContextTokens: 128_000}, 128_000, 128_000},
		"video":          {message(`[{"type":"video_url","video_url":{"url":"https://example.com/a.mp4"}}]`), model, 400_000, 400_000},
		"another audio":  {message(`[{"type":"audio_url","audio_url":null},{"type":"audio_url","audio_url":{"url":"https://example.com/a"}}]`), model, 400_000, 400_000},
		"in capitals":    {message(`[{"type":"image_url","Image_URL":{"url":"https://example.com/a"}}]`), model, 400_000, 400_000},
		"of no sound":    {message(`[{"type":"text","text":"hello","audio":null,"video":null}]`), model, 3 + 4 + 1 + 2, 120},
		"audio":          {message(sound(16_000, 48_000)), model, 3 + 4 + 1001, 1200},
		"slow audio":     {message(sound(100, 1_000)), model, 3 + 4 + 11*32, 500},
		"audio as a URL": {message(strings.Replace(sound(100, 1_000), `"data":"`, `"data":"data:audio\/wav;base64,`, 1)), model, 3 + 4 + 11*32, 500},
		"two sounds":     {message(`[` + strings.Trim(sound(100, 1_000), "[]") + `,` + strings.Trim(sound(100, 1_000), "[]") + `]`), model, 3 + 4 + 2*11*32, 900},
		"other audio":    {message(`[{"type":"input_audio","input_audio":{"data":"T2dnUw==","format":"wav"}}]`), model, 400_000, 400_000},
		"no base64":      {message(`[{"type":"input_audio","input_audio":{"data":"????","format":"wav"}}]`), model, 400_000, 400_000},
		"audio, no text": {message(`[{"type":"input_audio","input_audio":{"data":[1,2]}}]`), model, 400_000, 400_000},
		"file":           {message(`[{"type":"file","file":{"file_data":"f"}}]`), model, 400_000, 400_000},
		"name and tools": {`{"model":"m","messages":[{"role":"user","name":"ann","content":"hello"}],"tools":[{"a":"hello"}]}`, model, 3 + 4 + 1 + 1 + 64 + 7, 200},
		"calls of tools": {`{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"xxxxxxxxxxxxxxx","function":{"name":"hello","arguments":"world"}}]}]}`, model, 3 + 4 + 8 + 3 + 2, 200},
		"custom calls":   {`{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c1","type":"custom","custom":{"name":"hello","input":"world"}}]}]}`, model, 3 + 4 + 8 + 2 + 2, 200},
		"old calls":      {`{"model":"m","messages":[{"role":"assistant","function_call":{"name":"hello","arguments":"world"}}]}`, model, 3 + 4 + 2, 200},
		"refusal":        {`{"model":"m","messages":[{"role":"assistant","refusal":"hello"}]}`, model, 3 + 4 + 1, 200},
		"functions":      {`{"model":"m","messages":[{"role":"user","content":"hello"}],"functions":[{"a":"hello"}]}`, model, 3 + 4 + 1 + 64 + 7, 300},
		"unknown member": {`{"model":"m","messages":[{"role":"user","hello":{"hello":["world",7,true]}}],"documents":["hello"],"user":"hello","metadata":{"hello":"world"}}`, model, 3 + 4 + 4 + 3, 300},
		"answer schema":  {`{"model":"m","messages":[{"role":"user","content":"hello"}],"response_format":{"a":"hello"}}`, model, 3 + 4 + 1 + 64 + 5, 300},
		"no messages":    {`{"model":"m","messages":[1,null,"x"]}`, model, 3 + 3*4 + 2, 60},
		"more than fits": {message(`"` + strings.Repeat("a b ", 300_000) + `"`), model, 400_000, 400_000},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := parse(t, wire.Chat, c.body)
			require.Equal(t, c.counted, count(t, counter, r, c.model))
			bound := r.InputBound(c.model)
			require.GreaterOrEqual(t, bound, c.counted, "the bound is above the count")
			require.LessOrEqual(t, bound, c.boundMax)
			require.Positive(t, r.GuessInput(c.model))
			require.LessOrEqual(t, r.GuessInput(c.model), bound)
		})
	}
}

// TestAnUnknownImageIsHeldForTheContext, also where the text is counted: the number that is expected of it bounds nothing.
func TestAnUnknownImageIsHeldForTheContext(t *testing.T) {
	m := models.Model{Vocabulary: models.VocabularyO200k, ContextTokens: 128_000}
	r := parse(t, wire.Chat, `{"model":"m","messages":[{"content":"a"},{"content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:x"}}]}]}`)
	require.EqualValues(t, 128_000, r.InputBound(m))
	require.Equal(t, "messages[1].content[1].image_url", r.ImageAt())
	require.Less(t, r.GuessInput(m), int64(5000))
	require.Equal(t, "messages[0].content.image_url", parse(t, wire.Chat, `{"model":"m","messages":[{"content":{"image_url":"x"}},{"content":[{"image_url":"x"}]}]}`).ImageAt())
	require.Empty(t, parse(t, wire.Chat, `{"model":"m","messages":[{"content":[{"type":"text","text":"a"}]}]}`).ImageAt())
	r = parse(t, wire.Responses, `{"model":"m","input":[{"role":"user","content":[{"type":"input_image","image_url":null},{"type":"input_image","image_url":"x"},{"type":"input_image","image_url":"y"}]}]}`)
	require.Equal(t, "input[0].content[1].image_url", r.ImageAt())
	require.EqualValues(t, 128_000, r.InputBound(m))
	video := parse(t, wire.Responses, `{"model":"m","input":[{"role":"user","content":[{"type":"input_video","video_url":"x"}]}]}`)
	require.Equal(t, model.ContextTokens, video.InputBound(model))
	require.Less(t, parse(t, wire.Responses, `{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"x","video_url":null}]}]}`).InputBound(model), int64(200))
}

func TestOnlyPayloadsAreLeftOut(t *testing.T) {
	// Only what can't be text is left out of the bound: a text elsewhere counts, whatever its member is called.
	long := strings.Repeat("word ", 2_000)
	for name, body := range map[string]string{
		"member of the message": fmt.Sprintf(`{"model":"m","messages":[{"role":"user","content":"hi","image_url":%q}]}`, long),
		"member of the body":    fmt.Sprintf(`{"model":"m","messages":[{}],"image_url":%q}`, long),
		"schema":                fmt.Sprintf(`{"model":"m","messages":[{}],"tools":[{"content":[{"image_url":%q}]}]}`, long),
		"deeper":                fmt.Sprintf(`{"model":"m","messages":[{"content":[[{"image_url":%q}]]}]}`, long),
	} {
		require.Greater(t, parse(t, wire.Chat, body).InputBound(model), int64(10_000), name)
	}
}

// TestTextBesideAPayloadCounts: only the payload itself is not text.
func TestTextBesideAPayloadCounts(t *testing.T) {
	counter := tokens.NewCounter()
	long := strings.Repeat("word ", 2_000)
	wav := strings.Split(sound(8_000, 100), `"`)[9]
	for name, part := range map[string]string{
		"image": `{"type":"image_url","image_url":{"url":"data:x","caption":%q}}`,
		"audio": `{"type":"input_audio","input_audio":{"data":"` + wav + `","format":"wav","transcript":%q}}`,
		"key":   `{"type":"image_url","image_url":{"url":"data:x",%q:1}}`,
		"label": `{"type":"image_url","image_url":{"url":"data:x","detail":%q}}`,
	} {
		with := func(text string) *wire.Request {
			return parse(t, wire.Chat, `{"model":"m","messages":[{"content":[`+fmt.Sprintf(part, text)+`]}]}`)
		}
		more := count(t, counter, with(long), model) - count(t, counter, with("low"), model)
		require.InDelta(t, 2_000, more, 10, name)
		require.Equal(t, int64(len(long)-len("low")), with(long).InputBound(model)-with("low").InputBound(model), name)
	}
}

func TestEmbeddingInputs(t *testing.T) {
	counter := tokens.NewCounter()
	for input, want := range map[string]int64{
		`"hello world"`: 2, `["hello","world"]`: 2, `[1,2,3]`: 3, `[[1,2],[3]]`: 3, `[["x"]]`: 1, `[null]`: 1,
		`[{"image":"https://example.com/a"},{}]`: 2*8191 + 6,
	} {
		r := parse(t, wire.Embeddings, `{"model":"m","input":`+input+`}`)
		require.Equal(t, want, count(t, counter, r, embedding), input)
		require.GreaterOrEqual(t, r.InputBound(embedding), want, input)
	}
}

// FuzzBound checks that the tokenizer never counts more than the bound by bytes says, beyond what frames the turns.
func FuzzBound(f *testing.F) {
	counter := tokens.NewCounter()
	f.Add([]byte(`{"model":"m","messages":[{"content":"hi \u00e9\n"}],"tools":[{}],"response_format":{"x":1}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := wire.Parse(wire.Chat, body, nil)
		if err != nil {
			return
		}
		require.LessOrEqual(t, count(t, counter, r, model), r.InputBound(model))
	})
}
