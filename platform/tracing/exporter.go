package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/net/http/httpguts"

	"github.com/trivet-dev/trivet/platform/settings"
)

const (
	// complainEvery is how often failing exports are logged.
	complainEvery = time.Minute
	// maxComplaint bounds the error in the log, in bytes: a collector's answer may be long.
	maxComplaint = 300
)

// logged is an exporter whose failures go to the log, at most one a minute. The spans of a failed export are lost.
type logged struct {
	sdktrace.SpanExporter
	logger *slog.Logger
	now    func() time.Time

	mu     sync.Mutex
	last   time.Time
	lost   int   // since the last complaint
	latest error // of the newest failed export
}

// ExportSpans implements sdktrace.SpanExporter.
func (l *logged) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := l.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost += len(spans)
	l.latest = err
	if now := l.now(); l.last.IsZero() || now.Sub(l.last) >= complainEvery {
		l.last = now
		l.complain(ctx)
	}
	return nil
}

// rest logs the spans that were lost since the last complaint.
func (l *logged) rest(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost > 0 {
		l.complain(ctx)
	}
}

// complain logs how many spans were lost. The caller holds the lock.
func (l *logged) complain(ctx context.Context) {
	l.logger.WarnContext(ctx, "spans could not be exported and are lost; check OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS and the collector",
		slog.Int("lost", l.lost), slog.String("error", short(l.latest)))
	l.lost = 0
}

// short is the beginning of an error's text.
func short(err error) string {
	text := strings.ToValidUTF8(err.Error(), "�")
	if len(text) > maxComplaint {
		text = strings.ToValidUTF8(text[:maxComplaint], "") + "…"
	}
	return text
}

// withHeaders adds the headers that the settings name now.
type withHeaders struct{ live *settings.Live }

// RoundTrip implements http.RoundTripper.
func (w *withHeaders) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.live != nil {
		headers, err := parseHeaders(w.live.Newest().Reveal())
		if err != nil {
			return nil, err
		}
		if len(headers) > 0 {
			r = r.Clone(r.Context())
		}
		for name, value := range headers {
			r.Header.Set(name, value)
		}
	}
	return http.DefaultTransport.RoundTrip(r)
}

// parseHeaders reads NAME=VALUE pairs, whose values are percent-encoded. Its errors have no values.
func parseHeaders(text string) (map[string]string, error) {
	headers := map[string]string{}
	for i, pair := range strings.Split(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := attributeOf(pair)
		switch {
		case !ok:
			return nil, fmt.Errorf("part %d is not NAME=VALUE", i+1)
		case !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value):
			return nil, fmt.Errorf("part %d cannot be a header", i+1)
		}
		headers[name] = value
	}
	return headers, nil
}
