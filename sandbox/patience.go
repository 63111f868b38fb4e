package sandbox

import (
	"net/http"
	"time"
)

// defaultPatience is how long a client may leave an answer unread.
const defaultPatience = 30 * time.Second

// patient cuts connections whose clients do not read: an answer stays in memory until it is read. Time that passes
// before an answer, or between the events of a stream, does not count.
func patient(limit time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := &patientWriter{ResponseWriter: w, control: http.NewResponseController(w), limit: limit}
		// The connection may serve another request. Writers without deadlines, of tests, have nothing to cut.
		defer func() { _ = p.control.SetWriteDeadline(time.Time{}) }()
		next.ServeHTTP(p, r)
	})
}

type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	limit   time.Duration
	set     time.Time // when the deadline was set last
}

// Unwrap lets [http.ResponseController] find what the writer itself does not do.
func (p *patientWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// Write gives the client its time again.
func (p *patientWriter) Write(b []byte) (int, error) {
	p.extend()
	return p.ResponseWriter.Write(b)
}

// FlushError gives the client its time again, as a flush writes what is buffered.
func (p *patientWriter) FlushError() error {
	p.extend()
	return p.control.Flush()
}

// extend moves the deadline, not more often than it matters.
func (p *patientWriter) extend() {
	// The deadline is the network's, so the clock is the real one.
	if now := time.Now(); now.Sub(p.set) > p.limit/10 {
		p.set = now
		_ = p.control.SetWriteDeadline(now.Add(p.limit))
	}
}
