package serve

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/trivet-dev/trivet/platform/alert"
	"github.com/trivet-dev/trivet/platform/mutual"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/platform/tracing"
)

// AlertSettings say how a process watches its own metrics.
type AlertSettings struct {
	// AlertInterval is the time between two evaluations of the rules; 0 turns them off.
	AlertInterval time.Duration `env:"TRIVET_ALERT_INTERVAL" default:"30s" min:"0s" max:"5m" help:"how often a process evaluates the alert rules over its own metrics and logs what changed; 0s leaves that to Prometheus"`
	// AlertURL gets a message for each change.
	AlertURL settings.Secret `env:"TRIVET_ALERT_URL" help:"address of an incoming webhook of Slack, or of a program that understands its messages; it receives each change of an alert"`
}

// Validate checks the address.
func (a AlertSettings) Validate(settings.Modes) error {
	if !a.AlertURL.IsSet() {
		return nil
	}
	at, err := url.Parse(a.AlertURL.Reveal())
	if err != nil || at.Host == "" || at.Scheme != "https" && at.Scheme != "http" {
		return settings.Invalid("TRIVET_ALERT_URL", "is not an address", "write https://HOST/PATH")
	}
	return nil
}

// rotateOwn reads the secrets of the process itself again: TRIVET_ALERT_URL, OTEL_EXPORTER_OTLP_HEADERS and the
// certificates of gRPC. An invalid one leaves the others rotating.
func (h *Host) rotateOwn(get func(string) string) error {
	var alerts AlertSettings
	wrongAlerts := settings.Load(get, &alerts)
	if wrongAlerts == nil {
		h.alertURL.Replace(settings.Secrets{alerts.AlertURL})
	}
	var trace tracing.Settings
	wrongTrace := settings.Load(get, &trace)
	if wrongTrace == nil {
		h.traceHeaders.Replace(settings.Secrets{trace.TraceHeaders})
	}
	var secured mutual.Settings
	wrongTLS := settings.Load(get, &secured)
	if wrongTLS == nil {
		wrongTLS = h.mutual.Rotate(secured)
	}
	return errors.Join(wrongAlerts, wrongTrace, wrongTLS)
}

// alertParts evaluate the rules over the process's metrics, and tell TRIVET_ALERT_URL of changes. None are needed with an interval of 0.
func (h *Host) alertParts() ([]Part, error) {
	if h.Settings.AlertInterval <= 0 {
		return nil, nil
	}
	options := alert.Options{
		Gatherer: h.metrics.Registry, Interval: h.Settings.AlertInterval, Meter: h.Meter("alert"), Logger: h.Logger, Now: h.Now,
	}
	send := func(context.Context) {}
	if h.Settings.AlertURL.IsSet() {
		notifier, err := alert.NewNotifier(alert.NotifierOptions{
			URL: h.alertURL, Client: &http.Client{}, Process: h.service, Meter: h.Meter("alert"), Logger: h.Logger, Now: h.Now, Jitter: rand.N[time.Duration],
		})
		if err != nil {
			return nil, err
		}
		options.Notify, send = notifier.Notify, notifier.Run
	}
	evaluator, err := alert.NewEvaluator(options)
	if err != nil {
		return nil, err
	}
	return []Part{{Name: "alerts", Run: func(ctx context.Context) error {
		var running sync.WaitGroup
		running.Go(func() { send(ctx) })
		evaluator.Run(ctx)
		running.Wait()
		return nil
	}}}, nil
}
