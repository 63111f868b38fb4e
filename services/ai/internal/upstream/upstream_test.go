package upstream_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/requestid"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
	"github.com/trivet-dev/trivet/services/ai/internal/upstream"
)

func TestRedactNames(t *testing.T) {
	r := upstream.NewRedactor()
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

		"use sk-learn or scikit; locale sk-SK":    "use sk-learn or scikit; locale sk-SK",
		"a disk-based desk-2 task-list-2024-11":   "a disk-based desk-2 task-list-2024-11",
		"user-provided_content is not allowed":    "user-provided_content is not allowed",
		"user-authentication, org-administrators": "user-authentication, org-administrators",
		"key sk-abc123": "key sk-…",
		"key sk-******": "key sk-…",
		"xsk-proj-REALsecret0123 _sk-proj-REALsecret0123":  "xsk-… _sk-…",
		"xsk-aB3dE6gH9jK2mN5p":                             "xsk-…",
		"gsk_AbCdEf0123456789 xai-AbCdEf0123456789":        "gsk_… xai-…",
		"AIzaSyA0123456789abcdef":                          "AIza…",
		"hf_hub_download":                                  "hf_hub_download",
		"sess-abc0123456789 user-abcdefghijklmnopqrstuvwx": "sess-… user-…",
	} {
		require.Equal(t, want, r.String(in))
	}
}

// TestRedactConfiguredSecrets removes what is configured whatever its form, and wherever it stands.
func TestRedactConfiguredSecrets(t *testing.T) {
	r := upstream.NewRedactor("gsk_REAL", "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "sk-proj-first", "sk-proj-first-longer", "", "ollama", "my-organization")
	for in, want := range map[string]string{
		"bad key gsk_REAL!":                             "bad key gsk_…!",
		"key=x0f1e2d3c4b5a69788796a5b4c3d2e1f0y":        "key=x…y",
		"sk-proj-first-longer and sk-proj-first":        "sk-… and sk-…",
		"the key ollama, not ollama-server or myollama": "the key …, not ollama-server or myollama",
		"organization my-organization":                  "organization …",
		"gsk_REALgsk_REAL":                              "gsk_…",
	} {
		require.Equal(t, want, r.String(in), in)
	}
}

// TestRedactBodies writes a secret in every way that JSON allows.
func TestRedactBodies(t *testing.T) {
	r := upstream.NewRedactor("azure0123456789abcdef/+")
	for in, want := range map[string]string{
		`{"error":{"message":"Request by:\norg-abcdefghijklmnop1234\tsk-proj-SECRET0 end"},"x":1}`: `{"error":{"message":"Request by:\norg-…\tsk-… end"},"x":1}`,
		`{"m":"\u003corg-abcdefghijklmnop1234\u003e"}`:                                             `{"m":"\u003corg-…\u003e"}`,
		`{"m":"\u0027sk-proj-SECRET0\u0027"}`:                                                      `{"m":"'sk-…'"}`,
		`{"m":"\u0073k-proj\u002dSECRET0"}`:                                                        `{"m":"sk-…"}`,
		`{"m":"azure0123456789abcdef\/\u002b", "n" : [ "azure0123456789abcdef/+" ]}`:               `{"m":"…", "n" : [ "…" ]}`,
		`{ "azure0123456789abcdef\/+" : "é\n" , "k":"\u00e9"}`:                                     `{ "…" : "é\n" , "k":"\u00e9"}`,
		`{"m":"nothing"}`: `{"m":"nothing"}`,
	} {
		require.Equal(t, want, string(r.Body([]byte(in))), in)
	}
}

func TestHeadersOfTheAnswer(t *testing.T) {
	a := answer("a", "", -1)
	a.StatusCode = http.StatusOK
	a.Header = http.Header{
		"Content-Type": {"a"}, "X-Request-Id": {"b"}, "Retry-After": {"1"}, "Retry-After-Ms": {"2"}, "X-Should-Retry": {"true"}, "Openai-Processing-Ms": {"3"},
		"Openai-Version": {"4"}, "X-Ratelimit-Remaining-Tokens": {"5"}, "Openai-Organization": {"org-x"}, "Openai-Project": {"p"}, "Set-Cookie": {"c"},
		"Content-Length": {"9"}, "Transfer-Encoding": {"chunked"}, "Cf-Ray": {"x"}, "Date": {"d"}, "X-Empty": {}, "X-Ratelimit-Odd": {"\xff"},
		"X-Ratelimit-Key": {"sk-x"}, "Openai-Model": {"of org-AbCdEfGhIjKlMnOp"},
	}
	got, err := send(t, a)
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"content-type": "a", "x-request-id": "b", "retry-after": "1", "retry-after-ms": "2", "x-should-retry": "true", "openai-processing-ms": "3",
		"openai-version": "4", "openai-model": "of org-…", "x-trivet-target": "openai",
	}, got.Headers)
	require.Equal(t, "b", got.RequestID)
}

// got is what becomes of a response.
type got struct {
	invoke.Answer
	Refusal *invoke.Refusal
}

// taking is an exchange that keeps the answer.
type taking struct{ answer *invoke.Answer }

func (*taking) Body(*models.Route) []byte { return []byte("{}") }

func (x *taking) Take(a *invoke.Answer) error { x.answer = a; return nil }

func (*taking) Moved(string) {}

func (*taking) Begun() bool { return false }

func (*taking) Gone() <-chan struct{} { return nil }

// chain returns a chain with the default target alone.
func chain(t testing.TB, base string, keys settings.Secrets, organization string, transport roundTripper) *upstream.Chain {
	t.Helper()
	at, err := url.Parse(base)
	require.NoError(t, err)
	list, err := models.Default()
	require.NoError(t, err)
	c, err := upstream.NewChain(upstream.Options{
		Models: list, Default: upstream.Account{Target: models.Target{BaseURL: at, Organization: organization}, Secrets: []settings.Secrets{keys}},
		Base: transport, Logger: slog.New(slog.DiscardHandler), Meter: noop.NewMeterProvider().Meter(""), Now: time.Now,
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// ask sends a request of a model.
func ask(ctx context.Context, c *upstream.Chain, path string, headers map[string]string) (got, error) {
	x := &taking{}
	err := c.Do(ctx, &invoke.Query{Method: http.MethodPost, Path: path, Headers: headers, Model: models.Model{ID: "gpt-4o-mini"}}, x)
	if refused, ok := errors.AsType[*invoke.RefusedError](err); ok {
		return got{*refused.Answer, refused.Refusal}, nil
	}
	if err != nil {
		return got{}, err
	}
	return got{Answer: *x.answer}, nil
}

// send returns what becomes of a response.
func send(t testing.TB, response http.Response) (got, error) {
	t.Helper()
	var seen bytes.Buffer
	calls, whole := 0, response.Body
	c := chain(t, "https://example.com/v1", settings.NewSecrets("sk-x", "older-key"), "org-x", func(*http.Request) (*http.Response, error) {
		again := response
		again.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(whole, &seen), whole}
		if calls++; calls > 1 { // the older key gets the same answer
			again.Body = io.NopCloser(bytes.NewReader(seen.Bytes()))
		}
		return &again, nil
	})
	return ask(t.Context(), c, "chat/completions", nil)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestHeadersOfTheRequest(t *testing.T) {
	var sent *http.Request
	client := chain(t, "https://example.com/openai/v1/", settings.NewSecrets("sk-x"), "org-x", func(r *http.Request) (*http.Response, error) {
		sent = r
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})
	ctx := requestid.With(t.Context(), "req_1")
	res, err := ask(ctx, client, "embeddings", map[string]string{
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

func TestWithoutAKeyThereIsNoHeader(t *testing.T) {
	client := chain(t, "http://localhost:11434/v1", nil, "", func(r *http.Request) (*http.Response, error) {
		require.NotContains(t, r.Header, "Authorization")
		require.Equal(t, "http://localhost:11434/v1/chat/completions", r.URL.String())
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})
	answer, err := ask(t.Context(), client, "chat/completions", nil)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
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

// TestErrorsOfTheBody are *errs.Error, and say whose failure it is.
func TestErrorsOfTheBody(t *testing.T) {
	for cause, want := range map[error]errorsv1.ErrorReason{
		io.ErrUnexpectedEOF: errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR,
		provider.ErrIdle:    errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT,
	} {
		a := answer("", "", -1)
		a.StatusCode, a.Body = http.StatusOK, io.NopCloser(iotest.ErrReader(cause))
		got, err := send(t, a)
		require.NoError(t, err)
		_, err = got.Body.Read(make([]byte, 1))
		require.Equal(t, want.String(), errs.ReasonOf(err).String())
		require.ErrorIs(t, err, cause)

		// An error whose body breaks off keeps its status and Retry-After.
		a.StatusCode, a.Header = http.StatusTooManyRequests, http.Header{"Retry-After": {"7"}}
		a.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"error":{"message":"slow down","ty`), iotest.ErrReader(cause)))
		got, err = send(t, a)
		require.NoError(t, err)
		require.Equal(t, http.StatusTooManyRequests, got.Refusal.Status)
		require.Equal(t, "slow down", got.Refusal.Message)
		require.Equal(t, "7", got.Headers["retry-after"])
	}
}

func TestStreamed(t *testing.T) {
	for kind, want := range map[string]bool{
		"text/event-stream": true, "text/event-stream; charset=utf-8": true, "Text/Event-Stream": true, "text/event-stream; charset": true, "text/event-stream, text/event-stream": true,
		"application/json": false, "": false, ";": false, "text/plain": false,
	} {
		a := answer(kind, "", 0)
		require.Equal(t, want, upstream.Streamed(&a), kind)
	}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		status              int
		body, message, code string
		ours                bool
	}{
		"of the caller":   {400, `{"error":{"message":"no","code":"x"}}`, "no", "x", false},
		"of the key":      {401, `{"error":{"message":"bad key older-key"}}`, "bad key …", "", true},
		"of the account":  {403, `{"error":{"message":"no access","code":"account_deactivated"}}`, "no access", "account_deactivated", true},
		"of the credits":  {402, `{"error":{"message":"pay","code":402}}`, "pay", "", true},
		"of a policy":     {403, `{"error":{"message":"rejected","code":"content_policy_violation"}}`, "rejected", "content_policy_violation", false},
		"of a model":      {403, `{"error":{"message":"no access to it"}}`, "no access to it", "", false},
		"of the balance":  {429, `{"error":{"message":"quota","code":"insufficient_quota"}}`, "quota", "insufficient_quota", true},
		"of a hard limit": {400, `{"error":{"message":"limit","code":"billing_hard_limit_reached"}}`, "limit", "billing_hard_limit_reached", true},
		"of a rate":       {429, `{"error":{"message":"slow","code":"rate_limit_exceeded"}}`, "slow", "rate_limit_exceeded", false},
		"without words":   {502, `{}`, "The provider answered 502 Bad Gateway without a reason.", "", false},
	} {
		a := answer("", c.body, -1)
		a.StatusCode = c.status
		got, err := send(t, a)
		require.NoError(t, err, name)
		require.Equal(t, c.status, got.Status, name)
		require.Equal(t, c.message, got.Refusal.Message, name)
		require.Equal(t, c.code, got.Refusal.Code, name)
		require.Equal(t, c.ours, got.Refusal.Ours, name)
		require.NotContains(t, string(got.Refusal.Body), "older-key", name)
	}
}

// TestRefusalsInAnyEnvelope gives the caller the provider's message in OpenAI's envelope, with a type that follows the
// status.
func TestRefusalsInAnyEnvelope(t *testing.T) {
	long := strings.Repeat("x", 2<<20)
	for name, c := range map[string]struct {
		status     int
		kind, body string
		want       int
		envelope   string
	}{
		"a text":             {400, "application/json", `{"error":"model does not support tools, sk-x"}`, 400, `{"error":{"message":"model does not support tools, sk-…","type":"invalid_request_error","param":null,"code":null}}`},
		"beside":             {422, "application/json", `{"object":"error","message":"m","type":"BadRequestError","param":"p","code":422}`, 422, `{"error":{"message":"m","type":"BadRequestError","param":"p","code":null}}`},
		"a list of details":  {422, "application/json", `{"detail":[{"loc":["body","stream_options"],"msg":"Extra inputs","type":"extra_forbidden"}]}`, 422, `{"error":{"message":"Extra inputs","type":"extra_forbidden","param":"stream_options","code":null}}`},
		"plain":              {500, "text/plain; charset=utf-8", "out of memory\n", 500, `{"error":{"message":"out of memory","type":"server_error","param":null,"code":"upstream_error"}}`},
		"plain, no type":     {503, "", "busy", 503, `{"error":{"message":"busy","type":"server_error","param":null,"code":"upstream_error"}}`},
		"JSON, wrong type":   {404, "text/html", `{"message":"gone"}`, 404, `{"error":{"message":"gone","type":"invalid_request_error","param":null,"code":null}}`},
		"binary":             {500, "application/octet-stream", "\x00\x01", 500, `{"error":{"message":"The provider answered 500 Internal Server Error without a reason.","type":"server_error","param":null,"code":"upstream_error"}}`},
		"a rate":             {429, "application/json", `{"message":"slow"}`, 429, `{"error":{"message":"slow","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}`},
		"forbidden":          {403, "application/json", `{"message":"not you"}`, 403, `{"error":{"message":"not you","type":"permission_error","param":null,"code":null}}`},
		"larger than a MiB":  {400, "application/json", `{"error":{"message":"m","param":"p","input":"` + long + `"}}`, 400, `{"error":{"message":"m","type":"invalid_request_error","param":"p","code":null}}`},
		"a firewall's page":  {403, "text/html", "<!doctype html><title>Attention Required!</title>", 502, ""},
		"a proxy's 404":      {404, "text/html", "<html>", 502, ""},
		"a page of the 500s": {503, "text/html", "<html>", 503, ""},
		"a page that waits":  {429, "text/html", "<html>", 429, ""},
		"a page of a key":    {401, "text/html", "<html>", 401, ""},
	} {
		a := answer(c.kind, c.body, -1)
		a.StatusCode = c.status
		got, err := send(t, a)
		require.NoError(t, err, name)
		require.Equal(t, c.status, got.Status, name)
		require.Equal(t, c.want, got.Refusal.Status, name)
		require.Equal(t, c.status == 401, got.Refusal.Ours, name)
		if c.envelope != "" {
			require.JSONEq(t, c.envelope, string(got.Refusal.Body), name)
			continue
		}
		require.Contains(t, string(got.Refusal.Body), "with a web page", name)
		require.NotContains(t, string(got.Refusal.Body), "Attention", name)
	}
}

// TestCompressedAnswers decodes what was compressed although it was not asked for.
func TestCompressedAnswers(t *testing.T) {
	const text = `{"error":{"message":"m"}}`
	for encoding, compress := range map[string]func(io.Writer) io.WriteCloser{
		"gzip":     func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"x-gzip":   func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"deflate":  func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
		"Deflate":  func(w io.Writer) io.WriteCloser { bare, _ := flate.NewWriter(w, 6); return bare },
		"identity": func(w io.Writer) io.WriteCloser { return nopCloser{w} },
	} {
		var packed bytes.Buffer
		w := compress(&packed)
		_, err := io.WriteString(w, text)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		for _, status := range []int{200, 400} {
			a := answer("application/json", packed.String(), int64(packed.Len()))
			a.StatusCode, a.Header["Content-Encoding"] = status, []string{encoding}
			got, err := send(t, a)
			require.NoError(t, err, encoding)
			if status == 400 {
				require.JSONEq(t, text, string(got.Refusal.Body), encoding)
				continue
			}
			if encoding != "identity" {
				require.Negative(t, got.Length, encoding)
			}
			read, err := io.ReadAll(got.Body)
			require.NoError(t, err, encoding)
			require.JSONEq(t, text, string(read), encoding)
		}
	}
	for encoding, body := range map[string]string{"br": text, "gzip": text, "deflate": "x\x9cnothing"} {
		a := answer("application/json", body, -1)
		a.StatusCode, a.Header["Content-Encoding"] = 200, []string{encoding}
		got, err := send(t, a)
		require.NoError(t, err)
		_, err = io.ReadAll(got.Body)
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR.String(), errs.ReasonOf(err).String(), encoding)
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// FuzzReadRefusal checks that whatever an error's body is, the caller gets an envelope without the account's names.
func FuzzReadRefusal(f *testing.F) {
	f.Add([]byte(`{"error":{"message":"in org-AbCdEfGhIjKlMnOp","code":5}}`))
	f.Add([]byte(`<html>`))
	f.Add([]byte(`{"error":null}`))
	f.Add([]byte(`{"error":{"message":"\u006flder-key \u003csk-abc123\u003e"},"older-key":"older-key"}`))
	r := upstream.NewRedactor("sk-x", "older-key", "org-x")
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := send(t, answer("", string(body), -1))
		require.NoError(t, err)
		require.True(t, json.Valid(got.Refusal.Body))
		require.Equal(t, string(got.Refusal.Body), string(r.Body(got.Refusal.Body)), "nothing left to hide")
	})
}
