package openai_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	goopenai "github.com/sashabaranov/go-openai"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/sandbox/openai"
)

// chunk is one event of a stream; pointers tell null from absent values.
type chunk struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Model   string `json:"model"`
	Choices []struct {
		Index int `json:"index"`
		Delta struct {
			Role      string  `json:"role"`
			Content   *string `json:"content"`
			ToolCalls []struct {
				Index    int    `json:"index"`
				ID       string `json:"id"`
				Function struct {
					Name      string `json:"name"`
					Arguments string `json:"arguments"`
				} `json:"function"`
			} `json:"tool_calls"`
		} `json:"delta"`
		FinishReason *string `json:"finish_reason"`
	} `json:"choices"`
	Usage json.RawMessage `json:"usage"`
}

func (s *server) stream(t *testing.T, body string) reply {
	t.Helper()
	resp := s.do(t, "POST", "/v1/chat/completions", body)
	require.Equal(t, http.StatusOK, resp.status)
	require.Equal(t, "text/event-stream; charset=utf-8", resp.header.Get("Content-Type"))
	return resp
}

// whole returns the events of a stream that must not break.
func (r reply) whole(t *testing.T) []string {
	t.Helper()
	require.NoError(t, r.err)
	return r.events(t)
}

func ask(text, more string) string {
	return fmt.Sprintf(`{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":%q}]%s}`, text, more)
}

func chunks(t *testing.T, data []string) []chunk {
	t.Helper()
	require.Equal(t, "[DONE]", data[len(data)-1])
	out := make([]chunk, len(data)-1)
	for i := range out {
		require.NoError(t, json.Unmarshal([]byte(data[i]), &out[i]), data[i])
		require.Equal(t, "chat.completion.chunk", out[i].Object)
		require.Equal(t, out[0].ID, out[i].ID)
	}
	return out
}

func TestStreamOrder(t *testing.T) {
	s := serve(t, openai.Config{})
	data := s.stream(t, ask("one two [sandbox tokens=6]", "")).whole(t)
	got := chunks(t, data)
	require.Len(t, got, 1+6+1)
	require.Equal(t, "assistant", got[0].Choices[0].Delta.Role)
	require.Empty(t, *got[0].Choices[0].Delta.Content)
	var words []string
	for _, c := range got[1:7] {
		words = append(words, *c.Choices[0].Delta.Content)
		require.Nil(t, c.Choices[0].FinishReason)
		require.Nil(t, c.Usage, "no usage field unless it is asked for")
	}
	require.Equal(t, []string{"You", " said", " one", " two", " and"}, words[:5])
	require.Equal(t, "stop", *got[7].Choices[0].FinishReason)
	require.Nil(t, got[7].Choices[0].Delta.Content)
	require.EqualValues(t, 6, s.Stats().Chunks)
	require.EqualValues(t, 6, s.Stats().CompletionTokens)

	whole := complete(t, s, say("one two [sandbox tokens=6]")).Choices[0].Message.Content
	require.Equal(t, whole, strings.Join(words, ""))
}

func TestUsageComesLast(t *testing.T) {
	s := serve(t, openai.Config{})
	data := s.stream(t, ask("hi [sandbox tokens=5 cached=2]", `,"stream_options":{"include_usage":true}`)).whole(t)
	got := chunks(t, data)
	last := got[len(got)-1]
	require.Empty(t, last.Choices)
	require.NotNil(t, last.Choices, "an empty list, not null")
	require.JSONEq(t, `{"prompt_tokens":11,"completion_tokens":5,"total_tokens":16,"prompt_tokens_details":{"cached_tokens":2,"audio_tokens":0},
		"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`, string(last.Usage))
	for _, c := range got[:len(got)-1] {
		require.Equal(t, "null", string(c.Usage))
	}
}

func TestChoicesAreInterleaved(t *testing.T) {
	s := serve(t, openai.Config{})
	data := s.stream(t, ask("hi [sandbox tokens=3]", `,"n":2`)).whole(t)
	var order []int
	for _, c := range chunks(t, data) {
		order = append(order, c.Choices[0].Index)
	}
	require.Equal(t, []int{0, 1, 0, 1, 0, 1, 0, 1, 0, 1}, order, "role, three words and the reason of each")
}

func TestToolCallsAreStreamedInParts(t *testing.T) {
	s := serve(t, openai.Config{})
	tools := `,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"}}}}},
		{"type":"function","function":{"name":"gg"}}]`
	data := s.stream(t, ask("f and gg", tools)).whole(t)
	got := chunks(t, data)
	require.Nil(t, got[0].Choices[0].Delta.Content)
	arguments, ids := map[int]string{}, map[int]string{}
	for _, c := range got[1 : len(got)-1] {
		require.Len(t, c.Choices[0].Delta.ToolCalls, 1)
		call := c.Choices[0].Delta.ToolCalls[0]
		if _, begun := ids[call.Index]; !begun {
			require.NotEmpty(t, call.Function.Name)
			ids[call.Index] = call.ID
		} else {
			require.Empty(t, call.ID+call.Function.Name, "only the first part names the call")
		}
		arguments[call.Index] += call.Function.Arguments
	}
	require.Len(t, ids, 2)
	require.True(t, json.Valid([]byte(arguments[0])), arguments[0])
	require.Equal(t, "{}", arguments[1])
	require.Equal(t, "tool_calls", *got[len(got)-1].Choices[0].FinishReason)

	req := say("f and gg")
	require.NoError(t, json.Unmarshal([]byte(`{`+tools[1:]+`}`), &req))
	whole := complete(t, s, req)
	require.Equal(t, whole.Choices[0].Message.ToolCalls[0].Function.Arguments, arguments[0])
	require.EqualValues(t, 2*whole.Usage.CompletionTokens, s.Stats().CompletionTokens, "streamed or not, it costs the same")
}

func TestEscapedText(t *testing.T) {
	s := serve(t, openai.Config{})
	data := s.stream(t, ask("say \"<ü>\" \\ & \u2028 日本", "")).whole(t)
	var text strings.Builder
	for _, c := range chunks(t, data) {
		if c.Choices[0].Delta.Content != nil {
			text.WriteString(*c.Choices[0].Delta.Content)
		}
	}
	require.Contains(t, text.String(), `You said say "<ü>" \ & 日本 and`)
}

// leave reads n deltas, goes away, and waits until the fake has noticed.
func leave(t *testing.T, s *server, body string, n int) {
	t.Helper()
	resp, err := s.http.Do(s.request(t, "POST", "/v1/chat/completions", body))
	require.NoError(t, err)
	seen := 0
	buf := make([]byte, 1)
	var line []byte
	for seen < n {
		_, err := resp.Body.Read(buf)
		require.NoError(t, err)
		if line = append(line, buf[0]); buf[0] == '\n' {
			if strings.Contains(string(line), `{"content":" `) || strings.Contains(string(line), `{"content":"You`) {
				seen++
			}
			line = nil
		}
	}
	require.NoError(t, resp.Body.Close())
	require.Eventually(t, func() bool { return s.Stats().Cancelled == 1 }, 5*time.Second, time.Millisecond)
}

func TestDisconnectStopsTheStream(t *testing.T) {
	s := serve(t, openai.Config{Pace: time.Millisecond})
	leave(t, s, ask("hi [sandbox tokens=10000]", ""), 3)
	stats := s.Stats()
	require.GreaterOrEqual(t, stats.Chunks, int64(3))
	require.Less(t, stats.Chunks, int64(10000))
	require.Equal(t, stats.Chunks, stats.CompletionTokens, "the provider bills what it has produced")
}

func add(t *testing.T, s *server, f fault.Fault) {
	t.Helper()
	_, err := s.Faults().Add(f)
	require.NoError(t, err)
}

func TestCut(t *testing.T) {
	s := serve(t, openai.Config{})
	for _, n := range []int{0, 1, 4, 1000} {
		add(t, s, fault.Fault{Kind: fault.Cut, AfterChunks: n, Count: 1})
		s.ResetStats()
		broken := s.stream(t, ask("hi [sandbox tokens=10]", ""))
		require.ErrorIs(t, broken.err, io.ErrUnexpectedEOF)
		data := broken.events(t)
		want := 1 + min(n, 10)
		if n == 0 {
			want = 0
		}
		require.Len(t, data, want, "the role and %d words", n)
		require.EqualValues(t, min(n, 10), s.Stats().Chunks)
		require.Zero(t, s.Stats().Cancelled, "it was not the client who left")
	}
	data := s.stream(t, ask("hi", "")).whole(t)
	require.Equal(t, "[DONE]", data[len(data)-1], "the count is used up")
}

func TestEOFEndsWithoutDone(t *testing.T) {
	s := serve(t, openai.Config{})
	add(t, s, fault.Fault{Kind: fault.EOF, AfterChunks: 2})
	data := s.stream(t, ask("hi", "")).whole(t)
	require.Len(t, data, 3)
	require.NotEqual(t, "[DONE]", data[2])
}

func TestStreamErrorIsSeenByTheSDK(t *testing.T) {
	s := serve(t, openai.Config{})
	add(t, s, fault.Fault{Kind: fault.StreamError, AfterChunks: 1, Count: 1})
	stream, err := s.client.CreateChatCompletionStream(t.Context(), say("hi"))
	require.NoError(t, err)
	defer func() { require.NoError(t, stream.Close()) }()
	for range 2 {
		_, err = stream.Recv()
		require.NoError(t, err)
	}
	_, err = stream.Recv()
	var apiErr *goopenai.APIError
	require.ErrorAs(t, err, &apiErr)
	require.Equal(t, "server_error", apiErr.Type)

	add(t, s, fault.Fault{Kind: fault.StreamError, Body: `{"odd":1}`})
	data := s.stream(t, ask("hi", "")).whole(t)
	require.Equal(t, []string{`{"odd":1}`}, data)
}

func TestStallLastsUntilTheClientLeaves(t *testing.T) {
	s := serve(t, openai.Config{})
	add(t, s, fault.Fault{Kind: fault.Stall, AfterChunks: 2, Count: 1})
	leave(t, s, ask("hi", ""), 2)
	require.EqualValues(t, 2, s.Stats().Chunks)

	add(t, s, fault.Fault{Kind: fault.Stall, AfterChunks: 2, Count: 1, Delay: time.Millisecond})
	data := s.stream(t, ask("hi", "")).whole(t)
	require.Equal(t, "[DONE]", data[len(data)-1], "a stall with a delay ends")
}

func TestStreamFaultsLeaveOtherRequestsAlone(t *testing.T) {
	s := serve(t, openai.Config{})
	add(t, s, fault.Fault{Kind: fault.Cut, Count: 1})
	complete(t, s, say("hi"))
	require.Len(t, s.Faults().List(), 1, "only a stream uses it up")
}

func TestPacePrecedence(t *testing.T) {
	s := serve(t, openai.Config{Pace: time.Hour})
	require.Equal(t, time.Hour, s.Pace())
	finish := func(text string) {
		t.Helper()
		data := s.stream(t, ask(text, "")).whole(t)
		require.Equal(t, "[DONE]", data[len(data)-1])
	}
	finish("hi [sandbox pace=0]")
	add(t, s, fault.Fault{Kind: fault.Pace, Delay: time.Microsecond, Count: 2})
	finish("hi")
	finish("hi [sandbox pace=60000]")
	s.SetPace(0)
	finish("hi")
}
