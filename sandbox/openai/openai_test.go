package openai_test

import (
	"bufio"
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

func serve(t *testing.T, cfg openai.Config) *server {
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

func (s *server) do(t *testing.T, method, path, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer sk-test")
	resp, err := s.http.Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func readAll(t *testing.T, resp *http.Response) string {
	t.Helper()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(raw)
}

// events returns the data of all server-sent events up to the end or the break of the stream.
func events(t *testing.T, r io.Reader) ([]string, error) {
	t.Helper()
	var out []string
	scanner := bufio.NewScanner(r)
	for scanner.Scan() {
		line := scanner.Text()
		if line == "" {
			continue
		}
		data, ok := strings.CutPrefix(line, "data: ")
		require.True(t, ok, "not an event: %q", line)
		out = append(out, data)
	}
	return out, scanner.Err()
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

func readError(t *testing.T, resp *http.Response) errorBody {
	t.Helper()
	var e errorBody
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&e))
	require.NotEmpty(t, e.Error.Message)
	require.NotEmpty(t, e.Error.Type)
	return e
}

func TestEveryAnswerHasTheHeadersThatSDKsRead(t *testing.T) {
	s := serve(t, openai.Config{})
	for _, path := range []string{"/v1/models", "/v1/nowhere"} {
		h := s.do(t, "GET", path, "").Header
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
	any, one := serve(t, openai.Config{}), serve(t, openai.Config{Keys: []string{"sk-one"}})
	for name, test := range map[string]struct {
		server *server
		header string
		status int
		code   string
	}{
		"none":           {any, "", http.StatusUnauthorized, ""},
		"not a bearer":   {any, "Basic abc", http.StatusUnauthorized, ""},
		"any":            {any, "Bearer sk-whatever", http.StatusOK, ""},
		"not a key":      {any, "Bearer pk-whatever", http.StatusUnauthorized, "invalid_api_key"},
		"the one":        {one, "Bearer sk-one", http.StatusOK, ""},
		"not the one":    {one, "Bearer sk-whatever", http.StatusUnauthorized, "invalid_api_key"},
		"short and bad":  {one, "Bearer x", http.StatusUnauthorized, "invalid_api_key"},
		"bearer nothing": {any, "Bearer ", http.StatusUnauthorized, ""},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), "GET", test.server.url+"/v1/models", nil)
			require.NoError(t, err)
			req.Header.Set("Authorization", test.header)
			resp, err := test.server.http.Do(req)
			require.NoError(t, err)
			defer func() { require.NoError(t, resp.Body.Close()) }()
			require.Equal(t, test.status, resp.StatusCode)
			if test.status == http.StatusOK {
				return
			}
			e := readError(t, resp)
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
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	require.Equal(t, "Invalid URL (POST /v1/nowhere)", readError(t, resp).Error.Message)

	resp = s.do(t, "GET", "/v1/chat/completions", "")
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	require.Equal(t, "method_not_supported", *readError(t, resp).Error.Code)
}

func TestStatsShowWhatWasReceived(t *testing.T) {
	s := serve(t, openai.Config{})
	_, ok := s.LastRequest()
	require.False(t, ok)
	body := `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"temperature":0,"unknown":true}`
	resp := s.do(t, "POST", "/v1/chat/completions", body)
	readAll(t, resp)
	last, ok := s.LastRequest()
	require.True(t, ok)
	require.Equal(t, body, string(last.Body))
	require.Equal(t, "/v1/chat/completions", last.Path)
	require.Equal(t, "Bearer sk-test", last.Header.Get("Authorization"))
	require.Equal(t, resp.Header.Get("X-Request-Id"), last.ID)
	require.EqualValues(t, 1, s.Stats().Calls)
	require.EqualValues(t, 8, s.Stats().PromptTokens)
	require.NotZero(t, s.Stats().CompletionTokens)
	s.ResetStats()
	require.Equal(t, openai.Stats{}, s.Stats())
}

func TestABodyThatIsTooLargeIsRefused(t *testing.T) {
	s := serve(t, openai.Config{})
	resp := s.do(t, "POST", "/v1/chat/completions", strings.Repeat(" ", 32<<20+1))
	require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
	readError(t, resp)
}
