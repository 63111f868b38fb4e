package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/platform/wait"
)

const (
	// maxWaiting bounds the changes that wait to be sent, maxTogether those in one message.
	maxWaiting, maxTogether = 256, 20
	// sendTimeout bounds one attempt.
	sendTimeout = 10 * time.Second
	// maxAttempts bounds the attempts for one message; with the pauses between them they take about a minute and a half.
	maxAttempts = 6
	firstPause  = 2 * time.Second
	// maxPause bounds a pause that the receiver asks for.
	maxPause = time.Minute
)

// NotifierOptions are what a Notifier is made of. All are required.
type NotifierOptions struct {
	// URL receives the messages. Its path is often a secret, so that no error and no log line shows it.
	URL    *settings.Live
	Client *http.Client
	// Process names the sender, such as "trivet" or "billing".
	Process string
	Meter   metric.Meter
	Logger  *slog.Logger
	// Now is the clock.
	Now func() time.Time
	// Jitter returns a random share of a pause.
	Jitter func(time.Duration) time.Duration
}

// Notifier sends changes as messages that Slack understands: {"text": "…"}.
type Notifier struct {
	options NotifierOptions
	waiting chan Change
	count   metric.Int64Counter
}

// NewNotifier makes a Notifier. Run sends.
func NewNotifier(o NotifierOptions) (*Notifier, error) {
	count, err := o.Meter.Int64Counter("trivet.alert.notifications",
		metric.WithDescription("Changes of alerts for TRIVET_ALERT_URL, by outcome: sent, failed or dropped."))
	if err != nil {
		return nil, fmt.Errorf("alert metrics: %w", err)
	}
	client := *o.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	o.Client = &client
	return &Notifier{options: o, waiting: make(chan Change, maxWaiting), count: count}, nil
}

// Notify queues changes. It drops those that find no room, which the log has all the same.
func (n *Notifier) Notify(ctx context.Context, changes []Change) {
	for _, c := range changes {
		select {
		case n.waiting <- c:
		default:
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
	for len(changes) < maxTogether {
		select {
		case next := <-n.waiting:
			changes = append(changes, next)
		default:
			return changes
		}
	}
	return changes
}

// deliver sends one message, and retries what may succeed later.
func (n *Notifier) deliver(ctx context.Context, changes []Change) {
	raw, err := json.Marshal(map[string]string{"text": n.text(changes)})
	for attempt := range maxAttempts {
		var pause time.Duration
		if pause, err = n.send(ctx, raw); err == nil {
			n.record(ctx, "sent", len(changes))
			return
		}
		if pause < 0 || attempt == maxAttempts-1 {
			break
		}
		if pause == 0 {
			backoff := firstPause << attempt
			pause = backoff/2 + n.options.Jitter(backoff/2)
		}
		if wait.For(ctx, pause) != nil {
			break
		}
	}
	n.record(ctx, "failed", len(changes))
	n.options.Logger.ErrorContext(ctx, "alerts could not be sent to TRIVET_ALERT_URL", slog.Int("alerts", len(changes)), slog.Any("error", err))
}

// errRefused is an answer that is not a success.
var errRefused = errors.New("the receiver answered with an error")

// send makes one attempt. The pause is how long to wait before the next one: 0 leaves it to the caller, and a negative one means
// that no attempt will succeed.
func (n *Notifier) send(ctx context.Context, body []byte) (pause time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	address := n.options.URL.Newest().Reveal()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return -1, errors.New("TRIVET_ALERT_URL is not an address")
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := n.options.Client.Do(request)
	if err != nil {
		return 0, withoutURL(err, address)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 4096)) // so that the connection can be used again
	switch status := response.StatusCode; {
	case status < 300:
		return 0, nil
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500:
		return min(provider.RetryAfter(response.Header, n.options.Now()), maxPause), fmt.Errorf("%w: %s", errRefused, response.Status)
	default:
		return -1, fmt.Errorf("%w: %s", errRefused, response.Status)
	}
}

// withoutURL keeps the address out of an error.
func withoutURL(err error, address string) error {
	return errors.New(strings.ReplaceAll(errors.Unwrap(err).Error(), address, "TRIVET_ALERT_URL"))
}

// escape is what Slack asks for in texts.
var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// text is the message for people.
func (n *Notifier) text(changes []Change) string {
	lines := make([]string, 0, len(changes))
	for _, c := range changes {
		state := "FIRING"
		if !c.Firing {
			state = "RESOLVED"
		}
		line := fmt.Sprintf("[%s] %s (%s, %s): %s", state, c.Rule.Name, c.Rule.Severity, n.options.Process, c.Summary())
		for _, name := range slices.Sorted(maps.Keys(c.Labels)) {
			line += fmt.Sprintf(" %s=%s", name, c.Labels[name])
		}
		if c.Firing {
			line += " What to do: " + c.Rule.Playbook()
		}
		lines = append(lines, escape.Replace(line))
	}
	return strings.Join(lines, "\n")
}

func (n *Notifier) record(ctx context.Context, outcome string, changes int) {
	n.count.Add(ctx, int64(changes), metric.WithAttributes(attribute.String("outcome", outcome)))
}
