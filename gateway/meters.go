package gateway

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/trivet-dev/trivet/platform/telemetry"
)

// meters holds the metrics of requests.
type meters struct {
	duration metric.Float64Histogram
	options  telemetry.Memo[measure, []metric.RecordOption]
}

// measure is the set of labels of one request. Patterns and methods are few, so the map stays small.
type measure struct {
	method, route string
	status        int
}

func newMeters(meter metric.Meter) (*meters, error) {
	duration, err := meter.Float64Histogram("trivet_http_duration_seconds",
		metric.WithDescription("Duration of HTTP requests at the edge by method, route and status. Streams count until their end."),
		metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120))
	if err != nil {
		return nil, err
	}
	return &meters{duration: duration}, nil
}

func (m *meters) record(ctx context.Context, method, route string, status int, took time.Duration) {
	m.duration.Record(ctx, took.Seconds(), m.options.Get(measure{methodLabel(method), route, status}, labels)...)
}

// methodLabel bounds the methods: a caller may invent any number of them.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "OTHER"
	}
}

func labels(m measure) []metric.RecordOption {
	return []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(
		attribute.String("http_method", m.method), attribute.String("http_route", m.route), attribute.Int("http_status", m.status)))}
}
