package openai_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/sandbox/openai"
)

// aResponse is what these tests read of a response.
type aResponse struct {
	ID         string
	Status     string
	Background bool
	Completed  *int64 `json:"completed_at"`
	Error      *struct{ Code string }
	Output     []json.RawMessage
	Usage      *struct {
		Input  int64 `json:"input_tokens"`
		Output int64 `json:"output_tokens"`
	}
}

// clocked is a server whose clock only the test moves.
func clocked(t *testing.T, length time.Duration) (s *server, pass func(time.Duration)) {
	t.Helper()
	begin := time.Unix(1_800_000_000, 0)
	var passed atomic.Int64
	s = serve(t, openai.Config{BackgroundTime: length, ReplyTokens: 90, Now: func() time.Time { return begin.Add(time.Duration(passed.Load())) }})
	return s, func(d time.Duration) { passed.Add(int64(d)) }
}

func (s *server) response(t *testing.T, method, path, body string) (m aResponse) {
	t.Helper()
	r := s.do(t, method, path, body)
	require.Equal(t, http.StatusOK, r.status, r.body)
	require.NoError(t, json.Unmarshal([]byte(r.body), &m))
	return m
}

const inBackground = `{"model":"gpt-4o-mini","input":"hello","background":true}`

func TestBackgroundResponse(t *testing.T) {
	s, pass := clocked(t, 100*time.Second)
	m := s.response(t, "POST", "/v1/responses", inBackground)
	require.Equal(t, "queued", m.Status)
	require.True(t, m.Background)
	require.Nil(t, m.Usage)
	require.Empty(t, m.Output)
	at := "/v1/responses/" + m.ID
	pass(10*time.Second - 1)
	require.Equal(t, "queued", s.response(t, "GET", at, "").Status)
	pass(1)
	require.Equal(t, "in_progress", s.response(t, "GET", at, "").Status)
	pass(90*time.Second - 1)
	require.Equal(t, "in_progress", s.response(t, "GET", at, "").Status)
	require.Zero(t, s.Stats().CompletionTokens)
	pass(1)
	for range 2 {
		m = s.response(t, "GET", at, "")
		require.Equal(t, "completed", m.Status)
		require.EqualValues(t, 90, m.Usage.Output)
		require.EqualValues(t, 1_800_000_100, *m.Completed)
		require.Len(t, m.Output, 1)
		require.EqualValues(t, 90, s.Stats().CompletionTokens, "it costs once")
	}
	require.Equal(t, "completed", s.response(t, "POST", at+"/cancel", "").Status, "too late")
}

func TestBackgroundResponseIsCancelled(t *testing.T) {
	for name, c := range map[string]struct {
		after  time.Duration
		tokens int64
	}{
		"in the queue": {time.Second, -1}, "at work": {40 * time.Second, 30},
	} {
		t.Run(name, func(t *testing.T) {
			s, pass := clocked(t, 100*time.Second)
			at := "/v1/responses/" + s.response(t, "POST", "/v1/responses", inBackground).ID
			pass(c.after)
			for range 2 {
				m := s.response(t, "POST", at+"/cancel", "")
				require.Equal(t, "cancelled", m.Status)
				require.Equal(t, c.tokens < 0, m.Usage == nil)
				if m.Usage != nil {
					require.Equal(t, c.tokens, m.Usage.Output)
				}
				pass(time.Hour)
			}
		})
	}
}

func TestFaultsOfBackgroundResponses(t *testing.T) {
	for kind, c := range map[string]struct {
		fault  fault.Fault
		status int
		answer string
		tokens int64
	}{
		"fails":             {fault.Fault{Kind: fault.ResponseFails}, 200, "failed", -1},
		"fails with tokens": {fault.Fault{Kind: fault.ResponseFails, AfterChunks: 30}, 200, "failed", 30},
		"hangs":             {fault.Fault{Kind: fault.ResponseHangs}, 200, "in_progress", -1},
		"is lost":           {fault.Fault{Kind: fault.ResponseLost}, 404, "", -1},
	} {
		t.Run(kind, func(t *testing.T) {
			s, pass := clocked(t, 100*time.Second)
			c.fault.Count = 1
			_, err := s.Faults().Add(c.fault)
			require.NoError(t, err)
			m := s.response(t, "POST", "/v1/responses", inBackground)
			require.Equal(t, "queued", s.response(t, "GET", "/v1/responses/"+m.ID, "").Status)
			pass(time.Hour)
			r := s.do(t, "GET", "/v1/responses/"+m.ID, "")
			require.Equal(t, c.status, r.status)
			if c.status != http.StatusOK {
				return
			}
			require.NoError(t, json.Unmarshal([]byte(r.body), &m))
			require.Equal(t, c.answer, m.Status)
			require.Equal(t, c.answer == "failed", m.Error != nil)
			if require.Equal(t, c.tokens < 0, m.Usage == nil); m.Usage != nil {
				require.Equal(t, c.tokens, m.Usage.Output)
			}
			other := s.response(t, "POST", "/v1/responses", inBackground)
			pass(time.Hour)
			require.Equal(t, "completed", s.response(t, "GET", "/v1/responses/"+other.ID, "").Status)
		})
	}
}

// A client that reads a part of the stream, and the rest by its number, has seen each event once.
func TestBackgroundStreamIsResumed(t *testing.T) {
	s := serve(t, openai.Config{BackgroundTime: 300 * time.Millisecond, ReplyTokens: 40})
	first := s.do(t, "POST", "/v1/responses", strings.Replace(inBackground, "{", `{"stream":true,`, 1))
	require.NoError(t, first.err)
	all := strings.SplitAfter(first.body, "\n\n")
	all = all[:len(all)-1]
	require.Contains(t, all[0], `"status":"queued"`)
	require.Contains(t, all[1], "response.queued")
	require.Contains(t, all[len(all)-1], "event: response.completed")
	id := s.Responses()[0]
	for i, event := range all {
		require.Contains(t, event, `"sequence_number":`+strconv.Itoa(i)+",")
	}
	again := s.do(t, "GET", "/v1/responses/"+id+"?stream=true", "")
	require.Equal(t, first.body, again.body)
	rest := s.do(t, "GET", "/v1/responses/"+id+"?stream=true&starting_after=7", "")
	require.Equal(t, strings.Join(all[8:], ""), rest.body)
	require.EqualValues(t, 40, s.Stats().CompletionTokens)
	require.Equal(t, http.StatusBadRequest, s.do(t, "GET", "/v1/responses/"+id+"?stream=true&starting_after=x", "").status)
}

func TestStreamsOfOtherResponses(t *testing.T) {
	s := serve(t, openai.Config{})
	m := s.response(t, "POST", "/v1/responses", `{"model":"gpt-4o-mini","input":"hello"}`)
	require.Equal(t, http.StatusBadRequest, s.do(t, "GET", "/v1/responses/"+m.ID+"?stream=true", "").status)
	require.Equal(t, http.StatusBadRequest, s.do(t, "POST", "/v1/responses", `{"model":"gpt-4o-mini","input":"x","background":true,"store":false}`).status)
}
