package inbox

import (
	"time"

	"github.com/trivet-dev/trivet/platform/settings"
)

// Settings are what an operator may choose of Options; a service with an inbox has them in its Config.
type Settings struct {
	// MaxAttempts is Options.MaxAttempts.
	MaxAttempts int `env:"TRIVET_INBOX_MAX_ATTEMPTS" default:"25" min:"1" max:"1000" help:"attempts at an event until it is dead; 25 take about 7 hours with the default pauses"`
	// RetryBase and RetryCap are Options.Backoff.
	RetryBase time.Duration `env:"TRIVET_INBOX_RETRY_BASE" default:"1s" min:"1ms" max:"1h" help:"longest pause after an event's first failed attempt; it doubles with each further attempt, and each pause is a random part of it"`
	RetryCap  time.Duration `env:"TRIVET_INBOX_RETRY_CAP" default:"1h" min:"1ms" max:"24h" help:"longest pause between two attempts at an event"`
	// Retention is Options.Retention; providers deliver again for three days by themselves, and for longer by hand.
	Retention time.Duration `env:"TRIVET_INBOX_RETENTION" default:"720h" min:"96h" max:"8760h" help:"how long the ids of events are remembered, so that a repeated delivery is recognized"`
	// PayloadRetention is Options.PayloadRetention.
	PayloadRetention time.Duration `env:"TRIVET_INBOX_PAYLOAD_RETENTION" default:"168h" min:"1m" max:"8760h" help:"how long the payloads of events that were applied or ignored are kept"`
}

// Validate finds what the tags can't.
func (s Settings) Validate(settings.Modes) error {
	var found []error
	if s.RetryCap < s.RetryBase {
		found = append(found, settings.Invalid("TRIVET_INBOX_RETRY_CAP", "is shorter than TRIVET_INBOX_RETRY_BASE", "set it to as much or more"))
	}
	if s.Retention < s.PayloadRetention {
		found = append(found, settings.Invalid("TRIVET_INBOX_RETENTION", "is shorter than TRIVET_INBOX_PAYLOAD_RETENTION", "set it to as much or more"))
	}
	return settings.Join(found...)
}

// Apply puts the settings into options.
func (s Settings) Apply(o Options) Options {
	o.MaxAttempts, o.Backoff = s.MaxAttempts, Backoff{Base: s.RetryBase, Cap: s.RetryCap}
	o.Retention, o.PayloadRetention = s.Retention, s.PayloadRetention
	return o
}
