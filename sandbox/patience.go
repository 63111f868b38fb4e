package sandbox

import (
	"net/http"
	"time"
)

// defaultPatience is how long a client may leave an answer unread.
const defaultPatience = 30 * time.Second

// patient cuts connections whose clients do not read, because an answer stays in memory until it is read. The limit
// applies to each write; the time before an answer, or between the events of a stream, does not count.
func patient(limit time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := &patientWriter{ResponseWriter: w, control: http.NewResponseController(w), limit: limit}
		// The connection may serve another request. Recorders in tests do not support deadlines, hence the ignored errors.
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

// Unwrap gives [http.ResponseController] access to the wrapped writer.
func (p *patientWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// Write restarts the client's time limit.
func (p *patientWriter) Write(b []byte) (int, error) {
	p.extend()
	return p.ResponseWriter.Write(b)
}

// FlushError restarts the client's time limit, because a flush writes what is buffered.
func (p *patientWriter) FlushError() error {
	p.extend()
	return p.control.Flush()
}

// extend moves the deadline, at most ten times per limit.
func (p *patientWriter) extend() {
	// Network deadlines use the real clock.
	if now := time.Now(); now.Sub(p.set) > p.limit/10 {
		p.set = now
		_ = p.control.SetWriteDeadline(now.Add(p.limit))
	}
}
