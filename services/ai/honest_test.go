package ai_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/ai/internal/billingtest"
)

// honestCall is a request, and what a provider that keeps to the request that reached it makes of it.
type honestCall struct {
	endpoint aiv1.Endpoint
	request  posted
	// serve returns the answer to the body that arrived, and what the provider charges for it, in nano-dollars.
	serve func(body []byte) (answer string, cost int64)
}

// honest is such a provider. It serves one call at a time.
type honest struct {
	mu     sync.Mutex
	call   honestCall
	fails  bool // the next request, which is for a model that the target lacks
	served int
	cost   int64
}

func (p *honest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	if p.fails {
		p.fails = false
		w.WriteHeader(http.StatusNotFound)
		return
	}
	var answer string
	answer, p.cost = p.call.serve(body)
	p.served++
	w.Header().Set("Content-Type", "application/json")
	if p.call.endpoint == speech {
		w.Header().Set("Content-Type", "audio/mpeg")
	}
	_, _ = io.WriteString(w, answer)
}

// done returns how many requests were served.
func (p *honest) done() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.served
}

// charged returns the price of the last one.
func (p *honest) charged() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cost
}

// TestHoldsCoverWhatAProviderCharges: for every feature that has a price, a provider that keeps to the bounds that it was sent never
// charges more than is held, and exactly what the caller pays. It counts and prices without any code from Trivet. Accounts that
// afford all that they ask for make the calls, and then accounts that may not.
func TestHoldsCoverWhatAProviderCharges(t *testing.T) {
	provider := &honest{}
	server := serve(t, provider.ServeHTTP)
	h := newFixture(t, withModels(fmt.Sprintf(dearModels, server, server)))
	poor := 0
	rapid.Check(t, func(t *rapid.T) {
		call, fails := drawHonestCall(h.t, t), rapid.Bool().Draw(t, "first target fails")
		provider.mu.Lock()
		provider.call, provider.fails = call, fails
		provider.mu.Unlock()
		h.billing.SetBalance(billingtest.Unlimited)
		percent := rapid.Int64Range(1, 110).Draw(t, "balance")
		for _, rich := range []bool{true, false} {
			before, logged, served := len(h.billing.Holds()), len(h.logged.String()), provider.done()
			a := h.send(call.endpoint, call.request)
			if a.err != nil && !rich && percent < 100 {
				require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE.String(), a.err.Reason.String(), a.err.Message)
				require.Equal(t, served, provider.done(), "the provider got a request that was refused")
				return
			}
			require.Nil(t, a.err)
			require.EqualValues(t, http.StatusOK, a.head.GetStatus(), a.body)
			holds := h.billing.Holds()[before:]
			hold := holds[len(holds)-1] // the first one may have been replaced
			cost := provider.charged()
			require.LessOrEqual(t, cost, hold.Response.GetHeldNanoUsd(), "the hold does not cover what the provider charges")
			require.NotContains(t, h.logged.String()[logged:], "exceeds the bound")
			require.Len(t, hold.Settled, 1)
			require.Equal(t, cost, hold.Cost, "the caller pays what the provider charges")
			if !rich {
				poor++
			}
			h.billing.SetBalance(hold.Response.GetHeldNanoUsd() * percent / 100)
		}
	})
	require.Positive(t, poor, "no poor account ever got a hold")
}

func drawHonestCall(all testing.TB, t *rapid.T) honestCall {
	switch kind := rapid.SampledFrom([]string{"chat", "tools", "completion", "embedding", "generation", "edit", "paint", "say", "hear", "listen"}).Draw(t, "kind"); kind {
	case "chat":
		return honestChat(t)
	case "tools":
		return honestTools(t)
	case "completion":
		return honestCompletion(t)
	case "embedding":
		return honestEmbedding(t)
	case "generation":
		stream := ""
		images, partials := rapid.Int64Range(1, 10).Draw(t, "n"), int64(0)
		if rapid.Bool().Draw(t, "stream") {
			images, partials = 1, rapid.Int64Range(0, 3).Draw(t, "partials")
			stream = fmt.Sprintf(`,"stream":true,"partial_images":%d`, partials)
		}
		prompt := "a" + drawText(t, 1000)
		request := plain(fmt.Sprintf(`{"model":"draw","prompt":%s,"n":%d%s}`, quoted(prompt), images, stream))
		return honestImages(t, generations, request, prompt, images, partials, 0)
	case "edit":
		prompt := "a" + drawText(t, 1000)
		images, brought := rapid.Int64Range(1, 10).Draw(t, "n"), rapid.Int64Range(1, 3).Draw(t, "images")
		fields := []string{"model", "draw", "prompt", prompt, "n", strconv.FormatInt(images, 10)}
		for range brought {
			fields = append(fields, "@image[]", "x")
		}
		if rapid.Bool().Draw(t, "mask") {
			fields, brought = append(fields, "@mask", "x"), brought+1
		}
		return honestImages(t, edits, form(all, fields...), prompt, images, 0, brought)
	case "paint":
		images, quality := rapid.Int64Range(1, 10).Draw(t, "n"), rapid.SampledFrom([]string{"standard", "hd", "auto"}).Draw(t, "quality")
		price := map[string]int64{"standard": 40_000_000, "hd": 80_000_000, "auto": 40_000_000}[quality]
		return honestCall{generations, plain(fmt.Sprintf(`{"model":"paint","prompt":"a","n":%d,"quality":%q}`, images, quality)), func([]byte) (string, int64) {
			return `{"data":` + emptyObjects(images) + `}`, images * price
		}}
	case "say":
		text := "a" + drawText(t, 4000)
		return honestCall{speech, plain(`{"model":"say","voice":"alloy","input":` + quoted(text) + `}`), func([]byte) (string, int64) {
			return "sound", int64(utf8.RuneCountInString(text)) * 15_000
		}}
	default:
		return honestTranscript(all, t, kind)
	}
}

// share draws how much of a maximum a provider uses: often all of it.
func share(t *rapid.T, name string) func(most int64) int64 {
	percent := rapid.SampledFrom([]int64{100, 0, 1, 50, 99}).Draw(t, name)
	return func(most int64) int64 { return (most*percent + 99) / 100 }
}

// textPrices are the prices of dear in nano-dollars a token. The long ones are those of a call with more input tokens than above.
type textPrices struct{ above, input, cached, output, longInput, longCached, longOutput int64 }

var dearPrices = map[string]textPrices{
	"default":  {1000, 1000, 250, 4000, 2000, 500, 6000},
	"flex":     {1000, 500, 125, 2000, 1000, 1000, 3000},
	"priority": {500, 3000, 3000, 12_000, 5000, 5000, 15_000},
}

// cost is the price of tokens of dear; sound and images are parts of the input, and spoken is one of the output.
func (p textPrices) cost(input, cached, sound, images, output, spoken int64) int64 {
	perInput, perCached, perOutput := p.input, p.cached, p.output
	if input > p.above {
		perInput, perCached, perOutput = p.longInput, p.longCached, p.longOutput
	}
	return (input-cached-sound-images)*perInput + cached*perCached + sound*10_000 + images*2000 + (output-spoken)*perOutput + spoken*20_000
}

// sentBounds are the bounds of a request that reached a provider.
type sentBounds struct {
	Old      int64 `json:"max_tokens"`
	New      int64 `json:"max_completion_tokens"`
	Response int64 `json:"max_output_tokens"`
	Choices  int64 `json:"n"`
	Calls    int64 `json:"max_tool_calls"`
}

// output is the most output that the request allows; without a bound, it is without end.
func (b sentBounds) output() int64 {
	if b.Old+b.New+b.Response == 0 {
		return 1_000_000
	}
	return max(b.Old, b.New, b.Response) * max(b.Choices, 1)
}

func readBounds(t require.TestingT, body []byte) (b sentBounds) {
	require.NoError(t, json.Unmarshal(body, &b))
	return b
}

// dearContext and dearImage are the most tokens of the context of dear, and of an image: that of gpt-4.1-nano's 1,536 patches.
const dearContext, dearImage = 100_000, 3_779

// honestChat is a chat with text, sound, images and a file.
func honestChat(t *rapid.T) honestCall {
	content := []any{map[string]any{"type": "text", "text": "a" + drawText(t, 3000)}}
	var sound, images, file int64
	if rapid.Bool().Draw(t, "sound") {
		data, heard := drawSpeech(t)
		sound = heard
		content = append(content, map[string]any{"type": "input_audio", "input_audio": map[string]any{"data": base64.StdEncoding.EncodeToString([]byte(data)), "format": "wav"}})
	}
	for range rapid.IntRange(0, 2).Draw(t, "images") {
		images += share(t, "image")(dearImage)
		content = append(content, map[string]any{"type": "image_url", "image_url": map[string]any{"url": "data:image/png;base64,AAAA"}})
	}
	filed := int64(0) // the images of the file
	if rapid.IntRange(0, 4).Draw(t, "file") == 0 {
		file = share(t, "file tokens")(dearContext)
		filed = share(t, "images of the file")(file)
		content = append(content, map[string]any{"type": "file", "file": map[string]any{"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}})
	}
	tier := rapid.SampledFrom([]string{"default", "flex", "priority"}).Draw(t, "tier")
	body := map[string]any{"model": "dear", "service_tier": tier, "messages": []any{map[string]any{"role": "user", "content": content}}}
	if rapid.Bool().Draw(t, "bounded") {
		body[rapid.SampledFrom([]string{"max_tokens", "max_completion_tokens"}).Draw(t, "bound")] = rapid.IntRange(1, 4000).Draw(t, "max")
	}
	if n := rapid.IntRange(0, 3).Draw(t, "n"); n > 0 {
		body["n"] = n
	}
	served := rapid.SampledFrom([]string{tier, "default"}).Draw(t, "served")
	useCached, useOutput, useSpoken := share(t, "cached"), share(t, "output"), share(t, "spoken")
	return honestCall{aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, plain(marshaled(t, body)), func(raw []byte) (string, int64) {
		sound := min(sound, dearContext)
		images := min(images+filed, dearContext-sound)
		text := min(providerCount(t, models.VocabularyO200k, string(raw))+file-filed, dearContext-sound-images) // more does not fit
		input, cached, output := text+sound+images, useCached(text), max(1, useOutput(readBounds(t, raw).output()))
		spoken := useSpoken(output)
		return fmt.Sprintf(`{"id":"c","object":"chat.completion","model":"m","service_tier":%q,"choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],`+
			`"usage":{"prompt_tokens":%d,"completion_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d,"audio_tokens":%d,"image_tokens":%d},"completion_tokens_details":{"audio_tokens":%d}}}`,
			served, input, output, cached, sound, images, spoken), dearPrices[served].cost(input, cached, sound, images, output, spoken)
	}}
}

// honestTools is a response with tools that the provider runs: each call may read the whole context once more.
func honestTools(t *rapid.T) honestCall {
	tier := rapid.SampledFrom([]string{"default", "flex", "priority"}).Draw(t, "tier")
	body := map[string]any{
		"model": "dear", "input": "a" + drawText(t, 1000), "store": false, "service_tier": tier, "max_tool_calls": rapid.IntRange(1, 9).Draw(t, "calls"),
		"tools": []any{map[string]any{"type": "web_search"}, map[string]any{"type": "code_interpreter", "container": map[string]any{"type": "auto"}}},
	}
	if rapid.Bool().Draw(t, "bounded") {
		body["max_output_tokens"] = rapid.IntRange(16, 4000).Draw(t, "max")
	}
	served := rapid.SampledFrom([]string{tier, "default"}).Draw(t, "served")
	useCalls, useDear, useInput, useCached, useOutput := share(t, "calls made"), share(t, "dear calls"), share(t, "found"), share(t, "cached"), share(t, "output")
	return honestCall{responses, plain(marshaled(t, body)), func(raw []byte) (string, int64) {
		bounds := readBounds(t, raw)
		calls := useCalls(bounds.Calls)
		runs := useDear(calls) // of code
		own := providerCount(t, models.VocabularyO200k, string(raw))
		input := own + useInput(dearContext*(calls+1)-own)
		cached, output := useCached(input), max(1, useOutput(bounds.output()))
		items := strings.Repeat(`{"type":"code_interpreter_call","id":"x"},`, int(runs)) + strings.Repeat(`{"type":"web_search_call","id":"x"},`, int(calls-runs))
		return fmt.Sprintf(`{"id":"resp_1","object":"response","status":"completed","service_tier":%q,"output":[%s{"type":"message","id":"m","role":"assistant","content":[{"type":"output_text","text":"a"}]}],`+
				`"usage":{"input_tokens":%d,"output_tokens":%d,"input_tokens_details":{"cached_tokens":%d}}}`, served, items, input, output, cached),
			dearPrices[served].cost(input, cached, 0, 0, output, 0) + runs*30_000_000 + (calls-runs)*10_000_000
	}}
}

// drawTexts draws a text, or a list of them, and how many tokens they are.
func drawTexts(t *rapid.T) (texts []string, tokens int64) {
	for range rapid.IntRange(1, 3).Draw(t, "texts") {
		text := "a" + drawText(t, 1000)
		n, err := codecs()[models.VocabularyCl100k].Count(text)
		require.NoError(t, err)
		texts, tokens = append(texts, text), tokens+int64(n)
	}
	return texts, tokens
}

// honestCompletion continues texts, each in several ways.
func honestCompletion(t *rapid.T) honestCall {
	texts, input := drawTexts(t)
	tier := rapid.SampledFrom([]string{"default", "flex"}).Draw(t, "tier")
	body := map[string]any{"model": "finish", "prompt": texts, "service_tier": tier}
	if rapid.Bool().Draw(t, "bounded") {
		body["max_tokens"] = rapid.IntRange(1, 3000).Draw(t, "max")
	}
	if n := rapid.IntRange(0, 3).Draw(t, "n"); n > 0 {
		body["n"] = n
	}
	served, useOutput := rapid.SampledFrom([]string{tier, "default"}).Draw(t, "served"), share(t, "output")
	return honestCall{completions, plain(marshaled(t, body)), func(raw []byte) (string, int64) {
		bounds := readBounds(t, raw)
		choices := max(bounds.Choices, 1) * int64(len(texts))
		output := max(1, useOutput(bounds.output()*int64(len(texts))))
		prices := map[string][2]int64{"default": {2000, 3000}, "flex": {1000, 2000}}[served]
		return fmt.Sprintf(`{"id":"c","object":"text_completion","model":"m","service_tier":%q,"choices":[%s],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}`,
			served, strings.TrimSuffix(strings.Repeat(`{"text":"a","index":0,"finish_reason":"stop"},`, int(choices)), ","), input, output, input+output), input*prices[0] + output*prices[1]
	}}
}

// honestEmbedding turns texts into vectors.
func honestEmbedding(t *rapid.T) honestCall {
	texts, input := drawTexts(t)
	return honestCall{aiv1.Endpoint_ENDPOINT_EMBEDDINGS, plain(marshaled(t, map[string]any{"model": "point", "input": texts})), func([]byte) (string, int64) {
		return fmt.Sprintf(`{"object":"list","model":"m","data":[%s],"usage":{"prompt_tokens":%d,"total_tokens":%d}}`,
			strings.TrimSuffix(strings.Repeat(`{"object":"embedding","index":0,"embedding":[0.5]},`, len(texts)), ","), input, input), input * 130
	}}
}

// honestImages is a request for images that are priced by tokens; it brings some of its own.
func honestImages(t *rapid.T, endpoint aiv1.Endpoint, request posted, prompt string, images, partials, brought int64) honestCall {
	text := framedPrompt(t, prompt)
	seen := share(t, "image tokens")(brought * 6_821) // OpenAI's gpt-image-1 at high fidelity: 65 + 4 tiles of 129 + 6,240
	output := max(1, share(t, "output")(images*6_000+partials*100))
	return honestCall{endpoint, request, func([]byte) (string, int64) {
		return fmt.Sprintf(`{"data":%s,"usage":{"input_tokens":%d,"output_tokens":%d,"input_tokens_details":{"image_tokens":%d,"text_tokens":%d}}}`,
			emptyObjects(images), text+seen, output, seen, text), text*5_000 + seen*10_000 + output*40_000
	}}
}

// honestTranscript is a transcript of a file, by the second or by tokens.
func honestTranscript(all testing.TB, t *rapid.T, kind string) honestCall {
	file, most := soundOf(t)
	seconds := max(1, share(t, "heard")(min(most, map[string]int64{"hear": 60, "listen": 600}[kind]))) // the model refuses more
	prompt := "a" + drawText(t, 1000)
	text := framedPrompt(t, prompt)
	sound := min(seconds*heardASecond(t), 16_000-text) // of its context
	output := max(1, share(t, "output")(2_000))
	return honestCall{transcriptions, form(all, "model", kind, "prompt", prompt, "@file", file), func([]byte) (string, int64) {
		if kind == "hear" {
			return fmt.Sprintf(`{"text":"a","usage":{"type":"duration","seconds":%d}}`, seconds), seconds * 6_000_000 / 60
		}
		return fmt.Sprintf(`{"text":"a","usage":{"type":"tokens","input_tokens":%d,"output_tokens":%d,"input_token_details":{"audio_tokens":%d,"text_tokens":%d}}}`,
			sound+text, output, sound, text), sound*6_000 + text*2_000 + output*10_000
	}}
}

// framedPrompt counts the tokens of a prompt, and those that the provider writes around it.
func framedPrompt(t *rapid.T, prompt string) int64 {
	text, err := codecs()[models.VocabularyO200k].Count(prompt)
	require.NoError(t, err)
	return int64(text) + share(t, "frame")(64)
}

// heardASecond are the tokens of a second of sound at OpenAI, and at Google.
func heardASecond(t *rapid.T) int64 {
	return rapid.SampledFrom([]int64{10, 32}).Draw(t, "tokens a second")
}

// drawSpeech draws sound for a chat, and how many tokens it is.
func drawSpeech(t *rapid.T) (file string, tokens int64) {
	n, each := rapid.Int64Range(1, 4000).Draw(t, "bytes"), heardASecond(t)
	switch rapid.SampledFrom([]string{"wav", "mp3", "another format"}).Draw(t, "format") {
	case "wav":
		rate := rapid.SampledFrom([]int64{1, 200, 8_000, 44_100}).Draw(t, "rate")
		head := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00....----\x01\x00\x08\x00data....")
		binary.LittleEndian.PutUint32(head[4:], uint32(36+n))
		binary.LittleEndian.PutUint32(head[24:], uint32(rate))
		binary.LittleEndian.PutUint32(head[28:], uint32(rate))
		binary.LittleEndian.PutUint32(head[40:], uint32(n))
		return string(head) + strings.Repeat("\x80", int(n)), (n*each + rate - 1) / rate
	case "mp3":
		frames := n/100 + 2
		return strings.Repeat("\xff\xfb\x90\x64"+strings.Repeat("\x00", 413), int(frames)), (frames*26_123*each + 999_999) / 1_000_000
	default:
		return strings.Repeat("OggS\x01\x02", int(n)), 6_000
	}
}

func quoted(text string) string {
	raw, _ := json.Marshal(text)
	return string(raw)
}

func marshaled(t require.TestingT, body any) string {
	raw, err := json.Marshal(body)
	require.NoError(t, err)
	return string(raw)
}

func emptyObjects(n int64) string {
	return "[" + strings.TrimSuffix(strings.Repeat("{},", int(n)), ",") + "]"
}
