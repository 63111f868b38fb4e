package alert_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/trivet-dev/trivet/platform/alert"
	"github.com/trivet-dev/trivet/platform/settings"
)

var (
	oldKey = []byte("canary-old-0123456789abcdef")
	newKey = []byte("canary-new-0123456789abcdef")
)

func webhook(to http.RoundTripper) alert.Receiver {
	secret := func(key []byte) settings.Secret {
		return settings.NewSecret("whsec_" + base64.StdEncoding.EncodeToString(key))
	}
	return alert.NewWebhook(alert.WebhookOptions{
		URL: settings.NewLive(settings.NewSecret(address)), Secrets: settings.NewLive(secret(newKey), secret(oldKey)), Client: &http.Client{Transport: to},
		Process: "billing", Instance: "host:1", Now: time.Now,
	})
}

// verify checks a webhook as the specification's libraries do, with one of the secrets.
func verify(t *testing.T, key []byte, h http.Header, body string, now time.Time) {
	t.Helper()
	stamp, err := strconv.ParseInt(h.Get("Webhook-Timestamp"), 10, 64)
	require.NoError(t, err)
	require.Equal(t, now.Unix(), stamp)
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(h.Get("Webhook-Id") + "." + h.Get("Webhook-Timestamp") + "." + body))
	require.Contains(t, strings.Split(h.Get("Webhook-Signature"), " "), "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// Each change is a signed webhook of its own, with the same id on every attempt.
func TestWebhooksOfAlerts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &receiver{answers: []attempt{answer(500), broken, answer(408), answer(204)}}
		since, at := time.Now().Add(-time.Minute).UTC(), time.Now().UTC()
		value := 11.5
		fires, ends := change("WebhookFailures", "<stripe>", true), change("EventsDead", "clerk", false)
		fires.Since, fires.At, fires.Value = since, at, &value
		ends.Since, ends.At = since, at
		log, outcomes := notify(t, webhook(to), fires, ends)
		require.Empty(t, log)
		require.Equal(t, map[string]float64{"webhook sent": 2}, outcomes)
		require.Len(t, to.bodies, 5)
		ids := map[string]int{}
		for i, body := range to.bodies {
			verify(t, newKey, to.headers[i], body, to.times[i])
			verify(t, oldKey, to.headers[i], body, to.times[i])
			require.Equal(t, "application/json", to.headers[i].Get("Content-Type"))
			require.Regexp(t, "^alt_[0-9a-f]{32}$", to.headers[i].Get("Webhook-Id"))
			ids[to.headers[i].Get("Webhook-Id")+body]++
		}
		require.Equal(t, map[string]int{to.headers[0].Get("Webhook-Id") + to.bodies[0]: 4, to.headers[4].Get("Webhook-Id") + to.bodies[4]: 1}, ids)
		require.JSONEq(t, `{"type":"trivet.alert.firing","timestamp":"2000-01-01T00:00:00Z","data":{
			"alert":"WebhookFailures","severity":"ticket","summary":"More than 10 webhooks of <stripe> were refused within an hour.","labels":{"source":"<stripe>"},
			"since":"1999-12-31T23:59:00Z","value":11.5,"threshold":10,"playbook":"docs/playbooks/WebhookFailures.md","process":"billing","instance":"host:1"}}`, to.bodies[0])
		require.JSONEq(t, `{"type":"trivet.alert.resolved","timestamp":"2000-01-01T00:00:00Z","data":{
			"alert":"EventsDead","severity":"ticket","summary":"Events of clerk are dead.","labels":{"source":"clerk"},
			"since":"1999-12-31T23:59:00Z","threshold":0,"playbook":"docs/playbooks/EventsDead.md","process":"billing","instance":"host:1"}}`, to.bodies[4])
	})
}

// The attempts for one webhook are bounded, and it delays the next one only meanwhile.
func TestDeliveryOfWebhooks(t *testing.T) {
	two := 2 * time.Second
	for _, c := range []struct {
		name    string
		answers []attempt
		pauses  []time.Duration
		outcome string
	}{
		{"success", []attempt{answer(204)}, nil, "sent"},
		{"the receiver asks to wait", []attempt{answer(503, "Retry-After", "30"), answer(200)}, []time.Duration{30 * time.Second}, "sent"},
		{"the receiver asks to wait for a day", []attempt{answer(429, "Retry-After", "86400"), answer(200)}, []time.Duration{time.Minute}, "sent"},
		{"a redirect, which could lead anywhere", []attempt{answer(302, "Location", "http://169.254.169.254/")}, nil, "failed"},
		{"the address is gone", []attempt{answer(410, "Retry-After", "30")}, nil, "failed"},
		{"a failure that stays", []attempt{broken}, []time.Duration{two, 2 * two, 4 * two, 8 * two, 16 * two}, "failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				to := &receiver{answers: c.answers}
				log, outcomes := notify(t, webhook(to), change("EventsDead", "clerk", true))
				require.Equal(t, map[string]float64{"webhook " + c.outcome: 1}, outcomes)
				require.Len(t, to.times, len(c.pauses)+1)
				for i, pause := range c.pauses {
					require.Equal(t, pause, to.times[i+1].Sub(to.times[i]))
				}
				require.NotContains(t, log, "canary")
				require.Equal(t, c.outcome == "failed", strings.Contains(log, "alerts could not be sent to TRIVET_ALERT_WEBHOOK_URL"), log)
			})
		})
	}
}

// A change has the value and the time at which it was noticed.
func TestChangesHaveValues(t *testing.T) {
	values := counters{"stripe": 0, "clerk": 0}
	now := time.Unix(1_700_000_000, 0)
	e, err := alert.NewEvaluator(alert.Options{
		Gatherer: values, Interval: time.Minute, Meter: noop.Meter{}, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
		Notify: func(context.Context, []alert.Change) {},
	})
	require.NoError(t, err)
	require.Empty(t, e.Evaluate())
	values["stripe"], values["clerk"] = 13, 10
	now = now.Add(time.Minute)
	fired := e.Evaluate()
	require.Len(t, fired, 1)
	require.InDelta(t, 13, *fired[0].Value, 0)
	require.InDelta(t, 10, fired[0].Rule.Threshold(), 0)
	require.Equal(t, now, fired[0].At)
	fired[0].Value = nil
	var ended []alert.Change
	for range 61 {
		now = now.Add(time.Minute)
		ended = append(ended, e.Evaluate()...)
	}
	require.Len(t, ended, 1)
	require.False(t, ended[0].Firing)
	require.InDelta(t, 0, *ended[0].Value, 0)
	require.Equal(t, fired[0].Since, ended[0].Since)
	require.True(t, ended[0].At.After(fired[0].At))
}

// What no attempt can send is not tried again.
func TestAWebhookThatCannotBeSentIsNotRetried(t *testing.T) {
	good := settings.NewSecret("whsec_" + base64.StdEncoding.EncodeToString(newKey))
	for name, c := range map[string]struct{ address, secret settings.Secret }{
		"no address":     {settings.NewSecret("canary"), good},
		"another scheme": {settings.NewSecret("ftp://canary.example"), good},
		"no URL":         {settings.NewSecret("https://canary.example/\x00"), good},
		"no secret":      {settings.NewSecret(address), settings.NewSecret("whsec_canary")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				to := &receiver{answers: []attempt{answer(204)}}
				began := time.Now()
				log, outcomes := notify(t, alert.NewWebhook(alert.WebhookOptions{
					URL: settings.NewLive(c.address), Secrets: settings.NewLive(c.secret), Client: &http.Client{Transport: to}, Process: "billing", Instance: "host:1",
					Now: func() time.Time {
						require.Equal(t, began, time.Now(), "another attempt")
						return began
					},
				}), change("EventsDead", "clerk", true))
				require.Equal(t, map[string]float64{"webhook failed": 1}, outcomes)
				require.Empty(t, to.bodies)
				require.NotContains(t, log, "canary")
			})
		})
	}
}
