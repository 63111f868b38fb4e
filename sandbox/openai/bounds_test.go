package openai_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/openai"
)

// TestUnreadAnswersTakeLittleMemory: an answer is kept as its text, not as its events, until the client has read it.
func TestUnreadAnswersTakeLittleMemory(t *testing.T) {
	const readers, perReader = 10, 1 << 20
	for name, body := range map[string]string{
		"stream":     whole("hi [sandbox tokens=16000]", `,"stream":true,"n":3`),
		"prompt":     whole(strings.Repeat("x", 1<<20)+" [sandbox tokens=16000]", `,"stream":true,"n":3`),
		"embeddings": `{"model":"text-embedding-3-large","input":[` + strings.Repeat(`"a",`, 2000) + `"b"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, openai.Config{})
			path := "/v1/chat/completions"
			if name == "embeddings" {
				path = "/v1/embeddings"
			}
			before := heap()
			for range readers {
				conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
				require.NoError(t, err)
				require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4<<10))
				defer func() { _ = conn.Close() }()
				_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-test\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
				require.NoError(t, err)
				one := make([]byte, 1)
				_, err = io.ReadFull(conn, one) // the answer has begun
				require.NoError(t, err)
			}
			require.Less(t, s.Stats().Chunks, int64(readers*3*16000), "some still wait to be read")
			s.ResetStats() // holds the last request
			require.Less(t, (heap()-before)/readers, int64(perReader), "bytes per reader")
		})
	}
}

// whole is a request that is not streamed unless more says so.
func whole(text, more string) string {
	return fmt.Sprintf(`{"model":"gpt-4o-mini","messages":[{"role":"user","content":%q}]%s}`, text, more)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestAnswersAreBounded has what would make an answer of gigabytes.
func TestAnswersAreBounded(t *testing.T) {
	s := serve(t, openai.Config{})
	nested := `{"type":"string"}`
	for range 8 {
		nested = `{"type":"array","minItems":16,"items":` + nested + `}`
	}
	tools := func(n int, parameters string) string {
		one := `{"type":"function","function":{"name":"hi","parameters":` + parameters + `}},`
		return `,"tools":[` + strings.TrimSuffix(strings.Repeat(one, n), ",") + `]`
	}
	huge := `{"type":"object","description":"` + strings.Repeat("x", 64<<10) + `"}`
	for name, test := range map[string]struct{ body, want string }{
		"many long choices": {whole("[sandbox tokens=16000]", `,"n":128`), "at most 1048576 bytes over all choices"},
		"a schema too many": {whole("hi", tools(1, huge)), "schemas of at most 65536 bytes"},
		"a format too long": {whole("hi", `,"response_format":{"type":"json_schema","json_schema":{"schema":`+huge+`}}`), "schemas of at most 65536 bytes"},
		"too many tools":    {whole("x", tools(129, `{}`)), "maximum length 128"},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.do(t, "POST", "/v1/chat/completions", test.body)
			require.Equal(t, http.StatusBadRequest, r.status, r.body)
			require.Contains(t, r.body, test.want)
		})
	}
	r := s.do(t, "POST", "/v1/chat/completions", whole("hi", tools(1, nested)))
	require.Equal(t, http.StatusOK, r.status)
	require.Less(t, len(r.body), 32<<10, "16 lists in 16 lists, eight times")
	r = s.do(t, "POST", "/v1/chat/completions", whole("there", tools(1, huge)))
	require.Equal(t, http.StatusOK, r.status, "a schema that the answer need not fit")
	r = s.do(t, "POST", "/v1/embeddings", `{"model":"text-embedding-3-small","input":[`+strings.TrimSuffix(strings.Repeat(`"`+strings.Repeat("a ", 8000)+`",`, 38), ",")+`]}`)
	require.Equal(t, http.StatusBadRequest, r.status)
	require.Contains(t, r.body, "max_tokens_per_request")
}

// TestLimitKeepsTheSameWords: what a limit leaves of an answer does not depend on how long the answer would have been.
func TestLimitKeepsTheSameWords(t *testing.T) {
	s := serve(t, openai.Config{})
	text := func(tokens, limit int) (content, finish string) {
		r := s.do(t, "POST", "/v1/chat/completions", whole(fmt.Sprintf("hi [sandbox tokens=%d]", tokens), fmt.Sprintf(`,"seed":1,"max_tokens":%d`, limit)))
		require.Equal(t, http.StatusOK, r.status, r.body)
		var answer struct {
			Choices []struct {
				FinishReason string `json:"finish_reason"`
				Message      struct{ Content string }
			}
			Usage struct {
				CompletionTokens int `json:"completion_tokens"`
			}
		}
		require.NoError(t, json.Unmarshal([]byte(r.body), &answer))
		require.Equal(t, min(tokens, limit), answer.Usage.CompletionTokens)
		return answer.Choices[0].Message.Content, answer.Choices[0].FinishReason
	}
	for _, test := range []struct {
		tokens, limit int
		finish        string
	}{{30, 31, "stop"}, {30, 30, "stop"}, {31, 30, "length"}, {9999, 30, "length"}, {5, 1, "length"}} {
		content, finish := text(test.tokens, test.limit)
		require.Equal(t, test.finish, finish, test)
		require.Equal(t, min(test.tokens, test.limit), openai.CountTokens(content), test)
	}
}
