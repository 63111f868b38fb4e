package alert_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"

	"github.com/trivet-dev/trivet/platform/alert"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/platform/telemetry"
)

const address = "https://hooks.example/services/T00/B00/canary-secret"

func meters(t *testing.T) (*prometheus.Registry, metric.Meter) {
	t.Helper()
	metrics, err := telemetry.NewMetrics("test", "1")
	require.NoError(t, err)
	return metrics.Registry, metrics.Meter("alert")
}

// receiver answers each attempt with the next of its answers, and then with the last one again.
type receiver struct {
	answers []attempt
	bodies  []string
	headers []http.Header
	times   []time.Time
}

func (r *receiver) RoundTrip(request *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	r.bodies, r.headers, r.times = append(r.bodies, string(raw)), append(r.headers, request.Header), append(r.times, time.Now())
	return r.answers[min(len(r.bodies), len(r.answers))-1](request)
}

// attempt answers one request.
type attempt func(*http.Request) (*http.Response, error)

func answer(status int, headers ...string) attempt {
	return func(r *http.Request) (*http.Response, error) {
		header := http.Header{}
		for i := 0; i+1 < len(headers); i += 2 {
			header.Set(headers[i], headers[i+1])
		}
		return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: header, Body: io.NopCloser(strings.NewReader("ok")), Request: r}, nil
	}
}

func broken(*http.Request) (*http.Response, error) { return nil, errors.New("no route to " + address) }

func change(name, source string, firing bool) alert.Change {
	for _, r := range alert.Rules() {
		if r.Name == name {
			return alert.Change{Rule: r, Labels: map[string]string{"source": source}, Firing: firing}
		}
	}
	panic(name)
}

// slack is a receiver of messages for people.
func slack(to http.RoundTripper) alert.Receiver {
	return alert.NewSlack(alert.SlackOptions{
		URL: settings.NewLive(settings.NewSecret(address)), Client: &http.Client{Transport: to}, Process: "billing", Instance: "host:1", Now: time.Now,
	})
}

// tell sends changes to Slack and returns what the log and the metrics have an hour later.
func tell(t *testing.T, to *receiver, changes ...alert.Change) (log string, outcomes map[string]float64) {
	t.Helper()
	return notify(t, slack(to), changes...)
}

// notify sends changes and returns what the log and the metrics have an hour later.
func notify(t *testing.T, to alert.Receiver, changes ...alert.Change) (log string, outcomes map[string]float64) {
	t.Helper()
	var out bytes.Buffer
	registry, meter := meters(t)
	n, err := alert.NewNotifier(alert.NotifierOptions{
		Receiver: to, Meter: meter, Logger: slog.New(slog.NewTextHandler(&out, nil)), Jitter: func(d time.Duration) time.Duration { return d },
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	n.Notify(ctx, changes)
	ended := make(chan struct{})
	go func() {
		n.Run(ctx)
		close(ended)
	}()
	time.Sleep(time.Hour)
	stop()
	<-ended
	outcomes = map[string]float64{}
	for _, m := range family(t, registry, "trivet_alert_notifications_total") {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		outcomes[labels["receiver"]+" "+labels["outcome"]] = m.GetCounter().GetValue()
	}
	return out.String(), outcomes
}

func TestMessagesAreThoseOfSlack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &receiver{answers: []attempt{answer(200)}}
		log, outcomes := tell(t, to, change("WebhookFailures", "<stripe>", true), change("EventsDead", "clerk", false))
		require.Empty(t, log)
		require.Equal(t, map[string]float64{"slack sent": 2}, outcomes)
		require.Len(t, to.bodies, 1, "changes that wait together are one message")
		var message map[string]string
		require.NoError(t, json.Unmarshal([]byte(to.bodies[0]), &message))
		require.Equal(t, map[string]string{"text": "[FIRING] WebhookFailures (ticket, billing at host:1): More than 10 webhooks of &lt;stripe&gt; were refused within an hour. " +
			"source=&lt;stripe&gt; What to do: docs/playbooks/WebhookFailures.md\n[RESOLVED] EventsDead (ticket, billing at host:1): Events of clerk are dead. source=clerk"}, message)
	})
}

func TestDelivery(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []attempt
		pauses  []time.Duration
		outcome string
	}{
		{"success", []attempt{answer(204)}, nil, "sent"},
		{"a failure that passes", []attempt{answer(500), broken, answer(200)}, []time.Duration{2 * time.Second, 4 * time.Second}, "sent"},
		{"the receiver asks to wait", []attempt{answer(429, "Retry-After", "30"), answer(200)}, []time.Duration{30 * time.Second}, "sent"},
		{"the receiver asks to wait for a day", []attempt{answer(503, "Retry-After", "86400"), answer(200)}, []time.Duration{time.Minute}, "sent"},
		{"the receiver asks to wait until a time", []attempt{answer(429, "Retry-After", "Sat, 01 Jan 2000 00:00:45 GMT"), answer(200)}, []time.Duration{45 * time.Second}, "sent"},
		{"the receiver asks for nonsense", []attempt{answer(429, "Retry-After", "-1"), answer(200)}, []time.Duration{2 * time.Second}, "sent"},
		{"the address is gone", []attempt{answer(404)}, nil, "failed"},
		{"a redirect, which could lead anywhere", []attempt{answer(302, "Location", "http://169.254.169.254/")}, nil, "failed"},
		{
			"a failure that stays",
			[]attempt{broken},
			[]time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second},
			"failed",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				to := &receiver{answers: c.answers}
				log, outcomes := tell(t, to, change("EventsDead", "clerk", true))
				require.Equal(t, map[string]float64{"slack " + c.outcome: 1}, outcomes)
				require.Len(t, to.times, len(c.pauses)+1)
				for i, pause := range c.pauses {
					require.Equal(t, pause, to.times[i+1].Sub(to.times[i]))
				}
				require.NotContains(t, log, "canary-secret")
				require.Equal(t, c.outcome == "failed", strings.Contains(log, "alerts could not be sent to TRIVET_ALERT_URL"), log)
			})
		})
	}
}

// The queue is bounded: what finds no room is counted, and nobody waits.
func TestWhatFindsNoRoomIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		many := make([]alert.Change, 300)
		for i := range many {
			many[i] = change("EventsDead", "clerk", true)
		}
		to := &receiver{answers: []attempt{answer(200)}}
		_, outcomes := tell(t, to, many...)
		require.Equal(t, map[string]float64{"slack sent": 256, "slack dropped": 44}, outcomes)
		for _, body := range to.bodies {
			require.LessOrEqual(t, strings.Count(body, "FIRING"), 20)
		}
	})
}

// A process that stops does not wait for the receiver.
func TestStoppingEndsTheAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, meter := meters(t)
		hangs := func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		n, err := alert.NewNotifier(alert.NotifierOptions{
			Receiver: slack(&receiver{answers: []attempt{hangs}}), Meter: meter, Logger: slog.New(slog.DiscardHandler),
			Jitter: func(d time.Duration) time.Duration { return d },
		})
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		n.Notify(ctx, []alert.Change{change("EventsDead", "clerk", true)})
		begun := time.Now()
		time.AfterFunc(time.Second, stop)
		n.Run(ctx)
		require.Equal(t, time.Second, time.Since(begun))
	})
}
