package ai_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/ai"
)

// TestAlmostOpenAIRefuses: what servers that are almost OpenAI answer in place of an answer is an error with their words, if they have any, in each
// way to call a model. It is free, and nothing stays held.
func TestAlmostOpenAIRefuses(t *testing.T) {
	const rejected, upstream = errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_REJECTED, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR
	for name, c := range map[string]struct {
		status int // of the provider
		header [2]string
		body   string
		want   int32                // the status of the relay's answer; 0 for an error without one
		reason errorsv1.ErrorReason // of the typed API, and of the relay's error
		says   string
	}{
		"an object":                 {status: 400, body: `{"error":{"message":"it is wrong","type":"t"}}`, want: 400, reason: rejected, says: "it is wrong"},
		"a string":                  {status: 400, body: `{"error":"it is wrong"}`, want: 400, reason: rejected, says: "it is wrong"},
		"a message":                 {status: 400, body: `{"object":"error","message":"it is wrong"}`, want: 400, reason: rejected, says: "it is wrong"},
		"a detail":                  {status: 422, body: `{"detail":"it is wrong"}`, want: 422, reason: rejected, says: "it is wrong"},
		"a list of details":         {status: 422, body: `{"detail":[{"loc":["body","n"],"msg":"it is wrong"}]}`, want: 422, reason: rejected, says: "it is wrong"},
		"an array":                  {status: 400, body: `[{"error":{"message":"it is wrong","code":400}}]`, want: 400, reason: rejected, says: "it is wrong"},
		"a list of errors":          {status: 400, body: `{"errors":[{"message":"it is wrong"}]}`, want: 400, reason: rejected, says: "it is wrong"},
		"a plain text":              {status: 400, header: [2]string{"Content-Type", "text/plain"}, body: "it is wrong", want: 400, reason: rejected, says: "it is wrong"},
		"a text in an object":       {status: 400, body: `{"error":{"error":{"message":"it is wrong"}}}`, want: 400, reason: rejected, says: "it is wrong"},
		"200 and an object":         {status: 200, body: `{"error":{"message":"it is wrong"}}`, want: 502, reason: upstream, says: "it is wrong"},
		"200 and a string":          {status: 200, body: `{"error":"it is wrong"}`, want: 502, reason: upstream, says: "it is wrong"},
		"200 and a status":          {status: 200, body: `{"error":{"message":"it is wrong","code":400}}`, want: 400, reason: rejected, says: "it is wrong"},
		"200 and a page":            {status: 200, header: [2]string{"Content-Type", "text/html"}, body: "<html>Welcome</html>", reason: upstream},
		"204":                       {status: 204, reason: upstream},
		"a redirect":                {status: 307, header: [2]string{"Location", "/elsewhere"}, reason: upstream, says: "307"},
		"a redirect after a POST":   {status: 302, header: [2]string{"Location", "https://elsewhere.example.com/"}, reason: upstream, says: "302"},
		"a length that is too long": {status: 200, header: [2]string{"Content-Length", "1000"}, body: `{"id":"c1"`, reason: upstream},
		"br":                        {status: 200, header: [2]string{"Content-Encoding", "br"}, body: "\x0b\x02\x80", reason: upstream},
		"zstd":                      {status: 200, header: [2]string{"Content-Encoding", "zstd"}, body: "\x28\xb5\x2f\xfd", reason: upstream},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFixture(t, withConfig(func(c *ai.Config) { c.Tries = 1 }), withUpstream(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "application/json")
				if c.header[0] != "" {
					w.Header().Set(c.header[0], c.header[1])
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			stored := strings.Replace(ask, "{", `{"store":false,`, 1)
			for way, call := range map[string]func() answer{
				"chat": func() answer { return h.chat(hello) }, "chat, streamed": func() answer { return h.chat(streamed) },
				"response":           func() answer { return h.respond(stored) },
				"response, streamed": func() answer { return h.respond(strings.Replace(stored, "{", `{"stream":true,`, 1)) },
			} {
				a := call()
				if c.want > 0 {
					require.Nil(t, a.err, way)
					require.Equal(t, c.want, a.head.GetStatus(), "%s: %s", way, a.body)
					require.Contains(t, a.body, fmt.Sprintf(`"message":%q`, c.says), way)
				} else {
					requireReason(t, c.reason, a.err)
					require.Contains(t, a.err.Message, c.says, way)
				}
			}
			_, err := h.Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: user("hi")})
			require.Error(t, err)
			requireReason(t, c.reason, errs.From(err))
			require.Contains(t, errs.From(err).Message, c.says)
			for _, hold := range h.billing.Holds() {
				require.Zero(t, hold.Cost)
			}
			require.Zero(t, h.billing.Held())
		})
	}
}
