package serve

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/trivet-dev/trivet/platform/mutual"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/platform/telemetry"
	"github.com/trivet-dev/trivet/platform/tracing"
)

// Host is what a process gives all that runs in it.
type Host struct {
	// Settings are the process's.
	Settings Settings
	// Logger is the process's log.
	Logger *slog.Logger
	// Now is the clock.
	Now func() time.Time
	// Tracer is nil when tracing is off.
	Tracer *tracing.Tracer

	service      string
	mutual       *mutual.TLS // nil for plain text
	alerts       alertReceivers
	traceHeaders *settings.Live
	level        *telemetry.Level
	lines        *telemetry.Lines
	metrics      *telemetry.Metrics
	draining     atomic.Bool // the process was told to stop
}

// errDraining is why a process that was told to stop is not ready.
var errDraining = errors.New("the process is stopping")

// NewHost makes the logger, the meters and the tracer of a process; service is its name in all of them.
func NewHost(service string, s Settings, stderr io.Writer) (*Host, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		return nil, err
	}
	metrics, err := telemetry.NewMetrics(service, Version())
	if err != nil {
		return nil, err
	}
	lines := telemetry.NewLines(stderr)
	changing := telemetry.NewLevel(level)
	logger := telemetry.NewLogger(lines, telemetry.Config{Leveler: changing, Format: s.Format()})
	headers := settings.NewLive(s.Trace.TraceHeaders)
	tracer, err := tracing.New(s.Trace, tracing.Options{Service: service, Version: Version(), Logger: logger, Headers: headers})
	if err != nil {
		return nil, err
	}
	secured, err := mutual.New(s.Mutual, time.Now)
	if err != nil {
		return nil, err
	}
	return &Host{
		mutual:   secured,
		Settings: s, Logger: logger, Now: time.Now, Tracer: tracer, service: service, alerts: newAlertReceivers(s.AlertSettings), traceHeaders: headers,
		level: changing, lines: lines, metrics: metrics,
	}, nil
}

// Meter returns the meter of a package, such as "billing".
func (h *Host) Meter(name string) metric.Meter { return h.metrics.Meter(name) }

// OpsParts answer /metrics, /healthz and /readyz, for which the checks of all services must pass, and watch the metrics.
func (h *Host) OpsParts(listener net.Listener, services ...Service) ([]Part, error) {
	var checks []telemetry.Check
	for _, s := range services {
		for name, probe := range s.Checks() {
			checks = append(checks, telemetry.Check{Name: name, Probe: probe})
		}
	}
	return h.opsParts(listener, checks, services...)
}

func (h *Host) opsParts(listener net.Listener, checks []telemetry.Check, services ...Service) ([]Part, error) {
	alerts, err := h.alertParts(services...)
	if err != nil {
		return nil, err
	}
	checks = append(checks, telemetry.Check{Name: "stopping", Probe: h.Ready})
	handler := telemetry.OpsHandler(telemetry.Ops{Gatherer: h.metrics.Registry, Checks: checks, Pprof: h.Settings.Pprof, Level: h.level, Logger: h.Logger})
	ops := Part{Name: "ops", Run: func(ctx context.Context) error {
		server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
		err := HTTP(ctx, server, listener)
		h.Tracer.Shutdown(ctx) // this part stops last
		return errors.Join(err, h.metrics.Shutdown(context.WithoutCancel(ctx)))
	}}
	return append([]Part{ops, h.levelPart()}, alerts...), nil
}

// Ready reports an error once the process was told to stop, so that it leaves the rotation before its listeners close.
func (h *Host) Ready(context.Context) error {
	if h.draining.Load() {
		return errDraining
	}
	return nil
}

// Announce logs what an operator should know of the settings before anything else happens: names in the environment that are
// probably misspelled, and what a production process lacks. configs are structs that were loaded.
func (h *Host) Announce(ctx context.Context, env settings.Env, configs ...any) error {
	for _, p := range KnowTargets(env).Suspects() {
		h.Logger.WarnContext(ctx, "unknown setting in the environment", slog.String("name", p.Name), slog.String("hint", p.Fix))
	}
	if !h.Settings.Production() {
		return nil
	}
	for _, config := range configs {
		notices, err := settings.Notices(config)
		if err != nil {
			return err
		}
		for _, n := range notices {
			h.Logger.Log(ctx, n.Level, n.Text, slog.String("setting", n.Name))
		}
	}
	return nil
}

// HTTP serves until ctx ends, then lets running requests finish for a moment.
func HTTP(ctx context.Context, server *http.Server, listener net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err := server.Shutdown(stopping)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	if stopped := <-served; !errors.Is(stopped, http.ErrServerClosed) {
		err = errors.Join(err, stopped)
	}
	return err
}
