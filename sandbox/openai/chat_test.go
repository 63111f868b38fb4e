package openai_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	goopenai "github.com/sashabaranov/go-openai"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/openai"
)

func say(text string) goopenai.ChatCompletionRequest {
	return goopenai.ChatCompletionRequest{Model: "gpt-4o-mini", Messages: []goopenai.ChatCompletionMessage{{Role: "user", Content: text}}}
}

func complete(t *testing.T, s *server, req goopenai.ChatCompletionRequest) goopenai.ChatCompletionResponse {
	t.Helper()
	resp, err := s.client.CreateChatCompletion(t.Context(), req)
	require.NoError(t, err)
	return resp
}

func TestAnswerEchoesAndCounts(t *testing.T) {
	s := serve(t, openai.Config{Now: func() time.Time { return time.Unix(1700000000, 0) }})
	resp := complete(t, s, say("hello wide world"))
	require.Equal(t, "chat.completion", resp.Object)
	require.Equal(t, "gpt-4o-mini-2024-07-18", resp.Model)
	require.EqualValues(t, 1700000000, resp.Created)
	require.Len(t, resp.Choices, 1)
	text := resp.Choices[0].Message.Content
	require.True(t, strings.HasPrefix(text, "You said hello wide world and "), text)
	require.Equal(t, goopenai.FinishReasonStop, resp.Choices[0].FinishReason)
	require.Equal(t, 10, resp.Usage.PromptTokens, "3 of priming, 3 of the message, 1 of its role, 3 words")
	require.Equal(t, openai.CountTokens(text), resp.Usage.CompletionTokens)
	require.Equal(t, resp.Usage.PromptTokens+resp.Usage.CompletionTokens, resp.Usage.TotalTokens)
}

func TestSameMessagesGetTheSameWords(t *testing.T) {
	one, other := serve(t, openai.Config{}), serve(t, openai.Config{})
	text := func(s *server, change func(*goopenai.ChatCompletionRequest)) string {
		req := say("a fixed question")
		change(&req)
		return complete(t, s, req).Choices[0].Message.Content
	}
	same := func(*goopenai.ChatCompletionRequest) {}
	want := text(one, same)
	require.Equal(t, want, text(one, same))
	require.Equal(t, want, text(other, same), "another process says the same")
	require.Equal(t, want, text(one, func(r *goopenai.ChatCompletionRequest) { r.MaxCompletionTokens = 1000 }), "limits do not change the words")
	seed := 7
	require.NotEqual(t, want, text(one, func(r *goopenai.ChatCompletionRequest) { r.Seed = &seed }))
	require.NotEqual(t, want, text(one, func(r *goopenai.ChatCompletionRequest) { r.Model = "gpt-4o" }))
	short := text(one, func(r *goopenai.ChatCompletionRequest) { r.MaxCompletionTokens = 4 })
	require.True(t, strings.HasPrefix(want, short))
}

func TestLengthAndStop(t *testing.T) {
	s := serve(t, openai.Config{})
	req := say("one two three")
	req.MaxCompletionTokens = 4
	resp := complete(t, s, req)
	require.Equal(t, "You said one two", resp.Choices[0].Message.Content)
	require.Equal(t, goopenai.FinishReasonLength, resp.Choices[0].FinishReason)
	require.Equal(t, 4, resp.Usage.CompletionTokens)

	req = say("one two three")
	req.Stop = []string{"nowhere", " three"}
	resp = complete(t, s, req)
	require.Equal(t, "You said one two", resp.Choices[0].Message.Content)
	require.Equal(t, goopenai.FinishReasonStop, resp.Choices[0].FinishReason)

	raw := s.do(t, "POST", "/v1/chat/completions", `{"model":"gpt-4o","messages":[{"role":"user","content":"one two"}],"stop":" two"}`).body
	require.Contains(t, raw, `"content":"You said one"`, "stop may be one string")
}

func TestDirectivesControlOneReply(t *testing.T) {
	s := serve(t, openai.Config{ReplyTokens: 12})
	require.Equal(t, 12, complete(t, s, say("hi")).Usage.CompletionTokens)
	resp := complete(t, s, say("hi [sandbox tokens=100 cached=5 reasoning=7]"))
	require.Equal(t, 107, resp.Usage.CompletionTokens)
	require.Equal(t, 7, resp.Usage.CompletionTokensDetails.ReasoningTokens)
	require.Equal(t, 5, resp.Usage.PromptTokensDetails.CachedTokens)
	require.True(t, strings.HasPrefix(resp.Choices[0].Message.Content, "You said hi and "))
	require.Equal(t, 3, complete(t, s, say("[sandbox tokens=3]")).Usage.CompletionTokens)
}

func TestReasoningModels(t *testing.T) {
	s := serve(t, openai.Config{})
	req := say("hello")
	req.Model = "gpt-5-mini"
	resp := complete(t, s, req)
	require.Equal(t, 32, resp.Usage.CompletionTokensDetails.ReasoningTokens)
	require.Equal(t, 32+openai.CountTokens(resp.Choices[0].Message.Content), resp.Usage.CompletionTokens)

	req.ReasoningEffort = "minimal"
	require.Zero(t, complete(t, s, req).Usage.CompletionTokensDetails.ReasoningTokens)

	req.ReasoningEffort, req.MaxCompletionTokens = "high", 20
	resp = complete(t, s, req)
	require.Empty(t, resp.Choices[0].Message.Content, "all the output went into thoughts")
	require.Equal(t, goopenai.FinishReasonLength, resp.Choices[0].FinishReason)
	require.Equal(t, 20, resp.Usage.CompletionTokens)
}

func TestSeveralChoicesDiffer(t *testing.T) {
	s := serve(t, openai.Config{ReplyTokens: 20})
	req := say("hello")
	req.N = 3
	resp := complete(t, s, req)
	require.Len(t, resp.Choices, 3)
	require.NotEqual(t, resp.Choices[0].Message.Content, resp.Choices[1].Message.Content)
	require.Equal(t, 60, resp.Usage.CompletionTokens)
	require.Equal(t, 2, resp.Choices[2].Index)
}

func TestContentInPartsAndImages(t *testing.T) {
	s := serve(t, openai.Config{})
	req := say("")
	req.Messages = []goopenai.ChatCompletionMessage{
		{Role: "system", Content: "be brief"},
		{Role: "user", Name: "ada", MultiContent: []goopenai.ChatMessagePart{
			{Type: "text", Text: "what is"}, {Type: "image_url", ImageURL: &goopenai.ChatMessageImageURL{URL: "https://example.test/a.png"}}, {Type: "text", Text: "this"},
		}},
	}
	resp := complete(t, s, req)
	require.True(t, strings.HasPrefix(resp.Choices[0].Message.Content, "You said what is this and"))
	require.Equal(t, 3+(3+1+2)+(3+1+3+2+85), resp.Usage.PromptTokens)
}

func weather() goopenai.Tool {
	return goopenai.Tool{Type: goopenai.ToolTypeFunction, Function: &goopenai.FunctionDefinition{
		Name: "get_weather", Parameters: json.RawMessage(`{"type":"object","properties":{"city":{"type":"string"},
			"unit":{"enum":["celsius","fahrenheit"]},"days":{"type":"integer"},"near":{"type":"array","items":{"type":"boolean"}}},"required":["city"]}`),
	}}
}

func TestToolsAreCalled(t *testing.T) {
	s := serve(t, openai.Config{})
	news := goopenai.Tool{Type: goopenai.ToolTypeFunction, Function: &goopenai.FunctionDefinition{Name: "read_news"}}
	for name, test := range map[string]struct {
		text     string
		choice   any
		parallel any
		want     []string
		finish   goopenai.FinishReason
	}{
		"not mentioned":        {"hello", nil, nil, nil, "stop"},
		"mentioned":            {"please call get_weather", nil, nil, []string{"get_weather"}, "tool_calls"},
		"mentioned as words":   {"get weather in Paris", "auto", nil, []string{"get_weather"}, "tool_calls"},
		"both":                 {"get_weather and read_news", nil, nil, []string{"get_weather", "read_news"}, "tool_calls"},
		"both, one at a time":  {"get_weather and read_news", nil, false, []string{"get_weather"}, "tool_calls"},
		"forbidden":            {"get_weather", "none", nil, nil, "stop"},
		"required":             {"hello", "required", nil, []string{"get_weather"}, "tool_calls"},
		"named":                {"hello", goopenai.ToolChoice{Type: "function", Function: goopenai.ToolFunction{Name: "read_news"}}, nil, []string{"read_news"}, "stop"},
		"named, not mentioned": {"get_weather", goopenai.ToolChoice{Type: "function", Function: goopenai.ToolFunction{Name: "read_news"}}, nil, []string{"read_news"}, "stop"},
	} {
		t.Run(name, func(t *testing.T) {
			req := say(test.text)
			req.Tools, req.ToolChoice, req.ParallelToolCalls = []goopenai.Tool{weather(), news}, test.choice, test.parallel
			first, again := complete(t, s, req), complete(t, s, req)
			require.Equal(t, first.Choices, again.Choices)
			var called []string
			for _, call := range first.Choices[0].Message.ToolCalls {
				called = append(called, call.Function.Name)
				require.Regexp(t, `^call_[0-9A-Za-z]{24}$`, call.ID)
				require.True(t, json.Valid([]byte(call.Function.Arguments)), call.Function.Arguments)
			}
			require.Equal(t, test.want, called)
			require.Equal(t, test.finish, first.Choices[0].FinishReason)
			if called != nil {
				require.Empty(t, first.Choices[0].Message.Content)
			}
		})
	}
}

func TestToolArgumentsFitTheSchema(t *testing.T) {
	s := serve(t, openai.Config{})
	req := say("get_weather")
	req.Tools = []goopenai.Tool{weather()}
	call := complete(t, s, req).Choices[0].Message.ToolCalls[0]
	var args struct {
		City string `json:"city"`
		Unit string `json:"unit"`
		Days int    `json:"days"`
		Near []bool `json:"near"`
	}
	require.NoError(t, json.Unmarshal([]byte(call.Function.Arguments), &args))
	require.NotEmpty(t, args.City)
	require.Contains(t, []string{"celsius", "fahrenheit"}, args.Unit)
	require.Positive(t, args.Days)
	require.Len(t, args.Near, 1)

	req.Messages = append(
		req.Messages, goopenai.ChatCompletionMessage{Role: "assistant", ToolCalls: []goopenai.ToolCall{call}},
		goopenai.ChatCompletionMessage{Role: "tool", ToolCallID: call.ID, Content: "21 degrees"},
	)
	resp := complete(t, s, req)
	require.Empty(t, resp.Choices[0].Message.ToolCalls, "the model does not call forever")
	require.True(t, strings.HasPrefix(resp.Choices[0].Message.Content, "The tool said 21 degrees and "))
}

func TestRecursiveSchema(t *testing.T) {
	s := serve(t, openai.Config{})
	deep := strings.Repeat(`{"type":"array","items":`, 200) + `{}` + strings.Repeat(`}`, 200)
	body := fmt.Sprintf(`{"model":"gpt-4o","messages":[{"role":"user","content":"f"}],"tools":[{"type":"function","function":{"name":"f","parameters":%s}}]}`, deep)
	resp := s.do(t, "POST", "/v1/chat/completions", body)
	require.Equal(t, http.StatusOK, resp.status, resp.body)
}

func TestStructuredOutput(t *testing.T) {
	s := serve(t, openai.Config{})
	req := say("hello")
	req.ResponseFormat = &goopenai.ChatCompletionResponseFormat{Type: "json_object"}
	require.True(t, json.Valid([]byte(complete(t, s, req).Choices[0].Message.Content)))

	req.ResponseFormat = &goopenai.ChatCompletionResponseFormat{Type: "json_schema", JSONSchema: &goopenai.ChatCompletionResponseFormatJSONSchema{
		Name: "answer", Schema: json.RawMessage(`{"type":"object","properties":{"ok":{"type":"boolean"},"n":{"type":["number","null"],"minimum":5}}}`),
	}}
	require.Regexp(t, `^\{"ok": (true|false), "n": 5\}$`, complete(t, s, req).Choices[0].Message.Content)
}

// TestInvalidRequests has a line per rule: what is wrong, and status, code and param of the answer.
func TestInvalidRequests(t *testing.T) {
	s := serve(t, openai.Config{})
	const hi = `"messages":[{"role":"user","content":"hi"}]`
	for name, test := range map[string]struct {
		body, code, param string
		status            int
	}{
		"not JSON":                 {`{"model":`, "", "", 400},
		"empty":                    {``, "", "", 400},
		"an array":                 {`[]`, "invalid_type", "", 400},
		"wrong type":               {`{"model":"gpt-4o",` + hi + `,"max_tokens":"many"}`, "invalid_type", "max_tokens", 400},
		"no model":                 {`{` + hi + `}`, "", "", 400},
		"unknown model":            {`{"model":"gpt-nothing",` + hi + `}`, "model_not_found", "", 404},
		"embedding model":          {`{"model":"text-embedding-3-small",` + hi + `}`, "", "model", 404},
		"no messages":              {`{"model":"gpt-4o"}`, "missing_required_parameter", "messages", 400},
		"empty messages":           {`{"model":"gpt-4o","messages":[]}`, "empty_array", "messages", 400},
		"bad role":                 {`{"model":"gpt-4o","messages":[{"role":"robot","content":"hi"}]}`, "invalid_value", "messages[0].role", 400},
		"no content":               {`{"model":"gpt-4o","messages":[{"role":"user"}]}`, "", "messages.[0].content", 400},
		"n 0":                      {`{"model":"gpt-4o",` + hi + `,"n":0}`, "integer_below_min_value", "n", 400},
		"n 129":                    {`{"model":"gpt-4o",` + hi + `,"n":129}`, "integer_above_max_value", "n", 400},
		"max_tokens 0":             {`{"model":"gpt-4o",` + hi + `,"max_tokens":0}`, "integer_below_min_value", "max_tokens", 400},
		"max_tokens absurd":        {`{"model":"gpt-4o",` + hi + `,"max_tokens":9000000}`, "invalid_value", "max_tokens", 400},
		"both limits":              {`{"model":"gpt-4o",` + hi + `,"max_tokens":9,"max_completion_tokens":9}`, "invalid_parameter_combination", "max_tokens", 400},
		"max_tokens for reasoning": {`{"model":"gpt-5",` + hi + `,"max_tokens":9}`, "unsupported_parameter", "max_tokens", 400},
		"temperature, reasoning":   {`{"model":"o3",` + hi + `,"temperature":0}`, "unsupported_value", "temperature", 400},
		"effort":                   {`{"model":"o3",` + hi + `,"reasoning_effort":"huge"}`, "invalid_value", "reasoning_effort", 400},
		"temperature 3":            {`{"model":"gpt-4o",` + hi + `,"temperature":3}`, "decimal_out_of_range", "temperature", 400},
		"top_p 2":                  {`{"model":"gpt-4o",` + hi + `,"top_p":2}`, "decimal_out_of_range", "top_p", 400},
		"five stops":               {`{"model":"gpt-4o",` + hi + `,"stop":["a","b","c","d","e"]}`, "array_above_max_length", "stop", 400},
		"stream_options alone":     {`{"model":"gpt-4o",` + hi + `,"stream_options":{}}`, "", "stream_options", 400},
		"tool_choice alone":        {`{"model":"gpt-4o",` + hi + `,"tool_choice":"auto"}`, "", "tool_choice", 400},
		"unknown tool":             {`{"model":"gpt-4o",` + hi + `,"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"g"}}}`, "", "tool_choice", 400},
		"nameless tool":            {`{"model":"gpt-4o",` + hi + `,"tools":[{"type":"function"}]}`, "missing_required_parameter", "tools[0].function.name", 400},
		"odd tool_choice":          {`{"model":"gpt-4o",` + hi + `,"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"maybe"}`, "invalid_value", "tool_choice", 400},
		"too long":                 {`{"model":"gpt-4o","messages":[{"role":"user","content":"` + strings.Repeat("a ", 128_000) + `"}]}`, "context_length_exceeded", "messages", 400},
	} {
		t.Run(name, func(t *testing.T) {
			resp := s.do(t, "POST", "/v1/chat/completions", test.body)
			require.Equal(t, test.status, resp.status)
			e := resp.error(t)
			if test.code == "" {
				require.Nil(t, e.Error.Code)
			} else {
				require.Equal(t, test.code, *e.Error.Code)
			}
			if test.param != "" {
				require.Equal(t, test.param, *e.Error.Param)
			}
		})
	}
	require.Zero(t, s.Stats().CompletionTokens, "a refused request costs nothing")
}

func TestCountTokens(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "   \n": 0, "one": 1, " one  two\nthree\t": 3, "don't (stop)!": 2, "日本 語": 2,
	} {
		require.Equal(t, want, openai.CountTokens(text), "%q", text)
	}
}
