package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/settings"
)

// maxTogether bounds the changes in one message for people.
const maxTogether = 20

// SlackOptions are what a Slack is made of. All are required.
type SlackOptions struct {
	// URL receives the messages. Its path is often a secret, so that no error and no log line shows it.
	URL    *settings.Live
	Client *http.Client
	// Process names the sender, such as "trivet" or "billing".
	Process string
	// Instance tells the replicas of the process apart.
	Instance string
	// Now is the clock.
	Now func() time.Time
}

// Slack is a receiver of messages that Slack understands: {"text": "…"}.
type Slack struct{ options SlackOptions }

// NewSlack makes a Slack.
func NewSlack(o SlackOptions) *Slack {
	o.Client = withoutRedirects(*o.Client)
	return &Slack{o}
}

func (*Slack) kind() string    { return "slack" }
func (*Slack) setting() string { return "TRIVET_ALERT_URL" }
func (*Slack) together() int   { return maxTogether }

func (s *Slack) message(changes []Change) (message, error) {
	raw, err := json.Marshal(map[string]string{"text": s.text(changes)})
	return message{body: raw}, err
}

// errRefused is an answer that is not a success.
var errRefused = errors.New("the receiver answered with an error")

func (s *Slack) send(ctx context.Context, m message) (pause time.Duration, err error) {
	address := s.options.URL.Newest().Reveal()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(m.body))
	if err != nil {
		return -1, errors.New("TRIVET_ALERT_URL is not an address")
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.options.Client.Do(request)
	if err != nil {
		return 0, withoutURL(err, address)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 4096)) // so that the connection can be used again
	switch status := response.StatusCode; {
	case status < 300:
		return 0, nil
	case mayPass(status):
		return min(provider.RetryAfter(response.Header, s.options.Now()), maxPause), fmt.Errorf("%w: %s", errRefused, response.Status)
	default:
		return -1, fmt.Errorf("%w: %s", errRefused, response.Status)
	}
}

// mayPass reports whether another attempt may succeed after an answer with this status.
func mayPass(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= http.StatusInternalServerError
}

// withoutURL keeps the address out of an error.
func withoutURL(err error, address string) error {
	return errors.New(strings.ReplaceAll(errors.Unwrap(err).Error(), address, "TRIVET_ALERT_URL"))
}

// escape is what Slack asks for in texts.
var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// text is the message for people.
func (s *Slack) text(changes []Change) string {
	lines := make([]string, 0, len(changes))
	for _, c := range changes {
		state := "FIRING"
		if !c.Firing {
			state = "RESOLVED"
		}
		line := fmt.Sprintf("[%s] %s (%s, %s at %s): %s", state, c.Rule.Name, c.Rule.Severity, s.options.Process, s.options.Instance, c.Summary())
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
