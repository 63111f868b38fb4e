package translate_test

import (
	"encoding/json"
	"fmt"
	"io"
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
	for name, known := range map[string]string{`"N"`: "n", `"Max_Completion_Tokens"`: "max_completion_tokens", `"meſſages"`: "messages", `"Best_of"`: "best_of", `"\u004e"`: "n"} {
		_, err := translate.New([]byte(`{"model":"m","input":"x","max_output_tokens":16,`+name+`:128}`), translate.Options{})
		require.ErrorContains(t, err, fmt.Sprintf("The field %q is written as", known))
	}
	exchange, err := translate.New([]byte(`{"model":"m","input":"x","max_output_tokens":16,"n":null,"max_tokens":null}`), translate.Options{})
	require.NoError(t, err)
	require.JSONEq(t, `{"model":"m","messages":[{"role":"user","content":"x"}],"max_completion_tokens":16}`, string(exchange.Body))
}

// TestUsage: what a translated response reports is what the relay of the same chat bills: each number is the highest of all places and events that
// report it, and a number that cannot be a count reports nothing.
func TestUsage(t *testing.T) {
	const start = `"id":"1","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"`
	const groq = `"x_groq":{"id":"r","usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}`
	said := func(input, output string) string {
		return `"usage":{"prompt_tokens":` + input + `,"completion_tokens":` + output + `}`
	}
	for name, c := range map[string]struct {
		bodies []string // the rest of each chunk, or of the only one
		want   string   // input, cached, written to the cache, output, reasoning, total
	}{
		"none":                              {[]string{`}]`}, "null"},
		"null":                              {[]string{`}],"usage":null`}, "null"},
		"empty":                             {[]string{`}],"usage":{}`}, "null"},
		"no object":                         {[]string{`}],"usage":[9,4],"x_groq":7`}, "null"},
		"no count":                          {[]string{`}],` + said(`"n/a"`, `-4`)}, "null"},
		"zero":                              {[]string{`}],` + said("0", "0")}, "0 0 0 0 0 0"},
		"a fraction":                        {[]string{`}],` + said("9", "3.7")}, "9 0 0 0 0 9"},
		"a fraction in quotes":              {[]string{`}],` + said("9", `"3.7"`)}, "9 0 0 0 0 9"},
		"not a number":                      {[]string{`}],` + said("9", `"NaN"`)}, "9 0 0 0 0 9"},
		"infinite":                          {[]string{`}],` + said("9", `"Inf"`)}, "9 0 0 0 0 9"},
		"a point and quotes":                {[]string{`}],` + said("9.0", `"4.0"`)}, "9 0 0 4 0 13"},
		"an exponent":                       {[]string{`}],` + said("1e3", "4")}, "1000 0 0 4 0 1004"},
		"the largest float":                 {[]string{`}],` + said("9", "9007199254740992.0")}, "9 0 0 9007199254740992 0 9007199254741001"},
		"beyond the largest float":          {[]string{`}],` + said("9", "9007199254740994.0")}, "9 0 0 0 0 9"},
		"an exact number":                   {[]string{`}],` + said("0", "9007199254740993")}, "0 0 0 9007199254740993 0 9007199254740993"},
		"details":                           {[]string{`}],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":14,"prompt_tokens_details":{"cached_tokens":3,"cache_write_tokens":2},"completion_tokens_details":{"reasoning_tokens":"1"}}`}, "9 3 2 4 1 14"},
		"details that are not counts":       {[]string{`}],"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":1.5},"completion_tokens_details":[7]}`}, "9 0 0 4 0 13"},
		"x_groq":                            {[]string{`}],` + groq}, "9 0 0 4 0 13"},
		"x_groq, and empty":                 {[]string{`}],"usage":{},` + groq}, "9 0 0 4 0 13"},
		"x_groq, and null":                  {[]string{`}],"usage":null,` + groq}, "9 0 0 4 0 13"},
		"x_groq, and no counts":             {[]string{`}],` + said(`"n/a"`, "null") + `,` + groq}, "9 0 0 4 0 13"},
		"x_groq, and less":                  {[]string{`}],` + said("8", "3") + `,` + groq}, "9 0 0 4 0 13"},
		"x_groq, and more":                  {[]string{`}],` + groq + `,` + said("9", "5")}, "9 0 0 5 0 14"},
		"x_groq, and the input":             {[]string{`}],"usage":{"prompt_tokens":8},` + groq}, "9 0 0 4 0 13"},
		"a choice":                          {[]string{`,` + said("9", "4") + `}]`}, "9 0 0 4 0 13"},
		"a choice, and less":                {[]string{`,` + said("9", "4") + `}],` + said("9", "3")}, "9 0 0 4 0 13"},
		"a choice, and more":                {[]string{`,` + said("9", "4") + `}],` + said("9", "5")}, "9 0 0 5 0 14"},
		"choices that grow":                 {[]string{`,` + said("9", "1") + `}]`, `,` + said("9", "4") + `}]`}, "9 0 0 4 0 13"},
		"choices that shrink":               {[]string{`,` + said("9", "4") + `}]`, `,` + said("9", "1") + `}]`}, "9 0 0 4 0 13"},
		"usage that grows":                  {[]string{`}],` + said("9", "1"), `}],` + said("9", "4")}, "9 0 0 4 0 13"},
		"usage that shrinks":                {[]string{`}],` + said("9", "4"), `}],` + said("9", "1")}, "9 0 0 4 0 13"},
		"usage, then x_groq with less":      {[]string{`}],` + said("9", "6"), `}],` + groq}, "9 0 0 6 0 15"},
		"usage, then x_groq with more":      {[]string{`}],` + said("9", "1"), `}],` + groq}, "9 0 0 4 0 13"},
		"usage, then a choice with more":    {[]string{`}],` + said("9", "1"), `,` + said("9", "4") + `}]`}, "9 0 0 4 0 13"},
		"x_groq, then a choice with less":   {[]string{`}],` + groq, `,` + said("9", "1") + `}]`}, "9 0 0 4 0 13"},
		"input, then output":                {[]string{`}],"usage":{"prompt_tokens":9}`, `}],"usage":{"completion_tokens":4}`}, "9 0 0 4 0 13"},
		"cached tokens in an earlier event": {[]string{`}],"usage":{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":3}}`, `}],` + said("9", "4")}, "9 3 0 4 0 13"},
	} {
		chats := map[string]string{}
		if len(c.bodies) == 1 {
			chats["whole"] = `{` + start + c.bodies[0] + `}`
		}
		for _, body := range c.bodies {
			chats["streamed"] += `data: {` + start + body + "}\n\n"
		}
		chats["streamed"] += "data: [DONE]\n\n"
		for form, chat := range chats {
			require.Equal(t, c.want, usageIn(t, translated(t, ``, chat)), "%s, %s", name, form)
		}
	}
}

// usageIn returns the numbers of the usage in a response, or in the last event of a stream.
func usageIn(t *testing.T, answer string) string {
	t.Helper()
	type response struct {
		Usage *struct {
			Input  int64            `json:"input_tokens"`
			Output int64            `json:"output_tokens"`
			Total  int64            `json:"total_tokens"`
			In     map[string]int64 `json:"input_tokens_details"`
			Out    map[string]int64 `json:"output_tokens_details"`
		}
	}
	var whole response
	if answer[0] == '[' {
		var events []struct{ Response response }
		require.NoError(t, json.Unmarshal([]byte(answer), &events))
		whole = events[len(events)-1].Response
	} else {
		require.NoError(t, json.Unmarshal([]byte(answer), &whole))
	}
	if u := whole.Usage; u != nil {
		return fmt.Sprint(u.Input, u.In["cached_tokens"], u.In["cache_write_tokens"], u.Output, u.Out["reasoning_tokens"], u.Total)
	}
	return "null"
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
