package ai_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/sandbox/fault"
)

func user(text string) []*aiv1.Message { return []*aiv1.Message{{Role: "user", Content: text}} }

func (h *fixture) sent() map[string]any {
	h.t.Helper()
	last, ok := h.openai.LastRequest()
	require.True(h.t, ok)
	var body map[string]any
	require.NoError(h.t, json.Unmarshal(last.Body, &body))
	return body
}

func TestChat(t *testing.T) {
	h := newFixture(t, withReply(9))
	res, err := h.Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: user("hello there")})
	require.NoError(t, err)
	require.NotEmpty(t, res.GetId())
	require.Equal(t, "gpt-4o-mini-2024-07-18", res.GetModel())
	require.Equal(t, "assistant", res.GetMessage().GetRole())
	require.NotEmpty(t, res.GetMessage().GetContent())
	require.NotEmpty(t, res.GetFinishReason())
	require.EqualValues(t, 9, res.GetUsage().GetOutputTokens())
	require.Equal(t, h.settled().Cost, res.GetCostNanoUsd())
	require.Positive(t, res.GetCostNanoUsd())
	require.Equal(t, map[string]any{"model": "gpt-4o-mini", "stream": false, "messages": []any{map[string]any{"role": "user", "content": "hello there"}}}, h.sent())
}

func TestChatSendsEveryField(t *testing.T) {
	h := newFixture(t)
	schema, err := structpb.NewStruct(map[string]any{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}})
	require.NoError(t, err)
	_, err = h.Chat(t.Context(), &aiv1.ChatRequest{
		Model: "gpt-4o-mini", MaxTokens: proto.Int32(33), Temperature: proto.Float64(0), TopP: proto.Float64(0), Stop: []string{"END"},
		Tools: []*aiv1.Tool{{Name: "weather", Description: "tells it", Parameters: schema}, {Name: "nothing"}}, ToolChoice: "weather",
		Messages: []*aiv1.Message{
			{Role: "system", Content: "be <brief>"},
			{Role: "user", Content: "weather?", Name: "ann"},
			{Role: "assistant", ToolCalls: []*aiv1.ToolCall{{Id: "call_1", Name: "nothing"}}},
			{Role: "tool", ToolCallId: "call_1"},
		},
	})
	require.NoError(t, err)
	body := h.sent()
	require.EqualValues(t, 33, body["max_completion_tokens"])
	require.Contains(t, body, "temperature", "an explicit zero is said")
	require.Zero(t, body["temperature"])
	require.Contains(t, body, "top_p")
	require.Equal(t, []any{"END"}, body["stop"])
	require.Equal(t, map[string]any{"type": "function", "function": map[string]any{"name": "weather"}}, body["tool_choice"])
	tools := body["tools"].([]any)
	require.Equal(t, map[string]any{"name": "weather", "description": "tells it", "parameters": schema.AsMap()}, tools[0].(map[string]any)["function"])
	messages := body["messages"].([]any)
	require.Equal(t, map[string]any{"role": "system", "content": "be <brief>"}, messages[0])
	require.Equal(t, "ann", messages[1].(map[string]any)["name"])
	require.NotContains(t, messages[2], "content")
	require.Equal(t, "{}", messages[2].(map[string]any)["tool_calls"].([]any)[0].(map[string]any)["function"].(map[string]any)["arguments"])
	require.Equal(t, map[string]any{"role": "tool", "content": "", "tool_call_id": "call_1"}, messages[3], "an empty result is a result")
}

// TestHugeSchemasAreRefused before they cost anything, whatever their shape.
func TestHugeSchemasAreRefused(t *testing.T) {
	object := func(members int) *structpb.Struct {
		s := &structpb.Struct{Fields: map[string]*structpb.Value{}}
		for i := range members {
			s.Fields[fmt.Sprint("member", i)] = structpb.NewNumberValue(1)
		}
		return s
	}
	list := &structpb.ListValue{}
	for range 30_000 {
		list.Values = append(list.Values, structpb.NewStructValue(object(1)))
	}
	tool := func(s *structpb.Struct) *aiv1.Tool { return &aiv1.Tool{Name: "f", Parameters: s} }
	for name, c := range map[string]struct {
		tools []*aiv1.Tool
		field string // "" when they are taken
	}{
		"as many as may be": {[]*aiv1.Tool{tool(object(20_000))}, ""},
		"one more":          {[]*aiv1.Tool{tool(object(20_001))}, "tools[0].parameters"},
		"a list":            {[]*aiv1.Tool{tool(&structpb.Struct{Fields: map[string]*structpb.Value{"enum": structpb.NewListValue(list)}})}, "tools[0].parameters"},
		"two together":      {[]*aiv1.Tool{tool(object(15_000)), tool(object(5_001))}, "tools[1].parameters"},
		"deep":              {[]*aiv1.Tool{tool(&structpb.Struct{Fields: map[string]*structpb.Value{"a": structpb.NewStructValue(object(20_000))}})}, "tools[0].parameters"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t)
			_, err := h.Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: user("hi"), Tools: c.tools})
			if c.field == "" {
				require.NoError(t, err)
				return
			}
			e := errs.From(err)
			requireReason(t, invalidArgument, e)
			require.Equal(t, c.field, e.Fields[0].Name)
			_, err = h.stream(&aiv1.ChatStreamRequest{Model: "gpt-4o-mini", Messages: user("hi"), Tools: c.tools})
			requireReason(t, invalidArgument, errs.From(err))
			require.Empty(t, h.billing.Holds())
			require.Zero(t, h.openai.Stats().Calls)
			require.Zero(t, h.billing.Asked(), "refused before it is admitted")
		})
	}
}

func TestChatReasoning(t *testing.T) {
	h := newFixture(t)
	_, err := h.Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-5-mini", ReasoningEffort: "low", ToolChoice: "none", Messages: user("hi")})
	require.NoError(t, err)
	require.Equal(t, "low", h.sent()["reasoning_effort"])
	require.EqualValues(t, 16384, h.sent()["max_completion_tokens"], "the default of the price list is below the model's most")

	_, err = h.Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-5-mini", Temperature: proto.Float64(0.5), Messages: user("hi")})
	requireReason(t, invalidArgument, errs.From(err))
	require.Contains(t, err.Error(), "temperature")
	require.Len(t, h.billing.Holds(), 1)
}

func TestChatErrors(t *testing.T) {
	cases := map[string]struct {
		fault  fault.Fault
		reason errorsv1.ErrorReason
		text   string
	}{
		"500":      {fault.Fault{Kind: fault.Status, Status: 500}, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "server had an error"},
		"429":      {fault.Fault{Kind: fault.RateLimit, RetryAfter: 3 * time.Second}, errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, "org-…"},
		"504":      {fault.Fault{Kind: fault.Status, Status: 504, Body: `{"error":{"message":"too slow"}}`}, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT, "too slow"},
		"401":      {fault.Fault{Kind: fault.Status, Status: 401}, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, "Configuration error. Please contact support."},
		"400":      {fault.Fault{Kind: fault.Status, Status: 400, Body: `{"error":{"message":"bad seed","param":"seed","type":"x","code":null}}`}, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_REJECTED, "bad seed"},
		"too long": {fault.Fault{Kind: fault.Status, Status: 400, Body: `{"error":{"message":"too long","code":"context_length_exceeded"}}`}, errorsv1.ErrorReason_ERROR_REASON_CONTEXT_LENGTH_EXCEEDED, "too long"},
		"garbage":  {fault.Fault{Kind: fault.Garbage}, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "does not match"},
		"page":     {fault.Fault{Kind: fault.Status, Status: 502, Body: "<html>"}, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "502"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t)
			h.fault(c.fault)
			_, err := h.Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: user("hi")})
			e := errs.From(err)
			requireReason(t, c.reason, e)
			require.Contains(t, e.Message, c.text)
			if c.fault.Kind == fault.RateLimit {
				require.Equal(t, 3*time.Second, e.RetryAfter)
			}
			require.Zero(t, h.settled().Cost)

			h = newFixture(t)
			h.fault(c.fault)
			_, err = h.stream(&aiv1.ChatStreamRequest{Model: "gpt-4o-mini", Messages: user("hi")})
			e = errs.From(err)
			requireReason(t, c.reason, e)
			require.Contains(t, e.Message, c.text)
			require.Zero(t, h.settled().Cost)
		})
	}
	h := newFixture(t)
	_, err := h.Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-4o-mini", MaxTokens: proto.Int32(1e6), Messages: user("hi")})
	e := errs.From(err)
	requireReason(t, invalidArgument, e)
	require.Equal(t, "maxTokens", e.Fields[0].Name, "named as the typed API names it")
	_, err = h.stream(&aiv1.ChatStreamRequest{Model: "gpt-4o-mini", MaxTokens: proto.Int32(1e6), Messages: user("hi")})
	require.Equal(t, "maxTokens", errs.From(err).Fields[0].Name)
}

func (h *fixture) stream(req *aiv1.ChatStreamRequest) ([]*aiv1.ChatStreamResponse, error) {
	h.t.Helper()
	stream, err := h.ChatStream(h.t.Context(), req)
	require.NoError(h.t, err)
	return pieces(stream)
}

func pieces(stream grpc.ServerStreamingClient[aiv1.ChatStreamResponse]) (all []*aiv1.ChatStreamResponse, err error) {
	for {
		piece, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, piece)
	}
}

func TestChatStream(t *testing.T) {
	h := newFixture(t, withReply(12))
	all, err := h.stream(&aiv1.ChatStreamRequest{Model: "gpt-4o-mini", Temperature: proto.Float64(0), Messages: user("hello there")})
	require.NoError(t, err)
	require.Equal(t, true, h.sent()["stream"])
	require.Contains(t, h.sent(), "temperature")

	whole, err := newFixture(t, withReply(12)).Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: user("hello there")})
	require.NoError(t, err)
	var text strings.Builder
	for i, piece := range all {
		text.WriteString(piece.GetDelta())
		require.Equal(t, all[0].GetId(), piece.GetId())
		require.Equal(t, i == 0, piece.GetModel() != "", "the model is in the first piece only")
		require.Equal(t, i == len(all)-1, piece.CostNanoUsd != nil, "the cost is in the last piece only")
		require.Equal(t, i == len(all)-1, piece.GetFinishReason() != "")
	}
	require.Equal(t, whole.GetMessage().GetContent(), text.String())
	last := all[len(all)-1]
	require.EqualValues(t, 12, last.GetUsage().GetOutputTokens())
	require.Equal(t, h.settled().Cost, last.GetCostNanoUsd())
}

func TestChatStreamBreaks(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Cut, fault.EOF, fault.StreamError} {
		t.Run(string(kind), func(t *testing.T) {
			h := newFixture(t)
			h.fault(fault.Fault{Kind: kind, AfterChunks: 3})
			all, err := h.stream(&aiv1.ChatStreamRequest{Model: "gpt-4o-mini", Messages: user("hello there")})
			requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, errs.From(err))
			for _, piece := range all {
				require.Nil(t, piece.CostNanoUsd)
				require.Empty(t, piece.GetFinishReason())
			}
			require.EqualValues(t, 3, h.settled().Settled[0].GetUsage().GetOutputTokens())
		})
	}
}

func TestChatStreamTools(t *testing.T) {
	h := newFixture(t)
	schema, err := structpb.NewStruct(map[string]any{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []any{"city"}})
	require.NoError(t, err)
	all, err := h.stream(&aiv1.ChatStreamRequest{
		Model: "gpt-4o-mini", Messages: user("weather?"), ToolChoice: "required", Tools: []*aiv1.Tool{{Name: "weather", Parameters: schema}},
	})
	require.NoError(t, err)
	var name, arguments string
	for _, piece := range all {
		for _, call := range piece.GetToolCalls() {
			name += call.GetName()
			arguments += call.GetArguments()
		}
	}
	require.Equal(t, "weather", name)
	require.True(t, json.Valid([]byte(arguments)), arguments)
	require.Equal(t, "tool_calls", all[len(all)-1].GetFinishReason())
}

func TestChatStreamOfAProviderThatDoesNotStream(t *testing.T) {
	h := newFixture(t, withUpstream(raw("application/json", `{"id":"c","model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"one"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`)))
	all, err := h.stream(&aiv1.ChatStreamRequest{Model: "gpt-4o-mini", Messages: user("hi")})
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, "one", all[0].GetDelta())
	require.Equal(t, "stop", all[1].GetFinishReason())
	require.Equal(t, h.settled().Cost, all[1].GetCostNanoUsd())
}

func TestChatOfAProviderThatStreamsUnasked(t *testing.T) {
	h := newFixture(t, withUpstream(raw("text/event-stream", delta("one")+delta(" two")+done)))
	res, err := h.Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: user("hi")})
	require.NoError(t, err)
	require.Equal(t, "one two", res.GetMessage().GetContent())
	require.Equal(t, h.settled().Cost, res.GetCostNanoUsd())
}

func TestEmbed(t *testing.T) {
	h := newFixture(t)
	res, err := h.Embed(t.Context(), &aiv1.EmbedRequest{Model: "text-embedding-3-small", Input: []string{"one two", "three"}, Dimensions: 8})
	require.NoError(t, err)
	require.Len(t, res.GetEmbeddings(), 2)
	require.Len(t, res.GetEmbeddings()[0].GetValues(), 8)
	require.NotEqual(t, res.GetEmbeddings()[0].GetValues(), res.GetEmbeddings()[1].GetValues())
	require.EqualValues(t, 3, res.GetUsage().GetInputTokens())
	require.Equal(t, h.settled().Cost, res.GetCostNanoUsd())

	h = newFixture(t, withUpstream(raw("application/json", `{"data":[{"index":0,"embedding":"AAAAAA=="},{"index":0,"embedding":"AAAAAA=="}],"usage":{"prompt_tokens":1}}`)))
	_, err = h.Embed(t.Context(), &aiv1.EmbedRequest{Model: "text-embedding-3-small", Input: []string{"a", "b"}})
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, errs.From(err))
}

// TestVectorsOfAlmostOpenAI: servers that are almost OpenAI send numbers although base64 was asked for, and leave the index out.
func TestVectorsOfAlmostOpenAI(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		want   [][]float32 // nil for an error
	}{
		"base64":               {`{"model":"m","data":[{"index":1,"embedding":"AACAPw=="},{"index":0,"embedding":"AAAAPw=="}],"usage":{"prompt_tokens":1}}`, [][]float32{{0.5}, {1}}},
		"numbers":              {`{"model":7,"data":[{"index":1.0,"embedding":[1,-2.5e-1]},{"index":0,"embedding":[]}],"usage":{"prompt_tokens":"1"}}`, [][]float32{nil, {1, -0.25}}},
		"no index":             {"\xef\xbb\xbf" + `{"data":[{"embedding":[3]},{"embedding":[4]}],"usage":{"prompt_tokens":1}}`, [][]float32{{3}, {4}}},
		"one of two":           {`{"data":[{"embedding":[3]}],"usage":{"prompt_tokens":1}}`, nil},
		"three":                {`{"data":[{"embedding":[3]},{"embedding":[3]},{"embedding":[3]}],"usage":{"prompt_tokens":1}}`, nil},
		"an index below zero":  {`{"data":[{"index":-1,"embedding":[3]},{"index":0,"embedding":[3]}],"usage":{"prompt_tokens":1}}`, nil},
		"an index beyond int":  {`{"data":[{"index":1e300,"embedding":[3]},{"index":0,"embedding":[3]}],"usage":{"prompt_tokens":1}}`, nil},
		"half an index":        {`{"data":[{"index":0.5,"embedding":[3]},{"index":0,"embedding":[3]}],"usage":{"prompt_tokens":1}}`, nil},
		"no vector":            {`{"data":[{"index":0},{"index":1,"embedding":[3]}],"usage":{"prompt_tokens":1}}`, nil},
		"null for a vector":    {`{"data":[{"embedding":null},{"embedding":[3]}],"usage":{"prompt_tokens":1}}`, nil},
		"three bytes":          {`{"data":[{"embedding":"AAAA"},{"embedding":"AAAA"}],"usage":{"prompt_tokens":1}}`, nil},
		"not base64":           {`{"data":[{"embedding":"?"},{"embedding":[3]}],"usage":{"prompt_tokens":1}}`, nil},
		"numbers beyond float": {`{"data":[{"embedding":[1e39]},{"embedding":[3]}],"usage":{"prompt_tokens":1}}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withUpstream(raw("application/json", c.answer)))
			res, err := h.Embed(t.Context(), &aiv1.EmbedRequest{Model: "text-embedding-3-small", Input: []string{"a", "b"}})
			require.EqualValues(t, 1, h.settled().Settled[0].GetUsage().GetInputTokens())
			if c.want == nil {
				requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, errs.From(err))
				return
			}
			require.NoError(t, err)
			for i, want := range c.want {
				require.InDeltaSlice(t, want, res.GetEmbeddings()[i].GetValues(), 0)
			}
			require.Equal(t, h.settled().Cost, res.GetCostNanoUsd())
		})
	}
}

func TestListModels(t *testing.T) {
	h := newFixture(t)
	res, err := h.ListModels(t.Context(), &aiv1.ListModelsRequest{})
	require.NoError(t, err)
	require.Len(t, res.GetModels(), 22)
	require.Empty(t, res.GetNextPageToken())
	for _, m := range res.GetModels() {
		require.NotEmpty(t, m.GetId())
		require.Equal(t, m.GetKind() == aiv1.ModelKind_MODEL_KIND_MODERATION, m.GetInputNanoUsdPerMillionTokens() == 0 && len(m.GetPrices()) == 0, m.GetId())
		for _, p := range m.GetPrices() {
			require.Positive(t, p.GetPriceNanoUsd(), m.GetId())
			require.NotEmpty(t, p.GetKind(), m.GetId())
		}
		require.NotZero(t, m.GetKind())
	}
	first, err := h.ListModels(t.Context(), &aiv1.ListModelsRequest{PageSize: 12})
	require.NoError(t, err)
	second, err := h.ListModels(t.Context(), &aiv1.ListModelsRequest{PageSize: 12, PageToken: first.GetNextPageToken()})
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(res.GetModels(), append(first.GetModels(), second.GetModels()...), protocmp.Transform()))
	require.Empty(t, second.GetNextPageToken())
	h.claims.APIKeyID = "key_1"
	_, err = h.ListModels(t.Context(), &aiv1.ListModelsRequest{PageToken: first.GetNextPageToken()})
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, errs.From(err))
}
