package ai_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tiktoken-go/tokenizer"
	"pgregory.net/rapid"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
)

// independent counts a body as a provider does, without any code from Trivet: every text and key, by the whole
// vocabulary, with what OpenAI adds for messages.
type independent struct {
	codec tokenizer.Codec
	count int64
}

var codecs = sync.OnceValue(func() map[string]tokenizer.Codec {
	all := map[string]tokenizer.Codec{}
	for name, encoding := range map[string]tokenizer.Encoding{models.VocabularyO200k: tokenizer.O200kBase, models.VocabularyCl100k: tokenizer.Cl100kBase} {
		codec, err := tokenizer.Get(encoding)
		if err != nil {
			panic(err)
		}
		all[name] = codec
	}
	return all
})

func providerCount(t require.TestingT, vocabulary, body string) int64 {
	var all map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &all))
	in := &independent{codec: codecs()[vocabulary]}
	for _, name := range []string{"messages", "tools", "functions", "response_format", "input"} {
		in.value(all[name], name == "tools" || name == "functions" || name == "response_format")
	}
	if messages, ok := all["messages"].([]any); ok {
		in.count += 3*int64(len(messages)) + 3
	}
	return in.count
}

func (in *independent) value(v any, keys bool) {
	switch v := v.(type) {
	case string:
		in.text(v)
	case []any:
		for _, e := range v {
			in.value(e, keys)
		}
	case map[string]any:
		for k, e := range v {
			if keys {
				in.text(k)
			}
			if k != "image_url" && k != "input_audio" && k != "file" {
				in.value(e, keys)
			}
		}
	case float64:
		in.count++ // a token of an embeddings input
	}
}

func (in *independent) text(s string) {
	// In pieces, because the tokenizer is quadratic in the length of a word: too low by a token for each, if at all.
	for len(s) > 0 {
		n := min(len(s), 4<<10)
		for n < len(s) && s[n]&0xC0 == 0x80 {
			n++
		}
		count, err := in.codec.Count(s[:n])
		if err != nil {
			panic(err)
		}
		in.count += int64(count)
		s = s[n:]
	}
}

// alphabets are what texts are made of: scripts, white space, code, noise.
var alphabets = []string{
	"the quick brown fox jumps over lazy dogs ", "ഭാരതംഎന്റെരാജ്യമാണ് ", "საქართველოდედაენა ", "你好世界语言模型", "привет мир слово ", "สวัสดีชาวโลก", "हिन्दीभाषा ",
	" ", "\n ", "\t\n\r ", "{}[]()\":;,.\\/", "👩‍👩‍👧‍👦😀🇩🇪", "0123456789", "aAbBcCdDeEfF0123456789+/=", "\u0000\u0001\u001f", "<|im_start|><|endoftext|>", "e\u0301a\u0308",
}

func drawText(r *rapid.T, most int) string {
	runes := []rune(rapid.SampledFrom(alphabets).Draw(r, "alphabet"))
	seed := rapid.Uint64().Draw(r, "seed")
	random := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	inOrder := rapid.Bool().Draw(r, "inOrder")
	for i := range rapid.IntRange(0, most).Draw(r, "length") {
		if inOrder {
			b.WriteRune(runes[i%len(runes)])
		} else {
			b.WriteRune(runes[random.IntN(len(runes))])
		}
	}
	return b.String()
}

func drawMessage(r *rapid.T) map[string]any {
	text := func() string { return drawText(r, 3000) }
	switch rapid.IntRange(0, 7).Draw(r, "kind") {
	case 0:
		return map[string]any{"role": "user", "content": text()}
	case 1:
		return map[string]any{"role": "user", "name": drawText(r, 40), "content": []any{map[string]any{"type": "text", "text": text()}, map[string]any{"type": "text", "text": text()}}}
	case 2:
		return map[string]any{"role": "assistant", "tool_calls": []any{map[string]any{"id": "c1", "type": "custom", "custom": map[string]any{"name": "t", "input": text()}}}}
	case 3:
		return map[string]any{"role": "assistant", "content": nil, "refusal": text(), "tool_calls": []any{map[string]any{"id": drawText(r, 30), "type": "function", "function": map[string]any{"name": "f", "arguments": text()}}}}
	case 4:
		return map[string]any{"role": "tool", "tool_call_id": "c1", "content": []any{map[string]any{"type": "text", "text": text(), "novel": map[string]any{"deep": []any{text()}}}}}
	case 5:
		return map[string]any{"role": "assistant", "function_call": map[string]any{"name": "f", "arguments": text()}, "reasoning_content": text()}
	case 6:
		return map[string]any{"role": "user", "content": []any{
			map[string]any{"type": "image_url", "image_url": map[string]any{"url": "data:image/png;base64," + strings.Repeat("A", 5000)}}, map[string]any{"type": "novel", "novel": text()}, text(),
		}}
	default:
		return map[string]any{"role": text(), "content": []any{[]any{text()}}}
	}
}

func drawBody(r *rapid.T) (body map[string]any, m string) {
	m = rapid.SampledFrom([]string{"gpt-4.1", "gpt-4o", "o3", "text-embedding-3-large"}).Draw(r, "model")
	if m == "text-embedding-3-large" {
		var input []any
		for range rapid.IntRange(1, 20).Draw(r, "inputs") {
			input = append(input, rapid.SampledFrom([]any{drawText(r, 2000), "a" + drawText(r, 50), []any{1.0, 2.0, 30000.0}}).Draw(r, "input"))
		}
		return map[string]any{"model": m, "input": input}, m
	}
	var messages []any
	for range rapid.IntRange(1, 6).Draw(r, "messages") {
		messages = append(messages, drawMessage(r))
	}
	body = map[string]any{"model": m, "messages": messages, "max_tokens": 10}
	if rapid.Bool().Draw(r, "tools") {
		body["tools"] = []any{
			map[string]any{"type": "function", "function": map[string]any{"name": "f", "description": drawText(r, 2000), "parameters": map[string]any{"type": "object", "properties": map[string]any{drawText(r, 30): map[string]any{"enum": []any{drawText(r, 100)}}}}}},
			map[string]any{"type": "custom", "custom": map[string]any{"name": "c", "description": drawText(r, 500), "format": map[string]any{"type": "grammar", "grammar": map[string]any{"definition": drawText(r, 500)}}}},
		}
	}
	if rapid.Bool().Draw(r, "format") {
		body["response_format"] = map[string]any{"type": "json_schema", "json_schema": map[string]any{"name": "n", "schema": map[string]any{"description": drawText(r, 500)}}}
	}
	return body, m
}

// TestTheHoldBoundsTheInput draws requests and lets accounts make them that can afford the bound by bytes, and accounts
// that cannot: each hold is for at least as much as an independent count says.
func TestTheHoldBoundsTheInput(t *testing.T) {
	list, err := models.Default()
	require.NoError(t, err)
	counted := 0
	rapid.Check(t, func(r *rapid.T) {
		request, name := drawBody(r)
		raw, err := json.Marshal(request)
		require.NoError(r, err)
		m, err := list.Get(name)
		require.NoError(r, err)
		want := min(providerCount(r, m.Vocabulary, string(raw)), m.ContextTokens)
		endpoint := chatEndpoint
		if m.Kind == models.KindEmbedding {
			endpoint = embedEndpoint
			want = providerCount(r, m.Vocabulary, string(raw))
		}
		cost, err := m.Cost(want, 0, 10)
		require.NoError(r, err)
		for _, balance := range []int64{1e15, cost * 3 / 2} {
			server, billing := directWith(t, balance, "")
			ctx, leave := caller(t, "acct_1")
			_ = server.Relay(&aiv1.RelayRequest{Endpoint: endpoint, Body: raw}, &callerStream{ctx: ctx, take: func([]byte) error { return nil }})
			leave()
			for _, h := range billing.Holds() {
				if int64(h.Request.GetInputTokens()) < want {
					r.Fatalf("held for %d input tokens, but the provider counts %d: %.2000s", h.Request.GetInputTokens(), want, raw)
				}
				if balance < 1e15 {
					counted++
				}
			}
		}
	})
	require.Positive(t, counted, "no poor account ever got a hold")
}

// TestTextsThatHideFromTheCount are the attacks that made a hold of $0.0002 for a call of $1.93.
func TestTextsThatHideFromTheCount(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noise := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"[random.IntN(62)]
		}
		return string(b)
	}
	malayalam := strings.Repeat(`,"ഭാരതം എന്റെ രാജ്യമാണ്. എല്ലാ ഭാരതീയരും എന്റെ സഹോദരീസഹോദരന്മാരാണ്."`, 3000)[1:]
	cases := map[string]struct {
		model, body string
		endpoint    aiv1.Endpoint
		balance     int64
	}{
		"noise behind spaces":         {"gpt-4.1", request("gpt-4.1", `,"max_tokens":10,"user":"x"`), chatEndpoint, 200_000_000},
		"input of a custom tool":      {"gpt-4.1", `{"model":"gpt-4.1","max_tokens":10,"messages":[{"role":"assistant","tool_calls":[{"id":"c1","type":"custom","custom":{"name":"t","input":"` + noise(600_000) + `"}}]}]}`, chatEndpoint, 200_000_000},
		"a script of three bytes":     {"text-embedding-3-large", `{"model":"text-embedding-3-large","input":[` + malayalam + `]}`, embedEndpoint, 50_000_000},
		"noise of honest size":        {"gpt-4.1", `{"model":"gpt-4.1","max_tokens":10,"messages":[{"role":"user","content":"` + noise(250_000) + `"}]}`, chatEndpoint, 700_000_000},
		"unknown member of a message": {"gpt-4.1", `{"model":"gpt-4.1","max_tokens":10,"messages":[{"role":"user","content":"hi","novel":{"x":["` + noise(600_000) + `"]}}]}`, chatEndpoint, 200_000_000},
		"keys of an unknown member":   {"gpt-4.1", `{"model":"gpt-4.1","max_tokens":10,"messages":[{"role":"user","content":"hi"}],"documents":{"` + noise(600_000) + `":1}}`, chatEndpoint, 200_000_000},
	}
	spaces := cases["noise behind spaces"]
	spaces.body = strings.Replace(spaces.body, "say hello to the world", strings.Repeat(" ", 256<<10)+noise(600_000), 1)
	cases["noise behind spaces"] = spaces
	list, err := models.Default()
	require.NoError(t, err)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m, err := list.Get(c.model)
			require.NoError(t, err)
			input := providerCount(t, m.Vocabulary, c.body)
			if m.Kind == models.KindChat && strings.Contains(c.body, "documents") {
				input += int64(len(c.body)) / 2
			}
			cost, err := m.Cost(input, 0, 0)
			require.NoError(t, err)
			server, billing := directWith(t, c.balance, "")
			ctx, leave := caller(t, "acct_1")
			defer leave()
			err = server.Relay(&aiv1.RelayRequest{Endpoint: c.endpoint, Body: []byte(c.body)}, &callerStream{ctx: ctx, take: func([]byte) error { return nil }})
			if err != nil {
				require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE.String(), errs.ReasonOf(err).String())
				require.Greater(t, cost, c.balance/2, "an account that could pay was refused")
				t.Logf("the provider would charge %s; refused to an account that has %s", dollars(cost), dollars(c.balance))
				return
			}
			hold := billing.Holds()[len(billing.Holds())-1]
			t.Logf("the provider charges %s; held %s", dollars(cost), dollars(hold.Response.GetHeldNanoUsd()))
			require.GreaterOrEqual(t, hold.Response.GetHeldNanoUsd(), cost)
		})
	}
}

// TestCountingHasOneBudget sends forty messages of which each took 150 ms to count. The whole count sees one budget of
// text, and a refused call uses up the account's tokens of the minute.
func TestCountingHasOneBudget(t *testing.T) {
	message := `{"role":"user","content":"` + strings.Repeat(`\n `, 87_000) + `"}`
	body := `{"model":"gpt-4o-mini","max_tokens":1,"messages":[` + strings.TrimSuffix(strings.Repeat(message+",", 40), ",") + `]}`
	server, billing := directWith(t, 1_000_000, "")
	billing.Plan = &billingv1.GetEntitlementsResponse{Limits: &billingv1.Limits{TokensPerMinute: 300_000}}
	var reasons []string
	start := time.Now()
	for range 4 {
		ctx, leave := caller(t, "acct_1")
		err := server.Relay(&aiv1.RelayRequest{Endpoint: chatEndpoint, Body: []byte(body)}, &callerStream{ctx: ctx, take: func([]byte) error { return nil }})
		leave()
		reasons = append(reasons, errs.Code(errs.ReasonOf(err)))
	}
	t.Logf("%d calls of %d kB took %s: %v", len(reasons), len(body)>>10, time.Since(start), reasons)
	require.Equal(t, []string{"INSUFFICIENT_BALANCE", "INSUFFICIENT_BALANCE", "RATE_LIMIT_EXCEEDED", "RATE_LIMIT_EXCEEDED"}, reasons)
	require.Empty(t, billing.Holds())
}

// TestUsageAboveTheBoundIsNotCharged lets a provider claim and send more than it was asked for.
func TestUsageAboveTheBoundIsNotCharged(t *testing.T) {
	const price = 600 // nano-dollars for a token of gpt-4o-mini's output
	claims := func(n string) string {
		return `{"id":"c1","choices":[{"index":0,"finish_reason":"stop","message":{"content":"hi"}}],"usage":{"prompt_tokens":12,"completion_tokens":` + n + `}}`
	}
	cases := map[string]struct {
		kind, answer, more string
		output             int64
		cut                bool
	}{
		"a billion":               {"application/json", claims("999999999"), `,"max_tokens":100`, 100, false},
		"a hundred billion":       {"application/json", claims("100000000000"), `,"max_tokens":10`, 10, false},
		"two trillion":            {"application/json", claims("2000000000000"), `,"max_tokens":10,"n":3`, 30, false},
		"by its total":            {"application/json", `{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":12,"completion_tokens":1,"total_tokens":999999999}}`, `,"max_tokens":100`, 100, false},
		"200 words in one piece":  {"application/json", `{"choices":[{"message":{"content":"` + strings.Repeat(" word", 200) + `"}}]}`, `,"max_tokens":5`, 5, false},
		"in a stream":             {"text/event-stream", delta("hi") + usageEvent(12, 999_999_999, 0) + done, `,"stream":true,"max_tokens":100`, 100, false},
		"200 words for 5":         {"text/event-stream", strings.Repeat(delta(" word"), 200) + usageEvent(12, 200, 0) + done, `,"stream":true,"max_tokens":5`, 5, true},
		"200 words for 3 times 5": {"text/event-stream", strings.Repeat(delta(" word"), 200) + done, `,"stream":true,"max_tokens":5,"n":3`, 15, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withUpstream(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", c.kind)
				for _, event := range strings.SplitAfter(c.answer, "\n\n") {
					_, _ = io.WriteString(w, event)
					_ = http.NewResponseController(w).Flush()
				}
			}))
			a := h.chat(request("gpt-4o-mini", c.more))
			hold := h.settled()
			final := hold.Settled[0]
			require.EqualValues(t, c.output, final.GetUsage().GetOutputTokens())
			require.Equal(t, int64(final.GetUsage().GetInputTokens())*150+c.output*price, hold.Cost)
			require.LessOrEqual(t, hold.Cost, hold.Response.GetHeldNanoUsd())
			require.Contains(t, h.logged.String(), "level=ERROR")
			require.Contains(t, h.logged.String(), "exceeds the bound")
			require.Contains(t, h.logged.String(), hold.ID)
			if c.cut {
				requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
				require.NotContains(t, a.body, "[DONE]")
				require.Less(t, strings.Count(a.body, "word"), 100)
			} else {
				require.Nil(t, a.err)
			}
			t.Logf("charged %s, held %s", dollars(hold.Cost), dollars(hold.Response.GetHeldNanoUsd()))
		})
	}
}

// TestFieldsThatChooseTheModelAreRefused names each by its name, however it is written.
func TestFieldsThatChooseTheModelAreRefused(t *testing.T) {
	fields := []string{"models", "route", "provider", "plugins", "prediction", "audio", "web_search_options"}
	for _, field := range fields {
		for _, endpoint := range []aiv1.Endpoint{chatEndpoint, embedEndpoint} {
			for _, written := range []string{field, strings.ToUpper(field), `\u00` + fmt.Sprintf("%x", field[0]) + field[1:]} {
				server, billing := directWith(t, 1e12, strings.Join(fields, ","))
				body := request("gpt-4o", `,"`+written+`":["x"]`)
				if endpoint == embedEndpoint {
					body = `{"model":"text-embedding-3-small","input":"hello","` + written + `":["x"]}`
				}
				ctx, leave := caller(t, "acct_1")
				err := errs.From(server.Relay(&aiv1.RelayRequest{Endpoint: endpoint, Body: []byte(body)}, &callerStream{ctx: ctx, take: func([]byte) error { return nil }}))
				leave()
				requireReason(t, invalidArgument, err)
				require.Equal(t, field, err.Fields[0].Name)
				require.Contains(t, err.Message, "TRIVET_REFUSED_FIELDS")
				require.Empty(t, billing.Holds())
			}
		}
	}
	for name, list := range map[string]string{"null": strings.Join(fields, ","), "allowed by the operator": "none"} {
		server, billing := directWith(t, 1e12, list)
		value := `["x"]`
		if name == "null" {
			value = "null"
		}
		ctx, leave := caller(t, "acct_1")
		require.NoError(t, server.Relay(&aiv1.RelayRequest{Endpoint: chatEndpoint, Body: []byte(request("gpt-4o", `,"models":`+value))}, &callerStream{ctx: ctx, take: func([]byte) error { return nil }}), name)
		leave()
		require.Len(t, billing.Holds(), 1, name)
	}
}

// TestHeadersThatHTTPForbidsAreRefused keeps a caller from making the provider look down.
func TestHeadersThatHTTPForbidsAreRefused(t *testing.T) {
	for _, value := range []string{"a\r\nX: 1", "a\x00b", "\x7f"} {
		for _, name := range []string{"openai-beta", "accept", "x-other"} {
			h := newFixture(t)
			for range 4 {
				stream, err := h.Relay(t.Context(), &aiv1.RelayRequest{Endpoint: chatEndpoint, Body: []byte(hello), Headers: map[string]string{name: value}})
				require.NoError(t, err)
				requireReason(t, invalidArgument, drain(stream).err)
			}
			res, err := h.GetStatus(t.Context(), &aiv1.GetStatusRequest{})
			require.NoError(t, err)
			require.Contains(t, res.String(), "UNKNOWN")
			require.Empty(t, h.billing.Holds())
		}
	}
}
