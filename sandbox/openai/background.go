package openai

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/trivet-dev/trivet/sandbox/fault"
)

const (
	// queueShare is the part of its time that a response waits in the queue: one in so many.
	queueShare = 10
	// begunAt is how many events come before the response leaves the queue.
	begunAt = 2
)

// run is how a response is made in the background. Nothing runs: what has been made follows from the clock.
type run struct {
	created time.Time
	length  time.Duration
	fault   *fault.Fault // nil for none

	mu        sync.Mutex
	cancelled time.Time // zero for a response that was not
	billed    bool
}

// phase is how a response looks at a moment.
type phase struct {
	status    string
	usage     *usage // nil while it is not known
	completed int64
	tokens    int // of the output so far
}

func (p phase) ended() bool { return p.status != "queued" && p.status != "in_progress" }

func (r *run) queuedUntil() time.Time { return r.created.Add(r.length / queueShare) }

// due is when the token of that number has been made, of so many.
func (r *run) due(token, of int) time.Time {
	working := r.length - r.length/queueShare
	return r.queuedUntil().Add(working * time.Duration(token) / time.Duration(max(of, 1)))
}

// failsAfter is after how many tokens the response fails, of so many; more than there are for one that does not.
func (r *run) failsAfter(of int) int {
	if r.fault == nil || r.fault.Kind != fault.ResponseFails {
		return of + 1
	}
	return min(r.fault.AfterChunks, of)
}

func (r *run) hangs() bool { return r.fault != nil && r.fault.Kind == fault.ResponseHangs }

// phase is how the response looks at a time.
func (m *response) phase(now time.Time) phase {
	r := m.run
	r.mu.Lock()
	defer r.mu.Unlock()
	cancelled := !r.cancelled.IsZero() && !now.Before(r.cancelled)
	if cancelled {
		now = r.cancelled
	}
	of := m.usage.CompletionTokens
	p := phase{status: "in_progress", tokens: m.tokensAt(now)}
	switch fails := r.failsAfter(of); {
	case now.Before(r.queuedUntil()):
		p.status = "queued"
	case p.tokens >= fails:
		p.status, p.tokens = "failed", fails
		if fails > 0 {
			p.usage = m.usageOf(fails)
		}
	case r.hangs():
	case !now.Before(r.due(of, of)):
		p = phase{status: m.status, usage: &m.usage, completed: r.due(of, of).Unix(), tokens: of}
	}
	if cancelled && !p.ended() {
		begun := p.status != "queued"
		if p.status = "cancelled"; begun {
			p.usage = m.usageOf(p.tokens)
		}
	}
	return p
}

// tokensAt is how many tokens of the output have been made.
func (m *response) tokensAt(now time.Time) (n int) {
	for of := m.usage.CompletionTokens; n < of && !now.Before(m.run.due(n+1, of)); n++ {
	}
	return n
}

// usageOf is the usage with that many tokens of output.
func (m *response) usageOf(tokens int) *usage {
	u := m.usage
	u.CompletionTokens, u.TotalTokens = tokens, u.PromptTokens+tokens
	u.CompletionTokensDetails.ReasoningTokens = min(u.CompletionTokensDetails.ReasoningTokens, tokens)
	return &u
}

// cancelRunning ends a response now, unless it has ended.
func (f *Fake) cancelRunning(m *response) {
	now := f.now()
	if m.phase(now).ended() {
		return
	}
	m.run.mu.Lock()
	defer m.run.mu.Unlock()
	if m.run.cancelled.IsZero() {
		m.run.cancelled = now
	}
}

// look returns the phase of a response, and counts what it costs when it has ended.
func (f *Fake) look(m *response) phase {
	p := m.phase(f.now())
	m.run.mu.Lock()
	defer m.run.mu.Unlock()
	if p.usage != nil && p.ended() && !m.run.billed {
		m.run.billed = true
		f.stats.bill(*p.usage)
	}
	return p
}

// lost reports whether a fault has let the API forget the response.
func (f *Fake) lost(m *response) bool {
	return m.run != nil && m.run.fault != nil && m.run.fault.Kind == fault.ResponseLost && f.look(m).ended()
}

// answerRunning answers a request for a response that is made in the background.
func (f *Fake) answerRunning(w http.ResponseWriter, r *http.Request, m *response, streamed bool) {
	if !streamed {
		writeJSON(w, json.RawMessage(m.as(f.look(m))))
		return
	}
	after := -1
	if text := r.URL.Query().Get("starting_after"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			writeError(w, http.StatusBadRequest, apiError{Message: "Invalid 'starting_after': expected a sequence number.", Type: typeInvalid, Param: "starting_after"})
			return
		}
		after = n
	}
	s := f.beginAs("text/event-stream; charset=utf-8", w, r, directives{}, 0, 0)
	s.pace, s.stats = 0, &counters{} // the clock decides, and the response has its own bill
	s.run(f.follow(r, m, after))
}

// lookEvery is how often a stream looks whether more of its response has been made.
const lookEvery = 5 * time.Millisecond

// follow makes the events of a response as they come, those after a sequence number. A client that leaves ends it, and not the response.
func (f *Fake) follow(r *http.Request, m *response, after int) iter.Seq2[part, []byte] {
	return func(yield func(part, []byte) bool) {
		sequence, tokens := 0, m.usage.CompletionTokensDetails.ReasoningTokens
		for at, event := range m.events() {
			if at == delta {
				tokens++
			}
			if at == last {
				break
			}
			if !f.await(r, m, func(p phase) bool {
				switch {
				case at == closing:
					return p.status == m.status
				case sequence < begunAt: // it was created, and is in the queue
					return true
				default:
					return p.status != "queued" && (p.usage != nil || !p.ended()) && p.tokens >= tokens
				}
			}) {
				break
			}
			if sequence > after && !yield(at, event) {
				return
			}
			sequence++
		}
		if !f.await(r, m, phase.ended) {
			panic(http.ErrAbortHandler)
		}
		p := f.look(m)
		yield(closing, fmt.Appendf(nil, "event: response.%s\ndata: {\"type\":\"response.%s\",\"sequence_number\":%d,\"response\":%s}\n\n", p.status, p.status, sequence, m.as(p)))
	}
}

// await waits until a response has come so far; false when it never will, or the client has left.
func (f *Fake) await(r *http.Request, m *response, so func(phase) bool) bool {
	for {
		p := f.look(m)
		switch {
		case so(p):
			return true
		case p.ended() || !fault.Sleep(r.Context(), lookEvery):
			return false
		}
	}
}
