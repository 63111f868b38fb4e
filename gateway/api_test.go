package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

type chatStream = grpc.ServerStreamingServer[aiv1.ChatStreamResponse]

const (
	ssePath   = "/api/v1/chat:stream"
	typedChat = `{"model":"gpt-5-mini","messages":[{"role":"user","content":"x"}]}`
)

func TestTypedAPI(t *testing.T) {
	edge := newEdge(t, options{})
	resp := edge.do(t, http.MethodGet, "/api/v1/billing/account", "")
	require.Equal(t, 200, resp.status)
	require.Equal(t, "application/json", resp.header.Get("Content-Type"))
	var account struct {
		Account map[string]any `json:"account"`
	}
	require.NoError(t, json.Unmarshal([]byte(resp.body), &account))
	require.Equal(t, "1500000000", account.Account["balanceNanoUsd"])
	require.Equal(t, "0", account.Account["heldNanoUsd"], "zero values are present")
	require.Contains(t, edge.do(t, http.MethodGet, "/api/v1/me", "").body, `"user_1"`)

	for path, id := range map[string]string{
		"/api/v1/users/user_1":        "user_1",
		"/api/v1/users/a%2Fb":         "a/b",
		"/api/v1/users/a%20b":         "a b",
		"/api/v1/users/a:b":           "a:b",
		"/api/v1/users/user_1:export": "user_1",
	} {
		resp := edge.do(t, http.MethodGet, path, "")
		require.Equal(t, 200, resp.status, path)
		require.Contains(t, resp.body, `"`+id+`"`, path)
	}
}

func TestTypedChat(t *testing.T) {
	edge := newEdge(t, options{})
	var got *aiv1.ChatRequest
	edge.ai.chat = func(_ context.Context, in *aiv1.ChatRequest) (*aiv1.ChatResponse, error) {
		got = in
		return &aiv1.ChatResponse{Id: "c1"}, nil
	}
	resp := edge.do(t, http.MethodPost, "/api/v1/chat", `{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":"5","topP":0.5}`)
	require.Equal(t, 200, resp.status, resp.body)
	require.Equal(t, int32(5), got.GetMaxTokens(), "snake_case names and quoted numbers are accepted")
	require.InDelta(t, 0.5, got.GetTopP(), 0)
}

// Bad bodies reach no service, and the error names the field.
func TestBadTypedBodies(t *testing.T) {
	const invalid, malformed = "INVALID_ARGUMENT", "MALFORMED_BODY"
	cases := map[string]struct{ body, code, field string }{
		"not JSON":            {`nope`, malformed, ""},
		"cut off":             {`{"model":`, malformed, ""},
		"an array":            {`[]`, malformed, ""},
		"two documents":       {typedChat + typedChat, malformed, ""},
		"no UTF-8":            {"{\"model\":\"\xff\"}", malformed, ""},
		"unknown field":       {`{"modell":"x"}`, invalid, "modell"},
		"field twice":         {`{"model":"x","model":"y"}`, invalid, "model"},
		"wrong type":          {`{"model":3}`, invalid, "model"},
		"unknown field below": {`{"model":"x","messages":[{"rolle":"user"}]}`, invalid, "rolle"},
		"fraction":            {`{"maxTokens":1.5}`, invalid, "maxTokens"},
		"beyond 64 bits":      {`{"maxTokens":99999999999999999999}`, invalid, "maxTokens"},
		"huge wrong value":    {`{"maxTokens":"` + strings.Repeat("x", 100_000) + `"}`, invalid, "maxTokens"},
		"no model":            {`{"messages":[{"role":"user","content":"x"}]}`, invalid, "model"},
		"no messages":         {`{"model":"x"}`, invalid, "messages"},
		"negative max_tokens": {`{"model":"x","messages":[{"role":"user"}],"max_tokens":-1}`, invalid, "maxTokens"},
		"unknown role":        {`{"model":"x","messages":[{"role":"king"}]}`, invalid, "messages[0].role"},
	}
	for _, path := range []string{"/api/v1/chat", ssePath} {
		for name, tc := range cases {
			t.Run(path+" "+name, func(t *testing.T) {
				edge := newEdge(t, options{})
				resp := edge.do(t, http.MethodPost, path, tc.body)
				var body struct {
					Error, Code, RequestID string
					Details                []struct{ Field, Problem string }
				}
				require.NoError(t, json.Unmarshal([]byte(resp.body), &body), resp.body)
				require.Equal(t, 400, resp.status)
				require.Equal(t, tc.code, body.Code)
				require.Equal(t, resp.header.Get("X-Request-Id"), body.RequestID)
				require.NotEmpty(t, body.Error)
				require.Less(t, len(resp.body), 1000)
				if tc.field != "" {
					require.NotEmpty(t, body.Details)
					require.Equal(t, tc.field, body.Details[0].Field)
					require.Contains(t, body.Error, tc.field)
				}
				calls, _ := edge.ai.seen()
				require.Zero(t, calls, "the request reaches no service")
			})
		}
	}
}

func TestEmptyTypedBody(t *testing.T) {
	edge := newEdge(t, options{})
	require.Contains(t, edge.do(t, http.MethodPost, ssePath, "").body, "MALFORMED_BODY")
	resp := edge.do(t, http.MethodPost, "/api/v1/chat", "")
	require.Equal(t, 400, resp.status)
	require.Contains(t, resp.body, "model")
}

func TestBadPathsAndQueries(t *testing.T) {
	edge := newEdge(t, options{})
	for path, field := range map[string]string{
		"/api/v1/users?page_size=many":               "pageSize",
		"/api/v1/users?page_size=-1":                 "pageSize",
		"/api/v1/users?pagesize=1":                   "pagesize",
		"/api/v1/users?page_size=1&page_size=2":      "pageSize",
		"/api/v1/auth/events?since=yesterday":        "since",
		"/api/v1/users/" + strings.Repeat("x", 200):  "userId",
		"/api/v1/billing/usage?start_day=2026-13-xx": "startDay",
	} {
		resp := edge.do(t, http.MethodGet, path, "")
		require.Equal(t, 400, resp.status, path)
		require.Contains(t, resp.body, `"INVALID_ARGUMENT"`, path)
		require.Contains(t, resp.body, `"field":"`+field+`"`, path)
	}
	require.Equal(t, 400, edge.do(t, http.MethodGet, "/api/v1/users/%ff", "").status)
}

func TestChatStream(t *testing.T) {
	edge := newEdge(t, options{})
	edge.ai.stream = func(_ *aiv1.ChatStreamRequest, s chatStream) error {
		_ = s.Send(&aiv1.ChatStreamResponse{Id: "a", Model: "gpt-5-mini", Delta: "Hel"})
		cost := int64(12)
		return s.Send(&aiv1.ChatStreamResponse{Id: "a", Delta: "lo", FinishReason: "stop", CostNanoUsd: &cost})
	}
	resp := edge.do(t, http.MethodPost, ssePath, typedChat)
	require.Equal(t, 200, resp.status)
	require.NoError(t, resp.broken)
	require.Equal(t, "text/event-stream", resp.header.Get("Content-Type"))
	require.Equal(t, "no", resp.header.Get("X-Accel-Buffering"))
	events := strings.Split(strings.TrimSuffix(resp.body, "\n\n"), "\n\n")
	require.Len(t, events, 2)
	require.JSONEq(t, `{"id":"a","model":"gpt-5-mini","delta":"Hel"}`, strings.TrimPrefix(events[0], "data: "))
	require.JSONEq(t, `{"id":"a","model":"","delta":"lo","toolCalls":[],"finishReason":"stop","costNanoUsd":"12"}`, strings.TrimPrefix(events[1], "data: "))
}

func TestBrokenChatStream(t *testing.T) {
	broke := errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "It broke.")
	for name, tc := range map[string]struct {
		err  error
		says string
	}{"with an error": {broke, "It broke."}, "without an error": {nil, "broke off"}} {
		t.Run(name, func(t *testing.T) {
			edge := newEdge(t, options{})
			edge.ai.stream = func(_ *aiv1.ChatStreamRequest, s chatStream) error {
				_ = s.Send(&aiv1.ChatStreamResponse{Delta: "Hel"})
				return tc.err
			}
			resp := edge.do(t, http.MethodPost, ssePath, typedChat)
			require.ErrorIs(t, resp.broken, io.ErrUnexpectedEOF)
			_, event, _ := strings.Cut(resp.body, "\n\n")
			require.True(t, strings.HasPrefix(event, "event: error\ndata: {"), event)
			require.True(t, strings.HasSuffix(event, "\n\n"))
			require.Contains(t, event, tc.says)
			require.Contains(t, event, `"code":"UPSTREAM_ERROR"`)
			require.Contains(t, event, resp.header.Get("X-Request-Id"))
		})
	}
}

func TestChatStreamFailureBeforeTheFirstMessageHasItsStatus(t *testing.T) {
	edge := newEdge(t, options{})
	edge.ai.stream = func(*aiv1.ChatStreamRequest, chatStream) error {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, "Top up.")
	}
	resp := edge.do(t, http.MethodPost, ssePath, typedChat)
	require.Equal(t, http.StatusPaymentRequired, resp.status)
	require.Contains(t, resp.body, `"code":"INSUFFICIENT_BALANCE"`)
	edge.ai.stream = func(*aiv1.ChatStreamRequest, chatStream) error { return nil }
	resp = edge.do(t, http.MethodPost, ssePath, typedChat)
	require.Equal(t, http.StatusBadGateway, resp.status)
}

func TestLateChatStreamSendsComments(t *testing.T) {
	edge := newEdge(t, options{config: eager})
	seen := make(chan struct{})
	edge.ai.stream = func(_ *aiv1.ChatStreamRequest, s chatStream) error {
		<-seen
		return s.Send(&aiv1.ChatStreamResponse{Delta: "x", FinishReason: "stop"})
	}
	resp := edge.open(t, t.Context(), http.MethodPost, ssePath, typedChat)
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewReader(resp.Body)
	first, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, ": ping\n", first)
	close(seen)
	rest, err := io.ReadAll(lines)
	require.NoError(t, err)
	require.Contains(t, string(rest), `"finishReason"`)
}

func TestInvalidUTF8BreaksTheStream(t *testing.T) {
	edge := newEdge(t, options{})
	edge.ai.stream = func(_ *aiv1.ChatStreamRequest, s chatStream) error {
		_ = s.Send(&aiv1.ChatStreamResponse{Delta: "x"})
		return s.Send(&aiv1.ChatStreamResponse{Delta: "\xff", FinishReason: "stop"})
	}
	resp := edge.do(t, http.MethodPost, ssePath, typedChat)
	require.ErrorIs(t, resp.broken, io.ErrUnexpectedEOF)
	require.Contains(t, resp.body, `"code":"INTERNAL"`)
}

func TestModels(t *testing.T) {
	edge := newEdge(t, options{})
	resp := edge.do(t, http.MethodGet, "/v1/models", "")
	require.JSONEq(t, `{"object":"list","data":[
		{"id":"gpt-5-mini","object":"model","created":0,"owned_by":"openai"},
		{"id":"text-embedding-3-small","object":"model","created":0,"owned_by":"openai"}]}`, resp.body)
	require.JSONEq(t, `{"id":"gpt-5-mini","object":"model","created":0,"owned_by":"openai"}`,
		edge.do(t, http.MethodGet, "/v1/models/gpt-5-mini", "").body)
	resp = edge.do(t, http.MethodGet, "/v1/models/gpt%2D9", "")
	require.Equal(t, 404, resp.status)
	require.Contains(t, resp.body, `"code":"model_not_found"`)
	require.Contains(t, resp.body, "gpt-5-mini, text-embedding-3-small")
}
