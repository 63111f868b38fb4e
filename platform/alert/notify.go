package alert

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/trivet-dev/trivet/platform/wait"
)

const (
	// maxWaiting bounds the changes that wait to be sent.
	maxWaiting = 256
	// sendTimeout bounds one attempt.
	sendTimeout = 10 * time.Second
	// maxAttempts bounds the attempts for one message; with the pauses between them they take up to two minutes, and longer if the
	// receiver asks to wait.
	maxAttempts = 6
	firstPause  = 2 * time.Second
	// maxPause bounds a pause that the receiver asks for.
	maxPause = time.Minute
)

// Receiver is where a Notifier sends changes: Slack or Webhook.
type Receiver interface {
	// kind names the receiver in metrics, setting the setting that holds its address.
	kind() string
	setting() string
	// together is how many changes one message may have.
	together() int
	// message writes a message.
	message(changes []Change) (message, error)
	// send makes one attempt. The pause is how long to wait before the next one: 0 leaves it to the caller, and a negative one means that
	// no attempt will succeed.
	send(ctx context.Context, m message) (pause time.Duration, err error)
}

// message is the same for each attempt.
type message struct {
	id   string
	body []byte
}

// NotifierOptions are what a Notifier is made of. All are required.
type NotifierOptions struct {
	Receiver Receiver
	Meter    metric.Meter
	Logger   *slog.Logger
	// Jitter returns a random share of a pause.
	Jitter func(time.Duration) time.Duration
}

// Notifier sends each change to a receiver.
type Notifier struct {
	options NotifierOptions
	waiting chan Change
	count   metric.Int64Counter
}

// NewNotifier makes a Notifier. Run sends.
func NewNotifier(o NotifierOptions) (*Notifier, error) {
	count, err := o.Meter.Int64Counter("trivet.alert.notifications",
		metric.WithDescription("Changes of alerts for TRIVET_ALERT_URL (slack) and TRIVET_ALERT_WEBHOOK_URL (webhook), by outcome: sent, failed or dropped."))
	if err != nil {
		return nil, fmt.Errorf("alert metrics: %w", err)
	}
	return &Notifier{options: o, waiting: make(chan Change, maxWaiting), count: count}, nil
}

// Notify queues changes. It drops those that find no room, which the log has all the same.
func (n *Notifier) Notify(ctx context.Context, changes []Change) {
	for _, c := range changes {
		c.delivery.begin()
		select {
		case n.waiting <- c:
		default:
			c.delivery.end()
			n.record(ctx, "dropped", 1)
		}
	}
}

// Run sends what is queued until ctx ends.
func (n *Notifier) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-n.waiting:
			n.deliver(ctx, n.together(first))
		}
	}
}

// together takes what else waits.
func (n *Notifier) together(first Change) []Change {
	changes := []Change{first}
	for len(changes) < n.options.Receiver.together() {
		select {
		case next := <-n.waiting:
			changes = append(changes, next)
		default:
			return changes
		}
	}
	return changes
}

// deliver sends one message, and retries what may succeed later. A message that was cut short by the end of ctx is neither sent nor given up.
func (n *Notifier) deliver(ctx context.Context, changes []Change) {
	err := n.attempts(ctx, changes)
	if err == nil || ctx.Err() == nil {
		for _, c := range changes {
			defer c.delivery.end()
		}
	}
	if err == nil {
		n.record(ctx, "sent", len(changes))
		return
	}
	n.record(ctx, "failed", len(changes))
	n.options.Logger.ErrorContext(ctx, "alerts could not be sent to "+n.options.Receiver.setting(), slog.Int("alerts", len(changes)), slog.Any("error", err))
}

func (n *Notifier) attempts(ctx context.Context, changes []Change) error {
	m, err := n.options.Receiver.message(changes)
	if err != nil {
		return err
	}
	for attempt := range maxAttempts {
		var pause time.Duration
		if pause, err = n.attempt(ctx, m); err == nil || pause < 0 || attempt == maxAttempts-1 {
			return err
		}
		if pause == 0 {
			backoff := firstPause << attempt
			pause = backoff/2 + n.options.Jitter(backoff/2)
		}
		if wait.For(ctx, pause) != nil {
			return err
		}
	}
	return err
}

func (n *Notifier) attempt(ctx context.Context, m message) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return n.options.Receiver.send(ctx, m)
}

func (n *Notifier) record(ctx context.Context, outcome string, changes int) {
	n.count.Add(ctx, int64(changes), metric.WithAttributes(attribute.String("receiver", n.options.Receiver.kind()), attribute.String("outcome", outcome)))
}

// withoutRedirects returns a client that follows no redirect, which could lead anywhere.
func withoutRedirects(c http.Client) *http.Client {
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}
