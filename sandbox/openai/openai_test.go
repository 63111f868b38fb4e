package openai_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	goopenai "github.com/sashabaranov/go-openai"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/sandbox/openai"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a fake on a real socket, with the SDK's client and a plain one.
type server struct {
	*openai.Fake
	url    string
	http   *http.Client
	client *goopenai.Client
}

func serve(t testing.TB, cfg openai.Config) *server {
	t.Helper()
	fake := openai.New(cfg)
	httpServer := httptest.NewServer(fake)
	t.Cleanup(func() {
		httpServer.CloseClientConnections()
		httpServer.Close()
	})
	config := goopenai.DefaultConfig("sk-test")
	config.BaseURL = httpServer.URL + "/v1"
	config.HTTPClient = httpServer.Client()
	return &server{fake, httpServer.URL, httpServer.Client(), goopenai.NewClientWithConfig(config)}
}

// reply is an answer that has been read to its end, or to the break of its connection.
type reply struct {
	status int
	header http.Header
	body   string
	err    error
}

func (s *server) request(t testing.TB, method, path, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer sk-test")
	return req
}

func (s *server) do(t testing.TB, method, path, body string) reply {
	t.Helper()
	resp, err := s.http.Do(s.request(t, method, path, body))
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	raw, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(raw), err}
}

// events returns the data of all server-sent events.
func (r reply) events(t testing.TB) []string {
	t.Helper()
	var out []string
	for event := range strings.SplitSeq(strings.TrimSuffix(r.body, "\n\n"), "\n\n") {
		if r.body == "" {
			break
		}
		data, ok := strings.CutPrefix(event, "data: ")
		require.True(t, ok, "not an event: %q", event)
		out = append(out, data)
	}
	return out
}

// errorBody is OpenAI's envelope.
type errorBody struct {
	Error struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	} `json:"error"`
}

func (r reply) error(t testing.TB) errorBody {
	t.Helper()
	var e errorBody
	require.NoError(t, json.Unmarshal([]byte(r.body), &e), r.body)
	require.NotEmpty(t, e.Error.Message)
	require.NotEmpty(t, e.Error.Type)
	return e
}

func TestAnswerHeaders(t *testing.T) {
	s := serve(t, openai.Config{})
	for _, path := range []string{"/v1/models", "/v1/nowhere"} {
		h := s.do(t, "GET", path, "").header
		require.Regexp(t, `^req_[0-9A-Za-z]{32}$`, h.Get("X-Request-Id"))
		require.Equal(t, openai.Organization, h.Get("Openai-Organization"))
		for _, name := range []string{
			"Openai-Processing-Ms", "Openai-Version", "X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Requests",
		} {
			require.NotEmpty(t, h.Get(name), name)
		}
	}
}

func TestKeys(t *testing.T) {
	free, one := serve(t, openai.Config{}), serve(t, openai.Config{Keys: []string{"sk-one"}})
	for name, test := range map[string]struct {
		server *server
		header string
		status int
		code   string
	}{
		"none":           {free, "", http.StatusUnauthorized, ""},
		"not a bearer":   {free, "Basic abc", http.StatusUnauthorized, ""},
		"any":            {free, "Bearer sk-whatever", http.StatusOK, ""},
		"not a key":      {free, "Bearer pk-whatever", http.StatusUnauthorized, "invalid_api_key"},
		"the one":        {one, "Bearer sk-one", http.StatusOK, ""},
		"not the one":    {one, "Bearer sk-whatever", http.StatusUnauthorized, "invalid_api_key"},
		"short and bad":  {one, "Bearer x", http.StatusUnauthorized, "invalid_api_key"},
		"bearer nothing": {free, "Bearer ", http.StatusUnauthorized, ""},
	} {
		t.Run(name, func(t *testing.T) {
			req := test.server.request(t, "GET", "/v1/models", "")
			req.Header.Set("Authorization", test.header)
			resp, err := test.server.http.Do(req)
			require.NoError(t, err)
			defer func() { require.NoError(t, resp.Body.Close()) }()
			require.Equal(t, test.status, resp.StatusCode)
			if test.status == http.StatusOK {
				return
			}
			raw, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			e := reply{body: string(raw)}.error(t)
			require.NotContains(t, e.Error.Message, "whatever")
			if test.code != "" {
				require.Equal(t, test.code, *e.Error.Code)
			}
		})
	}
}

func TestModels(t *testing.T) {
	s := serve(t, openai.Config{})
	list, err := s.client.ListModels(t.Context())
	require.NoError(t, err)
	var ids []string
	for _, m := range list.Models {
		ids = append(ids, m.ID)
		require.Equal(t, "model", m.Object)
		require.NotZero(t, m.CreatedAt)
	}
	require.Subset(t, ids, []string{
		"gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "gpt-4o", "gpt-4o-mini", "gpt-4o-mini-2024-07-18",
		"o3", "o4-mini", "text-embedding-3-small", "text-embedding-3-large",
	})
	one, err := s.client.GetModel(t.Context(), "gpt-4o")
	require.NoError(t, err)
	require.Equal(t, "gpt-4o", one.ID)

	_, err = s.client.GetModel(t.Context(), "gpt-nothing")
	var apiErr *goopenai.APIError
	require.ErrorAs(t, err, &apiErr)
	require.Equal(t, http.StatusNotFound, apiErr.HTTPStatusCode)
	require.Equal(t, "model_not_found", apiErr.Code)
}

func TestUnknownPathsAndMethods(t *testing.T) {
	s := serve(t, openai.Config{})
	resp := s.do(t, "POST", "/v1/nowhere", "{}")
	require.Equal(t, http.StatusNotFound, resp.status)
	require.Equal(t, "Invalid URL (POST /v1/nowhere)", resp.error(t).Error.Message)

	resp = s.do(t, "GET", "/v1/chat/completions", "")
	require.Equal(t, http.StatusMethodNotAllowed, resp.status)
	require.Equal(t, "method_not_supported", *resp.error(t).Error.Code)
}

func TestStats(t *testing.T) {
	s := serve(t, openai.Config{})
	_, ok := s.LastRequest()
	require.False(t, ok)
	body := `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"temperature":0,"unknown":true}`
	resp := s.do(t, "POST", "/v1/chat/completions", body)
	last, ok := s.LastRequest()
	require.True(t, ok)
	require.Equal(t, body, string(last.Body))
	require.Equal(t, "/v1/chat/completions", last.Path)
	require.Equal(t, "Bearer sk-test", last.Header.Get("Authorization"))
	require.Equal(t, resp.header.Get("X-Request-Id"), last.ID)
	require.EqualValues(t, 1, s.Stats().Calls)
	require.EqualValues(t, 8, s.Stats().PromptTokens)
	require.NotZero(t, s.Stats().CompletionTokens)
	s.ResetStats()
	require.Equal(t, openai.Stats{}, s.Stats())
}

func TestLargeBodyIsRejected(t *testing.T) {
	s := serve(t, openai.Config{})
	resp := s.do(t, "POST", "/v1/chat/completions", strings.Repeat(" ", 32<<20+1))
	require.Equal(t, http.StatusRequestEntityTooLarge, resp.status)
	resp.error(t)
}
