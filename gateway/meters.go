package gateway

import (
	"context"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// meters holds the metrics of requests.
type meters struct {
	duration metric.Float64Histogram

	mu      sync.RWMutex
	options map[measure]metric.MeasurementOption
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
	return &meters{duration: duration, options: map[measure]metric.MeasurementOption{}}, nil
}

func (m *meters) record(ctx context.Context, method, route string, status int, took time.Duration) {
	m.duration.Record(ctx, took.Seconds(), m.option(measure{methodLabel(method), route, status}))
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

// option caches the attributes of each measure, because building them costs more than recording.
func (m *meters) option(k measure) metric.MeasurementOption {
	m.mu.RLock()
	option, ok := m.options[k]
	m.mu.RUnlock()
	if ok {
		return option
	}
	option = metric.WithAttributeSet(attribute.NewSet(
		attribute.String("http_method", k.method), attribute.String("http_route", k.route), attribute.Int("http_status", k.status)))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.options[k] = option
	return option
}
