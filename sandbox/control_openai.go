package sandbox

import (
	"net/http"
	"time"

	"github.com/trivet-dev/trivet/sandbox/openai"
)

// openaiStats answers the counters and the last request, without the key that it carried.
func (s *Sandbox) openaiStats(w http.ResponseWriter, _ *http.Request) {
	type last struct {
		ID     string      `json:"id"`
		Method string      `json:"method"`
		Path   string      `json:"path"`
		Header http.Header `json:"header"`
		Body   string      `json:"body"`
	}
	out := struct {
		openai.Stats
		LastRequest *last `json:"last_request"`
	}{Stats: s.openai.Stats()}
	if r, ok := s.openai.LastRequest(); ok {
		header := r.Header.Clone()
		if header.Get("Authorization") != "" {
			header.Set("Authorization", "[redacted]")
		}
		out.LastRequest = &last{r.ID, r.Method, r.Path, header, string(r.Body)}
	}
	reply(w, http.StatusOK, out)
}

func (s *Sandbox) resetOpenAIStats(w http.ResponseWriter, _ *http.Request) {
	s.openai.ResetStats()
	reply(w, http.StatusOK, s.openai.Stats())
}

// openaiSettings is what can be changed while the sandbox runs; nil leaves a setting alone.
type openaiSettings struct {
	PaceMs      *int64 `json:"pace_ms"`
	ReplyTokens *int   `json:"reply_tokens"`
	// BackgroundMs is how long a response takes that runs in the background.
	BackgroundMs *int64 `json:"background_ms"`
}

func (s *Sandbox) openaiSettings(w http.ResponseWriter, _ *http.Request) {
	pace, tokens, background := s.openai.Pace().Milliseconds(), s.openai.ReplyTokens(), s.openai.BackgroundTime().Milliseconds()
	reply(w, http.StatusOK, openaiSettings{&pace, &tokens, &background})
}

func (s *Sandbox) changeOpenAISettings(w http.ResponseWriter, r *http.Request) {
	var in openaiSettings
	if !read(w, r, &in) {
		return
	}
	if in.PaceMs != nil && (*in.PaceMs < 0 || *in.PaceMs > 60_000) {
		refuse(w, http.StatusBadRequest, "pace_ms must be 0 to 60000")
		return
	}
	if in.ReplyTokens != nil && (*in.ReplyTokens < 0 || *in.ReplyTokens > 128_000) {
		refuse(w, http.StatusBadRequest, "reply_tokens must be 0 (the messages decide) to 128000")
		return
	}
	if in.BackgroundMs != nil && (*in.BackgroundMs < 1 || *in.BackgroundMs > 3_600_000) {
		refuse(w, http.StatusBadRequest, "background_ms must be 1 to 3600000")
		return
	}
	if in.BackgroundMs != nil {
		s.openai.SetBackgroundTime(time.Duration(*in.BackgroundMs) * time.Millisecond)
	}
	if in.PaceMs != nil {
		s.openai.SetPace(time.Duration(*in.PaceMs) * time.Millisecond)
	}
	if in.ReplyTokens != nil {
		s.openai.SetReplyTokens(*in.ReplyTokens)
	}
	s.openaiSettings(w, r)
}
