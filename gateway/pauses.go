package gateway

import (
	"net/http"
	"sync"
	"time"
)

// pauseParts is the part of the write timeout after which a deadline is removed while nothing is written.
const pauseParts = 4

// pauses are those of a response over HTTP/2. A deadline of a connection matters only to what is written under it. That of a stream ends the
// stream when it passes, also while nothing is written and the client has read everything. So it is removed during a pause.
type pauses struct {
	mu      sync.Mutex
	timer   *time.Timer // nil before the first write
	writing bool
	ended   bool // the handler has returned, and the response must not be touched
}

// await calls relax after a time without another await. The caller holds the lock. It does nothing on nil.
func (p *pauses) await(after time.Duration, relax func()) {
	switch {
	case p == nil:
	case p.timer == nil:
		p.timer = time.AfterFunc(after, relax)
	default:
		p.timer.Reset(after)
	}
}

// begin sets the deadline of what is written until end.
func (r *recorder) begin() {
	if r.pauses == nil {
		r.arm()
		return
	}
	r.pauses.mu.Lock()
	defer r.pauses.mu.Unlock()
	r.pauses.writing = true
	r.arm()
}

// end notes that what was written since begin is on its way.
func (r *recorder) end() {
	if r.pauses == nil {
		return
	}
	r.pauses.mu.Lock()
	defer r.pauses.mu.Unlock()
	r.pauses.writing = false
}

// relax removes the deadline, unless something is being written.
func (r *recorder) relax() {
	p := r.pauses
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ended:
	case p.writing:
		p.timer.Reset(r.timeout / pauseParts)
	default:
		r.armed = time.Time{}
		_ = http.NewResponseController(r.ResponseWriter).SetWriteDeadline(r.armed) // the stream may have ended
	}
}

// last sets the deadline of what the server still sends after the handler: what waits in its buffers, and the end of the response.
func (r *recorder) last() {
	r.begin()
	if p := r.pauses; p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ended = true
		p.timer.Stop()
	}
}
