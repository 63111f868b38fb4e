package status

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/netip"
	"time"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/sse"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

const (
	// maxStreams bounds the streams of a process: they need no credential.
	maxStreams = 1000
	// maxStreamsOfClient bounds the streams of one client, so that one cannot hold all.
	maxStreamsOfClient = 50
	// streamInterval is how often a stream looks for changes.
	streamInterval = 2 * time.Second
	// askAgain is after how long a refused credential is checked again.
	askAgain = time.Minute
	// retryAfter is how long a caller should wait when there are too many streams.
	retryAfter = 30 * time.Second
)

// Stream returns a handler that sends the report as a server-sent event, at first and whenever it changes. A comment is sent
// after keepAlive without a change; 0 disables comments. client names the client that sends a request.
func (p *Page) Stream(keepAlive time.Duration, client func(*http.Request) netip.Addr) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.Header().Set("Content-Type", sse.ContentType)
			return
		}
		release, ok := p.streams.take(client(r))
		if !ok {
			call.From(r.Context()).Fail(r.Context(), w, errs.New(errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED,
				"Too many requests. Please wait a moment and try again.").After(retryAfter))
			return
		}
		defer release()
		w.Header().Set("Content-Type", sse.ContentType)
		s := &stream{page: p, request: r, out: sse.NewWriter(w), keepAlive: keepAlive}
		s.run()
	})
}

// Stop ends all streams, so that a server can shut down. Clients connect again.
func (p *Page) Stop() { p.stopOnce.Do(func() { close(p.stop) }) }

// stream sends reports to one client.
type stream struct {
	page      *Page
	request   *http.Request
	out       *sse.Writer
	keepAlive time.Duration
	last      []byte
	silent    time.Duration // since the last write
	refused   time.Time     // when the credential was last refused; zero before
}

// run sends until the client leaves or the server stops.
func (s *stream) run() {
	s.out.Begin(http.StatusOK)
	ticker := time.NewTicker(streamInterval)
	defer ticker.Stop()
	for s.send() == nil {
		select {
		case <-s.request.Context().Done():
			return
		case <-s.page.stop:
			return
		case <-ticker.C:
			s.silent += streamInterval
		}
	}
}

// visible returns what the client may see. An operator's credential is checked each time, because it can expire. One that was refused is
// checked again after askAgain only: a stream must not cost auth more than a request does.
func (s *stream) visible(report Report) Report {
	now := s.page.now()
	if !s.refused.IsZero() && now.Sub(s.refused) < askAgain {
		return report.public()
	}
	if !s.page.operator(s.request) {
		s.refused = now
		return report.public()
	}
	return report
}

// send writes the report when it has changed.
func (s *stream) send() error {
	report, ok := s.page.report(s.request.Context())
	if !ok {
		return s.request.Context().Err()
	}
	raw, err := json.Marshal(s.visible(report))
	if err != nil {
		return err
	}
	if bytes.Equal(raw, s.last) {
		return s.ping()
	}
	s.last, s.silent = raw, 0
	if _, err := s.out.Write(append(append([]byte("data: "), raw...), "\n\n"...)); err != nil {
		return err
	}
	return s.out.Flush()
}

func (s *stream) ping() error {
	if s.keepAlive <= 0 || s.silent < s.keepAlive {
		return nil
	}
	s.silent = 0
	return s.out.Ping()
}
