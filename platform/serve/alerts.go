package serve

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/trivet-dev/trivet/platform/alert"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/hook"
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
	// AlertWebhookURL gets a signed webhook for each change.
	AlertWebhookURL settings.Secret `env:"TRIVET_ALERT_WEBHOOK_URL" help:"address of your receiver of alerts: each change of an alert is a webhook that is signed by the Standard Webhooks specification"`
	// AlertWebhookSecrets sign webhooks; each of them does.
	AlertWebhookSecrets settings.Secrets `env:"TRIVET_ALERT_WEBHOOK_SECRET" begins:"whsec_" help:"secret that signs webhooks to TRIVET_ALERT_WEBHOOK_URL: whsec_ and 24 to 64 bytes in base64; several during a rotation, each signs"`
}

// Validate checks the addresses and the secrets.
func (a AlertSettings) Validate(settings.Modes) error {
	found := []error{checkReceiver("TRIVET_ALERT_URL", a.AlertURL), checkReceiver("TRIVET_ALERT_WEBHOOK_URL", a.AlertWebhookURL)}
	const make = `make one, and give it to the receiver: echo "whsec_$(openssl rand -base64 32)"`
	for _, secret := range a.AlertWebhookSecrets.Reveal() {
		if err := hook.CheckSecret(secret); err != nil {
			found = append(found, settings.Invalid("TRIVET_ALERT_WEBHOOK_SECRET", err.Error(), make))
		}
	}
	if a.AlertWebhookURL.IsSet() && !a.AlertWebhookSecrets.IsSet() {
		found = append(found, settings.Invalid("TRIVET_ALERT_WEBHOOK_SECRET", "is not set, and TRIVET_ALERT_WEBHOOK_URL is", make))
	}
	return settings.Join(found...)
}

// checkReceiver checks the address of a receiver.
func checkReceiver(name string, address settings.Secret) error {
	if !address.IsSet() {
		return nil
	}
	at, err := url.Parse(address.Reveal())
	if err != nil || at.Hostname() == "" || at.Scheme != "https" && at.Scheme != "http" {
		return settings.Invalid(name, "is not an address", "write https://HOST/PATH")
	}
	return nil
}

// alertReceivers are the receivers of changes, whose addresses and secrets change while the process runs.
type alertReceivers struct{ slack, webhook, secrets *settings.Live }

func newAlertReceivers(s AlertSettings) alertReceivers {
	return alertReceivers{settings.NewLive(s.AlertURL), settings.NewLive(s.AlertWebhookURL), settings.NewLive(s.AlertWebhookSecrets...)}
}

func (a alertReceivers) replace(s AlertSettings) {
	a.slack.Replace(settings.Secrets{s.AlertURL})
	a.webhook.Replace(settings.Secrets{s.AlertWebhookURL})
	a.secrets.Replace(s.AlertWebhookSecrets)
}

// rotateOwn reads the secrets of the process itself again: those of alerts, OTEL_EXPORTER_OTLP_HEADERS and the
// certificates of gRPC. An invalid one leaves the others rotating.
func (h *Host) rotateOwn(get func(string) string) error {
	var alerts AlertSettings
	wrongAlerts := settings.Load(get, &alerts)
	if wrongAlerts == nil {
		h.alerts.replace(alerts)
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

// receivers returns those that are set.
func (h *Host) receivers() (all []alert.Receiver) {
	instance, err := os.Hostname()
	if err != nil {
		instance = "unknown"
	}
	instance = fmt.Sprintf("%s:%d", instance, os.Getpid())
	if h.Settings.AlertURL.IsSet() {
		all = append(all, alert.NewSlack(alert.SlackOptions{URL: h.alerts.slack, Client: &http.Client{}, Process: h.service, Instance: instance, Now: h.Now}))
	}
	if h.Settings.AlertWebhookURL.IsSet() {
		all = append(all, alert.NewWebhook(alert.WebhookOptions{
			URL: h.alerts.webhook, Secrets: h.alerts.secrets, Client: &http.Client{}, Process: h.service, Instance: instance, Now: h.Now,
		}))
	}
	return all
}

// sharedAlerts has one of several replicas tell of what they share. It returns nil where there can be no other: without a database, and on SQLite.
func (h *Host) sharedAlerts(services []Service) *alert.Shared {
	for _, s := range services {
		replicated, ok := s.(interface{ Replicated() *database.DB })
		if !ok {
			continue
		}
		if db := replicated.Replicated(); db != nil && db.Dialect() == database.Postgres {
			return alert.NewShared(alert.SharedOptions{Database: db, Logger: h.Logger})
		}
	}
	return nil
}

// alertParts evaluate the rules over the process's metrics, and tell the receivers of changes. None are needed with an interval of 0.
func (h *Host) alertParts(services ...Service) ([]Part, error) {
	if h.Settings.AlertInterval <= 0 {
		return nil, nil
	}
	var notifiers []*alert.Notifier
	for _, r := range h.receivers() {
		notifier, err := alert.NewNotifier(alert.NotifierOptions{Receiver: r, Meter: h.Meter("alert"), Logger: h.Logger, Jitter: rand.N[time.Duration]})
		if err != nil {
			return nil, err
		}
		notifiers = append(notifiers, notifier)
	}
	evaluator, err := alert.NewEvaluator(alert.Options{
		Gatherer: h.metrics.Registry, Interval: h.Settings.AlertInterval, Meter: h.Meter("alert"), Logger: h.Logger, Now: h.Now, Shared: h.sharedAlerts(services),
		Notify: func(ctx context.Context, changes []alert.Change) {
			for _, n := range notifiers {
				n.Notify(ctx, changes)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return []Part{{Name: "alerts", Run: func(ctx context.Context) error {
		var running sync.WaitGroup
		for _, n := range notifiers {
			running.Go(func() { n.Run(ctx) })
		}
		evaluator.Run(ctx)
		running.Wait()
		return nil
	}}}, nil
}
