package inbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

const (
	day = 24 * time.Hour
	// aloneLease is the default of Options.Lease with Alone: a slow disk must not end it.
	aloneLease = 15 * time.Second
	// sharedLease and sharedPoll are the defaults where other processes work on the database: they wait for the leases of one that froze.
	sharedLease = 3 * time.Second
	sharedPoll  = 2 * time.Second
	// CallLease is a Handler.Lease for handlers that have others do something: another worker would repeat the call of a process that froze for longer.
	CallLease = 15 * time.Second
)

// Options say how an inbox works. All have defaults.
type Options struct {
	// Logger gets failures, deaths and lost leases, by event id; never a payload. Default: silent.
	Logger *slog.Logger
	// Meter gets the metrics, see the package's metrics.go. Default: none.
	Meter metric.Meter
	// Now is the clock of due times and leases. On PostgreSQL, Run corrects it by the clock of the server, so that the machines of several
	// processes may differ. Default: time.Now.
	Now func() time.Time
	// Rand gives numbers from 0 up to 1, for jitter. Default: math/rand.
	Rand func() float64
	// Workers is how many subjects are worked on at once, in this process. Default 16.
	Workers int
	// Lease is how long a worker holds a subject without a sign of life: it takes that long until another one continues after
	// a process died or froze. Default 3 s, and 15 s with Alone, where only this process could take it.
	Lease time.Duration
	// Heartbeat is how often a worker gives a sign of life while its handler runs, shorter than Lease. Default a third of it.
	Heartbeat time.Duration
	// Alone says that no other process works on this database, as on a SQLite file: Run takes the leases that an earlier
	// process left at once, instead of waiting until they run out.
	Alone bool
	// Timeout bounds an attempt, Job.Extend prolongs it. Default 30 s.
	Timeout time.Duration
	// MaxAttempts is after how many attempts an event is dead. Default 25, about 7 hours with the default Backoff.
	MaxAttempts int
	// Backoff is the pause between attempts.
	Backoff Backoff
	// Retention is how long the row of a done or ignored event is kept, and so how long its id is known for a duplicate. It
	// must be longer than the provider may deliver it again. Default 30 days. Dead events are kept.
	Retention time.Duration
	// PayloadRetention is how long the payload of a done or ignored event is kept, at most Retention. Default 7 days.
	PayloadRetention time.Duration
	// PollInterval is how often the workers look for work that no signal told them of. One that is shorter than Lease finds a lease that
	// ends without a sign of life at its end. Default 2 s, and 5 s with Alone.
	PollInterval time.Duration
	// Grace is how long running handlers may continue after Run was told to stop, before their contexts end. Default 3 s.
	Grace time.Duration
	// MaxPayload bounds a payload, in bytes. Default 1 MiB.
	MaxPayload int
	// Redact returns what Get shows of a payload, without personal data and secrets. Default: nothing is shown.
	Redact func(e Event) []byte
}

// Backoff is exponential with full jitter: attempt n is followed by a random pause of up to Base·2^(n-1), at most Cap.
type Backoff struct {
	Base time.Duration // default 1 s
	Cap  time.Duration // default 1 hour
}

// pause returns the pause after an attempt (from 1), for a random number from 0 up to 1.
func (b Backoff) pause(attempt int, random float64) time.Duration {
	longest := b.Cap
	if shift := attempt - 1; shift < 40 && b.Base<<shift>>shift == b.Base {
		longest = min(b.Base<<shift, b.Cap)
	}
	return time.Duration(random * float64(longest))
}

// Handler says what is done with the events of a source. Only Handle is needed; what is 0 is taken from Options.
type Handler struct {
	// Handle applies an event. It commits its effect with job.Complete; returning nil without it marks the event as done.
	// An error, or a panic, means another attempt after a pause; Permanent: none; RetryAfter: not before a time. It must
	// return soon after ctx ends.
	//
	// It may run more than once for an event (after an error, a crash, a lost lease): what it does outside of Complete must
	// bear repetition, such as a call with an idempotency key.
	Handle func(ctx context.Context, job *Job) error
	// Coalesce gives all waiting events of a subject, at most 100, to the handler as one job.
	Coalesce bool
	// Workers bounds how many of the inbox's workers this source may have at once, so that a slow provider leaves some to
	// the others. Default: all.
	Workers int
	// Lease is as in Options, for the subjects of this source. Set CallLease where Handle has others do something that they may do twice. Default, and
	// the least: Options.Lease.
	Lease time.Duration
	// MaxAttempts, Timeout, Retention and PayloadRetention are as in Options.
	MaxAttempts                          int
	Timeout, Retention, PayloadRetention time.Duration
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Meter == nil {
		o.Meter = noop.Meter{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	o.Workers = cmp.Or(o.Workers, 16)
	if !o.Alone {
		o.Lease, o.PollInterval = cmp.Or(o.Lease, sharedLease), cmp.Or(o.PollInterval, sharedPoll)
	}
	o.Lease = cmp.Or(o.Lease, aloneLease)
	o.Heartbeat = cmp.Or(o.Heartbeat, o.Lease/3)
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	o.MaxAttempts = cmp.Or(o.MaxAttempts, 25)
	o.Backoff.Base = cmp.Or(o.Backoff.Base, time.Second)
	o.Backoff.Cap = cmp.Or(o.Backoff.Cap, time.Hour)
	o.Retention = cmp.Or(o.Retention, 30*day)
	o.PayloadRetention = cmp.Or(o.PayloadRetention, min(7*day, o.Retention))
	o.PollInterval = cmp.Or(o.PollInterval, 5*time.Second)
	o.Grace = cmp.Or(o.Grace, 3*time.Second)
	o.MaxPayload = cmp.Or(o.MaxPayload, 1<<20)
	return o
}

// check reports every option that can't be.
func (o Options) check() error {
	return errors.Join(
		atLeast("Workers", o.Workers, 1), atLeast("MaxAttempts", o.MaxAttempts, 1), atLeast("MaxPayload", o.MaxPayload, 1),
		atLeast("Heartbeat", o.Heartbeat, time.Millisecond), atLeast("Lease", o.Lease, o.Heartbeat+1), atLeast("Timeout", o.Timeout, time.Millisecond),
		atLeast("Backoff.Base", o.Backoff.Base, time.Millisecond), atLeast("Backoff.Cap", o.Backoff.Cap, o.Backoff.Base),
		atLeast("PayloadRetention", o.PayloadRetention, 0), atLeast("Retention", o.Retention, o.PayloadRetention),
		atLeast("PollInterval", o.PollInterval, time.Millisecond), atLeast("Grace", o.Grace, 0),
	)
}

func atLeast[T int | time.Duration](name string, value, least T) error {
	if value < least {
		return fmt.Errorf("inbox: %s is %v, must be at least %v", name, value, least)
	}
	return nil
}

func (h Handler) withDefaults(o Options) Handler {
	h.Workers = min(cmp.Or(h.Workers, o.Workers), o.Workers)
	h.Lease = max(h.Lease, o.Lease)
	h.MaxAttempts = cmp.Or(h.MaxAttempts, o.MaxAttempts)
	h.Timeout = cmp.Or(h.Timeout, o.Timeout)
	h.Retention = cmp.Or(h.Retention, o.Retention)
	h.PayloadRetention = cmp.Or(h.PayloadRetention, min(o.PayloadRetention, h.Retention))
	return h
}

func (h Handler) check() error {
	if h.Handle == nil {
		return errors.New("handle is nil")
	}
	return errors.Join(
		atLeast("Workers", h.Workers, 1), atLeast("MaxAttempts", h.MaxAttempts, 1), atLeast("Timeout", h.Timeout, time.Millisecond),
		atLeast("PayloadRetention", h.PayloadRetention, 0), atLeast("Retention", h.Retention, h.PayloadRetention),
	)
}

// maxCoalesced bounds the events of one job.
const maxCoalesced = 100

// limit is how many events one job may cover.
func (h Handler) limit() int {
	if h.Coalesce {
		return maxCoalesced
	}
	return 1
}

// expiry returns when the payload and the row of an event go that ended now.
func (h Handler) expiry(now time.Time) (payload, row int64) {
	return now.Add(h.PayloadRetention).UnixMicro(), now.Add(h.Retention).UnixMicro()
}
