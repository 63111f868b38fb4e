package upstream_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/requestid"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai/internal/upstream"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"":                                    "",
		"nothing to hide":                     "nothing to hide",
		"org-wide user-defined sk task-force": "org-wide user-defined sk task-force",
		"in organization org-AbCdEfGhIjKlMnOp on tokens":        "in organization org-… on tokens",
		"Project `proj_AbCdEfGhIjKlMnOp`.":                      "Project `proj_…`.",
		"Incorrect API key provided: sk-ab***********wxyz. See": "Incorrect API key provided: sk-…. See",
		"sk-proj-AAAA_bbb-CC":                                   "sk-…",
		"org-AbCdEfGhIjKlMnOp,org-AbCdEfGhIjKlMnOq":             "org-…,org-…",
		`{"user":"user-AbCdEfGhIjKlMnOp"}`:                      `{"user":"user-…"}`,
		"risk-averse-and-very-long-word":                        "risk-averse-and-very-long-word",
	} {
		require.Equal(t, want, string(upstream.Redact([]byte(in))))
	}
}

func TestHeadersOfTheAnswer(t *testing.T) {
	got := upstream.Returned(http.Header{
		"Content-Type": {"a"}, "X-Request-Id": {"b"}, "Retry-After": {"1"}, "Retry-After-Ms": {"2"}, "X-Should-Retry": {"true"}, "Openai-Processing-Ms": {"3"},
		"Openai-Version": {"4"}, "X-Ratelimit-Remaining-Tokens": {"5"}, "Openai-Organization": {"org-x"}, "Openai-Project": {"p"}, "Set-Cookie": {"c"},
		"Content-Length": {"9"}, "Transfer-Encoding": {"chunked"}, "Cf-Ray": {"x"}, "Date": {"d"}, "X-Empty": {}, "X-Ratelimit-Odd": {"\xff"},
	})
	require.Equal(t, map[string]string{
		"content-type": "a", "x-request-id": "b", "retry-after": "1", "retry-after-ms": "2", "x-should-retry": "true", "openai-processing-ms": "3",
		"openai-version": "4", "x-ratelimit-remaining-tokens": "5",
	}, got)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestHeadersOfTheRequest(t *testing.T) {
	base, err := url.Parse("https://example.com/openai/v1/")
	require.NoError(t, err)
	var sent *http.Request
	client := upstream.New(roundTripper(func(r *http.Request) (*http.Response, error) {
		sent = r
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	}), upstream.Account{BaseURL: base, Key: settings.NewSecret("sk-x"), Organization: "org-x"})
	ctx := requestid.With(t.Context(), "req_1")
	res, err := client.Send(ctx, wire.Embeddings, []byte("{}"), map[string]string{
		"authorization": "Bearer theirs", "openai-organization": "theirs", "openai-beta": "b", "idempotency-key": "i", "accept": "a", "cookie": "c", "host": "evil",
	})
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, "https://example.com/openai/v1/embeddings", sent.URL.String())
	require.Equal(t, "example.com", sent.Host)
	require.Equal(t, http.Header{
		"Authorization": {"Bearer sk-x"}, "Openai-Organization": {"org-x"}, "Content-Type": {"application/json"}, "Accept-Encoding": {"identity"},
		"User-Agent": {"trivet"}, "X-Client-Request-Id": {"req_1"}, "Openai-Beta": {"b"}, "Accept": {"a"},
	}, sent.Header)
	again, err := sent.GetBody()
	require.NoError(t, err)
	body, err := io.ReadAll(again)
	require.NoError(t, err)
	require.Equal(t, "{}", string(body))
}

func TestFailure(t *testing.T) {
	for _, c := range []struct {
		err  error
		want errorsv1.ErrorReason
	}{
		{&provider.BusyError{}, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE},
		{provider.ErrIdle, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT},
		{context.DeadlineExceeded, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT},
		{context.Canceled, errorsv1.ErrorReason_ERROR_REASON_CANCELLED},
		{io.ErrUnexpectedEOF, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR},
		{errors.New("dial https://sk-secret@host: refused"), errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR},
	} {
		got := upstream.Failure(c.err)
		require.Equal(t, c.want.String(), got.Reason.String())
		require.NotContains(t, got.Message, "secret")
		require.ErrorIs(t, got, c.err)
	}
}

// answer is an answer whose body needs no closing.
func answer(kind, body string, length int64) http.Response {
	return http.Response{StatusCode: 500, ContentLength: length, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body))}
}

func TestReadAnswer(t *testing.T) {
	for _, length := range []int64{-1, 0, 5} {
		a := answer("", "hello", length)
		got, err := upstream.ReadAnswer(&a)
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
	}
	short, large := answer("", "hello", 9), answer("", "", 1<<40)
	_, err := upstream.ReadAnswer(&short)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, err = upstream.ReadAnswer(&large)
	require.ErrorIs(t, err, upstream.ErrTooLarge)
}

func TestStreamed(t *testing.T) {
	for kind, want := range map[string]bool{"text/event-stream": true, "text/event-stream; charset=utf-8": true, "Text/Event-Stream": true, "application/json": false, "": false, ";": false} {
		a := answer(kind, "", 0)
		require.Equal(t, want, upstream.Streamed(&a), kind)
	}
}

// FuzzReadRefusal checks that whatever an error's body is, the caller gets an envelope without the account's names.
func FuzzReadRefusal(f *testing.F) {
	f.Add([]byte(`{"error":{"message":"in org-AbCdEfGhIjKlMnOp","code":5}}`))
	f.Add([]byte(`<html>`))
	f.Add([]byte(`{"error":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		a := answer("", string(body), -1)
		r, err := upstream.ReadRefusal(&a)
		require.NoError(t, err)
		require.NotEmpty(t, r.Body)
		require.Equal(t, string(r.Body), string(upstream.Redact(r.Body)), "nothing left to hide")
	})
}

func TestHealth(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	h := upstream.NewHealth(func() time.Time { return at })
	require.Equal(t, "unknown", h.Status())
	h.Bad()
	require.Equal(t, "operational", h.Status(), "one failure says nothing")
	h.Bad()
	h.Bad()
	require.Equal(t, "down", h.Status())
	for range 4 {
		h.Good()
	}
	require.Equal(t, "degraded", h.Status())
	at = at.Add(6 * time.Minute)
	require.Equal(t, "operational", h.Status(), "long ago")
	h.Good()
	require.Equal(t, "operational", h.Status())
}
