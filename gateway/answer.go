package gateway

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/trivet-dev/trivet/platform/errs"
)

// maxPart is how many bytes of a response are written under one deadline.
const maxPart = 256 << 10

// recorder records the status and size of a response, and limits how long the client may take to read each part of it.
// A deadline for the whole response would end streams.
type recorder struct {
	http.ResponseWriter
	timeout time.Duration
	armed   time.Time // when the deadline was last set; zero without one
	status  int
	bytes   int64
	pauses  *pauses // nil but for HTTP/2
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
		r.begin()
		defer r.end()
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	written := 0
	for {
		r.begin()
		n, err := r.ResponseWriter.Write(b[written:min(written+maxPart, len(b))])
		r.end()
		written += n
		r.bytes += int64(n)
		if err != nil || written == len(b) {
			return written, err
		}
	}
}

// FlushError is for http.ResponseController. What a connection flushes was written just before.
func (r *recorder) FlushError() error {
	if r.pauses != nil {
		r.begin()
		defer r.end()
	}
	return http.NewResponseController(r.ResponseWriter).Flush()
}

// arm moves the write deadline ahead. It does so at most eight times per timeout, because each move costs a call into the
// poller. The server removes the deadline when the request ends.
func (r *recorder) arm() {
	if now := time.Now(); now.Sub(r.armed) > r.timeout/8 {
		r.armed = now
		// Only the recorders of tests lack deadlines.
		_ = http.NewResponseController(r.ResponseWriter).SetWriteDeadline(now.Add(r.timeout))
		r.pauses.await(r.timeout/pauseParts, r.relax)
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// finish writes the request's log line and its metrics. Paths, queries and headers are left out, because they contain ids
// and credentials.
func (g *Gateway) finish(x *exchange, method string, took time.Duration) {
	status := x.status
	if status == 0 {
		status = http.StatusOK
	}
	if x.Failure != nil && errs.MappingOf(x.Failure.Reason).HTTP == errs.StatusClientClosed {
		status = errs.StatusClientClosed
	}
	method = knownMethod(method)
	defer x.trace(method, status)
	g.meters.record(x, method, x.Route, status, took)
	level := slog.LevelInfo
	if status >= http.StatusInternalServerError || (x.Broken && status != errs.StatusClientClosed) {
		level = slog.LevelWarn
	}
	attempt, attempted := x.Attempt.Take()
	if !g.logger.Enabled(x, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 10)
	attrs = append(attrs, slog.String("method", method), slog.String("route", x.Route), slog.Int("status", status),
		slog.Int64("bytes", x.bytes), slog.Duration("took", took), slog.String("request_id", x.ID))
	if x.Failure != nil {
		attrs = append(attrs, slog.String("reason", errs.Code(x.Failure.Reason)))
		if level > slog.LevelInfo {
			attrs = append(attrs, slog.Any("error", x.Failure))
		}
	}
	if x.Broken {
		attrs = append(attrs, slog.Bool("broken", true))
	}
	if attempted {
		attrs = append(attrs, attempt)
	}
	g.logger.LogAttrs(x, level, "request", attrs...)
}

// knownMethod keeps invented methods out of logs and metrics.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}
