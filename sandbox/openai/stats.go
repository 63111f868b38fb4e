package openai

import (
	"net/http"
	"sync/atomic"
)

// Stats counts what a [Fake] has done since it was made or last reset.
type Stats struct {
	// Calls is the number of requests received, refused and faulted ones included.
	Calls int64 `json:"calls"`
	// Streams is the number of streams begun.
	Streams int64 `json:"streams"`
	// Chunks is the number of deltas sent that carried text or tool arguments.
	Chunks int64 `json:"chunks"`
	// PromptTokens and CompletionTokens are what a bill from the provider would show: all that was
	// produced, also for clients that left early.
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"`
	// Cancelled is the number of requests whose client left before the end of the answer.
	Cancelled int64 `json:"cancelled"`
}

// Request is a request as the fake received it.
type Request struct {
	// ID is what the answer's x-request-id says.
	ID string
	// Method and Path are those of the HTTP request.
	Method, Path string
	// Header holds all headers, the API key included.
	Header http.Header
	// Body is the body, up to 32 MiB and one byte.
	Body []byte
}

type counters struct {
	calls, streams, chunks, prompt, completion, cancelled atomic.Int64

	last atomic.Pointer[Request]
}

func (c *counters) received(r *http.Request, body []byte, id string) {
	c.calls.Add(1)
	c.last.Store(&Request{ID: id, Method: r.Method, Path: r.URL.Path, Header: r.Header, Body: body})
}

// Stats returns the counters; each is exact, but they are not read at one instant.
func (f *Fake) Stats() Stats {
	return Stats{
		Calls: f.stats.calls.Load(), Streams: f.stats.streams.Load(), Chunks: f.stats.chunks.Load(),
		PromptTokens: f.stats.prompt.Load(), CompletionTokens: f.stats.completion.Load(),
		Cancelled: f.stats.cancelled.Load(),
	}
}

// LastRequest returns the request received last, or false when there was none.
func (f *Fake) LastRequest() (Request, bool) {
	last := f.stats.last.Load()
	if last == nil {
		return Request{}, false
	}
	return *last, true
}

// ResetStats sets all counters to zero and forgets the last request.
func (f *Fake) ResetStats() {
	c := &f.stats
	for _, n := range []*atomic.Int64{&c.calls, &c.streams, &c.chunks, &c.prompt, &c.completion, &c.cancelled} {
		n.Store(0)
	}
	c.last.Store(nil)
}

func (c *counters) bill(u usage) {
	c.prompt.Add(int64(u.PromptTokens))
	c.completion.Add(int64(u.CompletionTokens))
}
