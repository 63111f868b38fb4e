package telemetry

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"
)

// maxSeries bounds the attribute sets of one instrument; what comes beyond is counted together.
const maxSeries = 2000

// Metrics is a process's meters and the registry that /metrics serves.
type Metrics struct {
	// Registry gathers everything, the Go runtime and the process included.
	Registry *prometheus.Registry
	provider *sdkmetric.MeterProvider
}

// NewMetrics makes the metrics of a process. The service ("trivet", "billing", …) and version stand in target_info.
func NewMetrics(service, version string) (*Metrics, error) {
	registry := prometheus.NewRegistry()
	err := errors.Join(
		registry.Register(collectors.NewGoCollector()),
		registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
	)
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	about := resource.NewSchemaless(
		attribute.String("service.name", service), attribute.String("service.version", version))
	provider := sdkmetric.NewMeterProvider(
		sdkmetric.WithReader(exporter),
		sdkmetric.WithResource(about),
		sdkmetric.WithView(seconds()),
		sdkmetric.WithCardinalityLimit(maxSeries),
		sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter), // they cost time, and nothing collects them
	)
	return &Metrics{Registry: registry, provider: provider}, nil
}

// seconds gives histograms of seconds the buckets of calls that take from a millisecond to minutes.
func seconds() sdkmetric.View {
	return sdkmetric.NewView(
		sdkmetric.Instrument{Kind: sdkmetric.InstrumentKindHistogram, Unit: "s"},
		sdkmetric.Stream{Aggregation: sdkmetric.AggregationExplicitBucketHistogram{
			Boundaries: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300},
			NoMinMax:   true,
		}},
	)
}

// Meter returns the meter of a package, named after it, such as "billing". It is safe for concurrent use.
func (m *Metrics) Meter(name string) metric.Meter { return m.provider.Meter(name) }

// MeterProvider is for libraries that make their own meters.
func (m *Metrics) MeterProvider() metric.MeterProvider { return m.provider }

// Shutdown ends the meters; what they record afterwards is lost.
func (m *Metrics) Shutdown(ctx context.Context) error { return m.provider.Shutdown(ctx) }
