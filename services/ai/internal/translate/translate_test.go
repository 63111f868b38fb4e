package translate_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/ai/internal/translate"
)

// What the hold was not measured with must not reach the chat.
func TestFieldsOfChatsDoNotPass(t *testing.T) {
	for _, field := range []string{
		`"n":128`, `"max_tokens":9`, `"max_completion_tokens":100000`, `"messages":[{"role":"user","content":"x"}]`, `"functions":[]`, `"function_call":"auto"`,
		`"modalities":["audio"]`, `"audio":{}`, `"prediction":{}`, `"web_search_options":{}`, `"best_of":2`,
	} {
		_, err := translate.New([]byte(`{"model":"m","input":"x","max_output_tokens":16,`+field+`}`), translate.Options{})
		require.ErrorContains(t, err, "is a field of chat completions", field)
	}
	exchange, err := translate.New([]byte(`{"model":"m","input":"x","max_output_tokens":16,"n":null,"max_tokens":null}`), translate.Options{})
	require.NoError(t, err)
	require.JSONEq(t, `{"model":"m","messages":[{"role":"user","content":"x"}],"max_completion_tokens":16}`, string(exchange.Body))
}

// TestUsageOfGroq: a usage without a count does not hide the one in x_groq, which is billed.
func TestUsageOfGroq(t *testing.T) {
	const choice = `{"id":"1","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]`
	const groq = `"x_groq":{"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}`
	for members, want := range map[string]string{
		groq:                                     `"input_tokens":9,`,
		`"usage":{},` + groq:                     `"input_tokens":9,`,
		`"usage":null,` + groq:                   `"input_tokens":9,`,
		`"usage":{"prompt_tokens":null},` + groq: `"input_tokens":9,`,
		`"usage":{"prompt_tokens":8},` + groq:    `"input_tokens":8,`,
		`"usage":{}`:                             `"input_tokens":0,`,
		`"usage":null`:                           `"usage":null`,
	} {
		exchange, err := translate.New([]byte(`{"model":"m","input":"x","max_output_tokens":16}`), translate.Options{Now: time.Now})
		require.NoError(t, err)
		body, err := io.ReadAll(exchange.Answer(io.NopCloser(strings.NewReader(choice + "," + members + "}"))))
		require.NoError(t, err)
		require.Contains(t, string(body), want, members)
	}
}

// stubborn is a source that is silent until it is closed, and then has a last event.
type stubborn struct {
	begun, closed chan struct{}
	reads         int
}

func (s *stubborn) Read(p []byte) (int, error) {
	s.reads++
	switch s.reads {
	case 1:
		return copy(p, ": wait\n\n"), nil
	case 2:
		close(s.begun)
		<-s.closed
		return copy(p, "data: [DONE]\n\n"), nil
	default:
		return 0, io.EOF
	}
}

func (s *stubborn) Close() error { close(s.closed); return nil }

// TestAnswersAreClosedWhileTheyAreRead: the wait for the end of a body is cut by closing it from another goroutine.
func TestAnswersAreClosedWhileTheyAreRead(t *testing.T) {
	exchange, err := translate.New([]byte(`{"model":"m","input":"x","stream":true}`), translate.Options{Now: time.Now})
	require.NoError(t, err)
	source := &stubborn{begun: make(chan struct{}), closed: make(chan struct{})}
	answer := exchange.Answer(source)
	closing := make(chan error, 1)
	go func() {
		<-source.begun
		closing <- answer.Close()
	}()
	body, err := io.ReadAll(answer)
	require.NoError(t, err)
	require.NoError(t, <-closing)
	require.Contains(t, string(body), "response.completed")
}
