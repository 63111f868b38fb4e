package ai_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

const (
	wholeHello = `{"id":"c1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"one two"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":4}}`
	// streamedHello is what wholeHello says, as a stream.
	streamedHello = `data: {"id":"c1","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"one two"},"finish_reason":null}]}` + "\n\n" +
		`data: {"id":"c1","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	usageHello  = `data: {"id":"c1","object":"chat.completion.chunk","model":"m","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}` + "\n\n"
	askingUsage = `{"model":"gpt-4o-mini","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]}`
)

// TestAnswerHasTheRequestedForm tries each form of an answer under each name for it.
func TestAnswerHasTheRequestedForm(t *testing.T) {
	for _, kind := range []string{"application/json", "text/event-stream", "text/event-stream; charset", "text/plain", "text/html", "application/octet-stream", ""} {
		for name, c := range map[string]struct {
			request, answer, want string
		}{
			"stream for a stream":               {streamed, streamedHello + usageHello + done, streamedHello + done},
			"stream for a stream with usage":    {askingUsage, streamedHello + usageHello + done, streamedHello + usageHello + done},
			"one piece for a stream":            {streamed, wholeHello, streamedHello + done},
			"one piece for a stream with usage": {askingUsage, "\n" + wholeHello, streamedHello + usageHello + done},
			"one piece for one piece":           {hello, wholeHello, wholeHello},
			"stream for one piece":              {hello, ": wait\n\n" + streamedHello + usageHello + done, wholeHello},
			"stream for one piece, spaces":      {hello, "\r\n\r\n" + streamedHello + usageHello + done, wholeHello},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				h := newFixture(t, withUpstream(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					w.Header()["Content-Type"] = []string{kind}
					_, _ = io.WriteString(w, c.answer)
				}))
				a := h.chat(c.request)
				require.Nil(t, a.err)
				require.Equal(t, int32(200), a.head.GetStatus())
				if c.request == hello {
					require.JSONEq(t, c.want, a.body)
					require.False(t, a.head.GetStreamed())
					require.Equal(t, "application/json", a.head.GetHeaders()["content-type"])
				} else {
					require.Equal(t, c.want, a.body)
					require.True(t, a.head.GetStreamed())
					require.Equal(t, "text/event-stream; charset=utf-8", a.head.GetHeaders()["content-type"])
				}
				final := h.settled().Settled[0]
				require.EqualValues(t, 9, final.GetUsage().GetInputTokens())
				require.EqualValues(t, 4, final.GetUsage().GetOutputTokens())
				require.False(t, final.GetEstimated())
			})
		}
	}
}

// TestCompressedAnswersAreDecoded compresses what was not asked to be.
func TestCompressedAnswersAreDecoded(t *testing.T) {
	for request, answer := range map[string]string{hello: wholeHello, streamed: streamedHello + done} {
		h := newFixture(t, withUpstream(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Encoding", "gzip")
			packed := gzip.NewWriter(w)
			_, _ = io.WriteString(packed, answer)
			_ = packed.Close()
		}))
		a := h.chat(request)
		require.Nil(t, a.err)
		require.Equal(t, answer, a.body)
		require.Empty(t, a.head.GetHeaders()["content-encoding"])
		h.settled()
	}
}

// TestErrorsWithAGoodStatus get the status that they name, as long as nothing was sent.
func TestErrorsWithAGoodStatus(t *testing.T) {
	for body, want := range map[string]int32{
		`{"error":{"message":"Upstream overloaded in org-AbCdEfGhIjKlMnOp","code":503}}`:                                            503,
		`{"error":{"message":"slow in org-AbCdEfGhIjKlMnOp","type":"tokens","code":"rate_limit_exceeded"}}`:                         429,
		`{"error":{"message":"too long in org-AbCdEfGhIjKlMnOp","type":"invalid_request_error","code":"context_length_exceeded"}}`:  400,
		`{"error":"CUDA out of memory in org-AbCdEfGhIjKlMnOp"}`:                                                                    502,
		`{"object":"error","message":"gone in org-AbCdEfGhIjKlMnOp","code":404}`:                                                    404,
		`{"error":{"message":"no number in org-AbCdEfGhIjKlMnOp","code":200}}`:                                                      502,
		`{"choices":[],"error":{"message":"no choices in org-AbCdEfGhIjKlMnOp"},"usage":{"prompt_tokens":1,"completion_tokens":1}}`: 502,
	} {
		for form, answer := range map[string]string{"in one piece": body, "as the first event": "data: " + body + "\n\n", "after comments": ": wait\n\n: wait\n\ndata: " + body + "\n\n" + done} {
			for _, request := range []string{hello, streamed} {
				h := newFixture(t, withUpstream(raw("text/event-stream", answer)))
				a := h.chat(request)
				require.Nil(t, a.err, "%s %s", form, body)
				require.Equal(t, want, a.head.GetStatus(), "%s %s", form, body)
				require.False(t, a.head.GetStreamed())
				require.True(t, json.Valid([]byte(a.body)))
				require.Contains(t, a.body, " in org-…")
				require.Zero(t, h.settled().Cost)
			}
		}
	}
}

// TestErrorsOfAnAccountAreHiddenInGoodAnswers is the same for errors that only the operator may see.
func TestErrorsOfAnAccountAreHiddenInGoodAnswers(t *testing.T) {
	for _, request := range []string{hello, streamed} {
		h := newFixture(t, withUpstream(raw("application/json", `{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}`)))
		a := h.chat(request)
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, a.err)
		require.NotContains(t, a.body, "quota")
		require.Contains(t, h.logged.String(), "level=ERROR")
		require.Zero(t, h.settled().Cost)
	}
}

// TestErrorsWithinAStream keep what the provider says for programs.
func TestErrorsWithinAStream(t *testing.T) {
	h := newFixture(t, withUpstream(raw("text/event-stream", delta("one")+`data: {"error":{"message":"Rate limit of org-AbCdEfGhIjKlMnOp","type":"tokens","code":"rate_limit_exceeded","param":"p"}}`+"\n\n")))
	a := h.chat(streamed)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
	require.Contains(t, a.err.Message, "Rate limit of org-…")
	require.Equal(t, map[string]string{errs.UpstreamType: "tokens", errs.UpstreamCode: "rate_limit_exceeded", errs.UpstreamParam: "p"}, a.err.Metadata)
	require.EqualValues(t, 1, h.settled().Settled[0].GetUsage().GetOutputTokens())

	// A text is the message; a stream that was to be one piece fails as a whole, and what was produced is billed.
	h = newFixture(t, withUpstream(raw("text/event-stream", delta("one")+`data: {"error":"CUDA out of memory"}`+"\n\n")))
	a = h.chat(hello)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
	require.Contains(t, a.err.Message, "CUDA out of memory")
	require.Empty(t, a.err.Metadata)
	require.EqualValues(t, 1, h.settled().Settled[0].GetUsage().GetOutputTokens())
}

// TestStreamForOnePieceMustEnd is never taken for whole when it was cut.
func TestStreamForOnePieceMustEnd(t *testing.T) {
	h := newFixture(t, withUpstream(raw("text/event-stream", delta("one")+delta(" two"))))
	a := h.chat(hello)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
	require.Empty(t, a.body)
	require.EqualValues(t, 2, h.settled().Settled[0].GetUsage().GetOutputTokens())

	h = newFixture(t, withUpstream(raw("text/event-stream", `data: {"choices":[]}`+"\n\n"+done)))
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, h.chat(hello).err)

	h = newFixture(t, withUpstream(raw("text/event-stream", `data: {"data":[{"embedding":[1]}]}`+"\n\n"+done)))
	a = h.relay(aiv1.Endpoint_ENDPOINT_EMBEDDINGS, `{"model":"text-embedding-3-small","input":"x"}`)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
}

// TestAnUsageWithoutAChoiceIsBilled in every form: as a failure it would be free, and SDKs would repeat it.
func TestAnUsageWithoutAChoiceIsBilled(t *testing.T) {
	const nothing = `{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}`
	for _, answer := range []string{nothing, "data: " + nothing + "\n\n" + done} {
		for _, request := range []string{hello, streamed} {
			h := newFixture(t, withUpstream(raw("text/event-stream", answer)))
			a := h.chat(request)
			require.Nil(t, a.err)
			require.Equal(t, int32(200), a.head.GetStatus())
			require.EqualValues(t, 4, h.settled().Settled[0].GetUsage().GetOutputTokens())
		}
	}
}

// TestLargeAnswersAreNotConverted bounds what turning an answer into the other form may take; what came is billed.
func TestLargeAnswersAreNotConverted(t *testing.T) {
	noise := `"noise":"` + strings.Repeat("x", 9<<20) + `"`
	whole := strings.Replace(wholeHello, "{", "{"+noise+",", 1)
	part := `data: {"noise":"` + strings.Repeat("x", 5<<20) + `","choices":[]}` + "\n\n"
	for request, answer := range map[string]string{streamed: whole, hello: part + part + streamedHello + done} {
		h := newFixture(t, withUpstream(raw("application/json", answer)))
		a := h.chat(request)
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
		require.Contains(t, a.err.Message, "8 MiB")
		h.settled()
	}
	h := newFixture(t, withUpstream(raw("application/json", whole)))
	require.Nil(t, h.chat(hello).err, "in the form that was asked for, it passes")
}
