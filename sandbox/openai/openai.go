// Package openai is a stand-in for the OpenAI API: real HTTP, deterministic answers.
//
// The same messages always get the same words. A reply starts with an echo of the last user message and continues
// with common words; every word is one token ([CountTokens]) and one delta of a stream. A directive in a user message,
// such as "[sandbox tokens=100 pace=0]", controls one reply; [Config] controls all.
package openai

import (
	"bytes"
	"cmp"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/sandbox/internal/ident"
)

// Organization is what the openai-organization header of every answer says.
const Organization = "org-sandbox0000000000000000"

// maxBody bounds a request body, in bytes.
const maxBody = 32 << 20

// Config is what a [Fake] needs; the zero value works.
type Config struct {
	// Keys are the accepted API keys; empty accepts any key that starts with "sk-".
	Keys []string
	// Pace is the time before each delta of a stream.
	Pace time.Duration
	// ReplyTokens is the length of every reply in tokens; zero lets the messages decide (10 to 40).
	ReplyTokens int
	// BackgroundTime is how long a response takes that runs in the background; zero means one second.
	BackgroundTime time.Duration
	// Now is the clock of the "created" fields; nil means [time.Now].
	Now func() time.Time
	// Faults applies to every request. Nil means a new, empty set.
	Faults *fault.Set
}

// Fake is the OpenAI API as an [http.Handler] that serves /v1/…. It is safe for concurrent use.
type Fake struct {
	keys        []string
	now         func() time.Time
	faults      *fault.Set
	ids         *ident.Source
	mux         *http.ServeMux
	handler     http.Handler
	pace        atomic.Int64
	replyTokens atomic.Int64
	background  atomic.Int64
	stats       counters
	responses   responseStore
}

// New returns a fake that answers at once.
func New(cfg Config) *Fake {
	f := &Fake{keys: cfg.Keys, now: cfg.Now, faults: cfg.Faults, ids: ident.NewSource("openai")}
	if f.now == nil {
		f.now = time.Now
	}
	if f.faults == nil {
		f.faults = fault.NewSet("openai")
	}
	f.SetPace(cfg.Pace)
	f.SetReplyTokens(cfg.ReplyTokens)
	f.SetBackgroundTime(cfg.BackgroundTime)
	f.mux = f.routes()
	f.handler = f.observe(f.faults.Handler(f.authorize(f.mux), answerStatus))
	return f
}

// Faults returns the faults that apply to every request.
func (f *Fake) Faults() *fault.Set { return f.faults }

// SetPace changes the time before each delta of the streams that start from now on.
func (f *Fake) SetPace(d time.Duration) { f.pace.Store(int64(max(d, 0))) }

// Pace returns the time before each delta.
func (f *Fake) Pace() time.Duration { return time.Duration(f.pace.Load()) }

// SetReplyTokens fixes the length of every reply, in tokens; zero lets the messages decide.
func (f *Fake) SetReplyTokens(n int) { f.replyTokens.Store(int64(min(max(n, 0), maxReplyTokens))) }

// ReplyTokens returns the fixed length of replies, in tokens, or zero.
func (f *Fake) ReplyTokens() int { return int(f.replyTokens.Load()) }

// SetBackgroundTime changes how long the responses take that begin from now on and run in the background; zero means one second.
func (f *Fake) SetBackgroundTime(d time.Duration) {
	f.background.Store(int64(cmp.Or(max(d, 0), time.Second)))
}

// BackgroundTime returns how long a response takes that runs in the background.
func (f *Fake) BackgroundTime() time.Duration { return time.Duration(f.background.Load()) }

// ServeHTTP answers one API call.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.handler.ServeHTTP(w, r) }

// Route returns the pattern of the route that takes a request, or "/".
func (f *Fake) Route(r *http.Request) string {
	_, pattern := f.mux.Handler(r)
	return pattern
}

func (f *Fake) routes() *http.ServeMux {
	mux, bares := http.NewServeMux(), map[string]bool{}
	for path, handle := range map[string]http.HandlerFunc{
		"POST /v1/chat/completions": f.chat,
		"POST /v1/completions":      f.complete,
		"POST /v1/embeddings":       f.embed,
		"POST /v1/moderations":      f.moderate,
		"GET /v1/models":            f.listModels,

		"POST /v1/images/generations":   f.generateImages,
		"POST /v1/images/edits":         f.editImages,
		"POST /v1/audio/speech":         f.speak,
		"POST /v1/audio/transcriptions": f.transcribe,
		"POST /v1/audio/translations":   f.transcribe,

		"GET /v1/models/{model}": f.getModel,

		"POST /v1/responses":                 f.respond,
		"POST /v1/responses/compact":         f.compact,
		"POST /v1/responses/input_tokens":    f.countInput,
		"GET /v1/responses/{id}":             f.getResponse,
		"DELETE /v1/responses/{id}":          f.deleteResponse,
		"POST /v1/responses/{id}/cancel":     f.cancelResponse,
		"GET /v1/responses/{id}/input_items": f.listInputItems,
	} {
		mux.HandleFunc(path, handle)
		_, bare, _ := strings.Cut(path, " ")
		bares[bare] = true
	}
	for bare := range bares {
		if bare != "/v1/responses/compact" && bare != "/v1/responses/input_tokens" { // other methods take these for ids
			mux.HandleFunc(bare, wrongMethod)
		}
	}
	mux.HandleFunc("/", unknownURL)
	return mux
}

// observe reads the body, counts the call and sets the headers that every answer has.
func (f *Fake) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		id := f.ids.Next("req_", 32)
		f.stats.received(r, body, id)
		setHeaders(w.Header(), id)
		if len(body) > maxBody {
			writeError(w, http.StatusRequestEntityTooLarge, apiError{Message: "Maximum content size limit (33554432) exceeded.", Type: typeInvalid})
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		complete := false
		defer func() {
			if !complete && r.Context().Err() != nil {
				f.stats.cancelled.Add(1)
			}
		}()
		next.ServeHTTP(w, r)
		complete = true // one that is cut short panics
	})
}

func (f *Fake) authorize(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || key == "" {
			writeError(w, http.StatusUnauthorized, errNoKey)
			return
		}
		if !f.accepts(key) {
			writeError(w, http.StatusUnauthorized, errWrongKey(key))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (f *Fake) accepts(key string) bool {
	if len(f.keys) == 0 {
		return strings.HasPrefix(key, "sk-")
	}
	return slices.Contains(f.keys, key)
}

func setHeaders(h http.Header, requestID string) {
	h.Set("Content-Type", "application/json")
	h.Set("X-Request-Id", requestID)
	h.Set("Openai-Organization", Organization)
	h.Set("Openai-Processing-Ms", "5")
	h.Set("Openai-Version", "2020-10-01")
	h.Set("X-Ratelimit-Limit-Requests", "10000")
	h.Set("X-Ratelimit-Limit-Tokens", "2000000")
	h.Set("X-Ratelimit-Remaining-Requests", "9999")
	h.Set("X-Ratelimit-Remaining-Tokens", "1999000")
	h.Set("X-Ratelimit-Reset-Requests", "6ms")
	h.Set("X-Ratelimit-Reset-Tokens", "30ms")
}
