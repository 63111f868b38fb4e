package wire_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// decode reads JSON as a real parser does, numbers exact.
func decode(t testing.TB, body []byte) (out map[string]any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	require.NoError(t, d.Decode(&out), "%s", body)
	return out
}

// FuzzParse checks that what Trivet reads is what a real parser reads, and that the body sent upstream differs from
// the caller's in nothing but the two intended fields.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"model":"m","messages":[{"role":"user","content":"hi"}]}`,
		`{"model":"m","messages":[1],"stream":true}`,
		` { "model" : "m" , "messages" : [ {} ] , "stream" : true , "stream_options" : { } , "max_tokens" : 5 } `,
		`{"stream_options":{"include_usage":false,"x":[1]},"stream":true,"model":"m","messages":[{}]}`,
		`{"stream_options":{"x":1},"stream":true,"model":"m","messages":[{}],"max_completion_tokens":null,"max_tokens":null}`,
		`{"stream_options":null,"stream":true,"model":"m\u00e9\ud83d\ude00","messages":[{}],"n":3}`,
		`{"mod\u0065l":"m","messages":[{"content":[{"type":"image_url","image_url":{"url":"data:x"}}]}]}`,
		`{"model":"m","messages":[{}],"a":1,"a":2,"A":{"b":[]},"Model":"x"}`,
		`{"model":"m","input":["a",[1,2]]}`, `{"model":"m","messages":[{}],"max_tokens":1e3}`, `[]`, `{`, ``, `{"model":"\ud800","messages":[{}]}`,
	} {
		f.Add([]byte(seed), int64(3), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, limit int64, embeddings bool) {
		endpoint := wire.Chat
		if embeddings {
			endpoint = wire.Embeddings
		}
		r, err := wire.Parse(endpoint, body, nil)
		if err != nil {
			if errs.ReasonOf(err) == errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY && utf8.Valid(body) && !strings.Contains(err.Error(), "nests") {
				var object map[string]json.RawMessage
				require.True(t, json.Unmarshal(body, &object) != nil || object == nil, "refused a good object: %v", err)
			}
			return
		}
		got := decode(t, body)
		require.Equal(t, got["model"], r.Model)
		if embeddings {
			require.Equal(t, body, r.Upstream(0, models.Model{OutputBound: models.BoundNew}, ""))
			return
		}
		require.NotEmpty(t, got["messages"])
		require.Equal(t, got["stream"] == true, r.Stream)
		options, _ := got["stream_options"].(map[string]any)
		require.Equal(t, options["include_usage"] == true, r.AskedUsage)
		require.Equal(t, number(t, got["n"], 1), r.Choices)
		require.Equal(t, max(number(t, got["max_tokens"], 0), number(t, got["max_completion_tokens"], 0)), r.MaxOutput)

		limit = max(limit, 0)
		sent := decode(t, r.Upstream(limit, models.Model{OutputBound: models.BoundNew}, ""))
		if limit > 0 && (r.MaxOutput == 0 || limit < r.MaxOutput) {
			name := r.MaxOutputName()
			if name == "" {
				name = "max_completion_tokens"
			}
			require.Equal(t, limit, number(t, sent[name], 0))
			restore(got, sent, name)
		}
		if r.Stream {
			sentOptions, _ := sent["stream_options"].(map[string]any)
			require.Equal(t, true, sentOptions["include_usage"])
			if options == nil {
				restore(got, sent, "stream_options")
			} else {
				restore(options, sentOptions, "include_usage")
			}
		}
		require.Empty(t, cmp.Diff(got, sent))
	})
}

// restore undoes one intended change.
func restore(from, to map[string]any, name string) {
	if v, ok := from[name]; ok {
		to[name] = v
	} else {
		delete(to, name)
	}
}

func number(t testing.TB, v any, unset int64) int64 {
	t.Helper()
	if v == nil {
		return unset
	}
	n, err := v.(json.Number).Int64()
	require.NoError(t, err)
	return n
}

func TestUpstreamKeepsEveryOtherByte(t *testing.T) {
	cases := map[string]struct{ in, out string }{
		"nothing to say": {`{"model":"m", "messages":[{}] }`, `{"max_completion_tokens":7,"model":"m", "messages":[{}] }`},
		"space first":    {" {\n \"model\":\"m\",\"messages\":[{}]}", " {\"max_completion_tokens\":7,\n \"model\":\"m\",\"messages\":[{}]}"},
		"lower bound":    {`{"model":"m","messages":[{}],"max_tokens":7}`, `{"model":"m","messages":[{}],"max_tokens":7}`},
		"higher bound":   {`{"max_tokens": 8 ,"model":"m","messages":[{}]}`, `{"max_tokens": 7 ,"model":"m","messages":[{}]}`},
		"stream": {
			`{"model":"m","messages":[{}],"stream":true,"max_tokens":8}`,
			`{"stream_options":{"include_usage":true},"model":"m","messages":[{}],"stream":true,"max_tokens":7}`,
		},
		"stream, both new": {
			`{"model":"m","messages":[{}],"stream":true}`,
			`{"max_completion_tokens":7,"stream_options":{"include_usage":true},"model":"m","messages":[{}],"stream":true}`,
		},
		"usage refused": {
			`{"model":"m","messages":[{}],"stream":true,"stream_options":{"a":1,"include_usage": false}}`,
			`{"max_completion_tokens":7,"model":"m","messages":[{}],"stream":true,"stream_options":{"a":1,"include_usage": true}}`,
		},
		"other options": {
			`{"model":"m","messages":[{}],"stream":true,"stream_options":{ "a":1}}`,
			`{"max_completion_tokens":7,"model":"m","messages":[{}],"stream":true,"stream_options":{"include_usage":true, "a":1}}`,
		},
		"no options": {
			`{"model":"m","messages":[{}],"stream":true,"stream_options":{ }}`,
			`{"max_completion_tokens":7,"model":"m","messages":[{}],"stream":true,"stream_options":{"include_usage":true }}`,
		},
		"options of null": {
			`{"model":"m","messages":[{}],"stream":true,"stream_options": null}`,
			`{"max_completion_tokens":7,"model":"m","messages":[{}],"stream":true,"stream_options": {"include_usage":true}}`,
		},
		"no stream, options": {
			`{"model":"m","messages":[{}],"stream_options":{}}`,
			`{"max_completion_tokens":7,"model":"m","messages":[{}],"stream_options":{}}`,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := wire.Parse(wire.Chat, []byte(c.in), nil)
			require.NoError(t, err)
			require.Equal(t, c.out, string(r.Upstream(7, models.Model{OutputBound: models.BoundNew}, "")))
		})
	}
}

// TestUpstreamOfOtherServers adds what the model's provider takes, and nothing else.
func TestUpstreamOfOtherServers(t *testing.T) {
	for _, c := range []struct{ bound, in, out string }{
		{models.BoundOld, `{"model":"m","messages":[{}]}`, `{"max_tokens":7,"model":"m","messages":[{}]}`},
		{models.BoundOld, `{"model":"m","messages":[{}],"max_tokens":null}`, `{"model":"m","messages":[{}],"max_tokens":7}`},
		{models.BoundOld, `{"model":"m","messages":[{}],"max_completion_tokens":null}`, `{"max_tokens":7,"model":"m","messages":[{}],"max_completion_tokens":null}`},
		{models.BoundOld, `{"model":"m","messages":[{}],"max_completion_tokens":9}`, `{"model":"m","messages":[{}],"max_completion_tokens":7}`},
		{models.BoundNew, `{"model":"m","messages":[{}],"max_tokens":9}`, `{"model":"m","messages":[{}],"max_tokens":7}`},
		{models.BoundNew, `{"model":"m","messages":[{}],"max_tokens":7}`, `{"model":"m","messages":[{}],"max_tokens":7}`},
		{models.BoundNone, `{"model":"m","messages":[{}]}`, `{"model":"m","messages":[{}]}`},
		{models.BoundNone, `{"model":"m","messages":[{}],"max_tokens":9}`, `{"model":"m","messages":[{}],"max_tokens":7}`},
		{models.BoundNone, `{"model":"m","messages":[{}],"stream":true}`, `{"model":"m","messages":[{}],"stream":true}`},
		{models.BoundNone, `{"model":"m","messages":[{}],"stream":true,"stream_options":{"include_usage":true}}`, `{"model":"m","messages":[{}],"stream":true,"stream_options":{"include_usage":true}}`},
	} {
		r, err := wire.Parse(wire.Chat, []byte(c.in), nil)
		require.NoError(t, err)
		require.Equal(t, c.out, string(r.Upstream(7, models.Model{OutputBound: c.bound, HidesUsage: true}, "")))
	}
}

// TestChatsThatAreNotToBeKept say so, unless they say what is to be done. Nothing else has such a field.
func TestChatsThatAreNotToBeKept(t *testing.T) {
	for in, out := range map[string]string{
		`{"model":"m","messages":[{}]}`:                `{"store":false,"model":"m","messages":[{}]}`,
		`{"model":"m","messages":[{}],"store": null }`: `{"model":"m","messages":[{}],"store": false }`,
		`{"model":"m","store":false,"messages":[{}]}`:  `{"model":"m","store":false,"messages":[{}]}`,
		`{"model":"m","store":true,"messages":[{}]}`:   `{"model":"m","store":true,"messages":[{}]}`,
	} {
		r, err := wire.Parse(wire.Chat, []byte(in), nil)
		require.NoError(t, err)
		require.Equal(t, out, string(r.Upstream(0, models.Model{KeepsChats: true}, "")))
		require.Equal(t, in, string(r.Upstream(0, models.Model{}, "")))
	}
	r, err := wire.Parse(wire.Chat, []byte(`{"model":"m","messages":[{}],"stream":true}`), nil)
	require.NoError(t, err)
	const edited = `{"max_completion_tokens":7,"stream_options":{"include_usage":true},"store":false,"model":"n","messages":[{}],"stream":true}`
	require.Equal(t, []byte(edited), r.Upstream(7, models.Model{KeepsChats: true, OutputBound: models.BoundNew}, "n"), "all four edits at once") //nolint:testifylint // byte for byte
	for endpoint, in := range map[wire.Endpoint]string{
		wire.Completions: `{"model":"m","prompt":"a"}`, wire.Embeddings: `{"model":"m","input":"a"}`, wire.Moderations: `{"model":"m","input":"a"}`, wire.Responses: `{"model":"m","input":"a"}`,
	} {
		r, err := wire.Parse(endpoint, []byte(in), nil)
		require.NoError(t, err)
		require.Equal(t, in, string(r.Upstream(0, models.Model{KeepsChats: true}, "")))
	}
}
