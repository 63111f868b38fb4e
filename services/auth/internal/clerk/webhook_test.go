package clerk_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/webhook"
	"github.com/trivet-dev/trivet/services/auth/internal/clerk"
	"github.com/trivet-dev/trivet/services/auth/internal/svix"
)

const key = "the key of the webhooks"

var secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte(key))

// fakeInbox is an inbox that can fail.
type fakeInbox struct {
	put   []inbox.Event
	fails error
}

func (b *fakeInbox) Put(_ context.Context, e inbox.Event) (bool, error) {
	if b.fails != nil {
		return false, b.fails
	}
	for _, had := range b.put {
		if had.ID == e.ID {
			return true, nil
		}
	}
	b.put = append(b.put, e)
	return false, nil
}

// fixture is a receiver with all that it touches.
type fixture struct {
	*webhook.Receiver
	box      *fakeInbox
	logs     *bytes.Buffer
	verdicts []string
	now      time.Time
}

func newFixture(t *testing.T, instance string) *fixture {
	t.Helper()
	d := &fixture{box: &fakeInbox{}, logs: &bytes.Buffer{}, now: time.Unix(1_800_000_000, 0)}
	clock := func() time.Time { return d.now }
	verifier, err := svix.New([]string{secret}, clock)
	require.NoError(t, err)
	d.Receiver = webhook.New(webhook.Options{
		Provider: clerk.WebhookProvider(verifier, instance), Inbox: d.box, Now: clock,
		Record: func(_ context.Context, _, verdict string) { d.verdicts = append(d.verdicts, verdict) },
		Logger: slog.New(slog.NewTextHandler(d.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	return d
}

func (d *fixture) receive(t *testing.T, id, body string) (bool, error) {
	t.Helper()
	stamp := strconv.FormatInt(d.now.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(id + "." + stamp + "." + body))
	return d.Receive(t.Context(), map[string]string{
		"svix-id": id, "svix-timestamp": stamp, "svix-signature": "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)),
	}, []byte(body))
}

func TestReceive(t *testing.T) {
	const foreign = "the event belongs to another Clerk instance than CLERK_INSTANCE_ID"
	for name, c := range map[string]struct {
		instance, body string
		want           inbox.Event
		verdict        string
	}{
		"ours":                      {"ins_1", `{"type":"user.deleted","instance_id":"ins_1","data":{"id":"user_1"}}`, inbox.Event{Type: "user.deleted", Subject: "user_1"}, "stored"},
		"any instance's":            {"", `{"type":"user.deleted","instance_id":"ins_2","data":{"id":"user_1"}}`, inbox.Event{Type: "user.deleted", Subject: "user_1"}, "stored"},
		"nobody's, any will do":     {"", `{"type":"user.deleted","data":{"id":"user_1"}}`, inbox.Event{Type: "user.deleted", Subject: "user_1"}, "stored"},
		"another instance's":        {"ins_1", `{"type":"user.deleted","instance_id":"ins_2","data":{"id":"user_1"}}`, inbox.Event{Type: "user.deleted", Subject: "user_1", State: inbox.Ignored, LastError: foreign}, "ignored"},
		"nobody's":                  {"ins_1", `{"type":"user.deleted","data":{"id":"user_1"}}`, inbox.Event{Type: "user.deleted", Subject: "user_1"}, "stored"},
		"an empty instance's":       {"ins_1", `{"type":"user.deleted","instance_id":"","data":{"id":"user_1"}}`, inbox.Event{Type: "user.deleted", Subject: "user_1"}, "stored"},
		"in another case":           {"ins_1", `{"type":"user.deleted","instance_id":"INS_1","data":{"id":"user_1"}}`, inbox.Event{Type: "user.deleted", Subject: "user_1", State: inbox.Ignored, LastError: foreign}, "ignored"},
		"about nothing":             {"", `{"type":"future.thing","data":{}}`, inbox.Event{Type: "future.thing", Subject: "msg_1"}, "stored"},
		"about nothing, no data":    {"", `{"type":"future.thing"}`, inbox.Event{Type: "future.thing", Subject: "msg_1"}, "stored"},
		"a message":                 {"", `{"type":"email.created","data":{"id":"ema_1"}}`, inbox.Event{Type: "email.created", Subject: "ema_1"}, "stored"},
		"unreadable":                {"ins_1", `{"type":`, inbox.Event{Type: webhook.UnknownType, Subject: "msg_1", State: inbox.Dead, LastError: "clerk: the body is not an event: invalid JSON at byte 8"}, "malformed"},
		"empty":                     {"", ``, inbox.Event{Type: webhook.UnknownType, Subject: "msg_1", State: inbox.Dead, LastError: "clerk: the body is not an event: invalid JSON at byte 0"}, "malformed"},
		"a deletion of nobody":      {"", `{"type":"user.deleted","data":{"ID":"user_1"}}`, inbox.Event{Type: webhook.UnknownType, Subject: "msg_1", State: inbox.Dead, LastError: "clerk: the body is not an event: data has no id"}, "malformed"},
		"an instance that's no one": {"ins_1", `{"type":"user.deleted","instance_id":"ins 1","data":{"id":"user_1"}}`, inbox.Event{Type: webhook.UnknownType, Subject: "msg_1", State: inbox.Dead, LastError: "clerk: the body is not an event: its type or its instance is not a valid name"}, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newFixture(t, c.instance)
			duplicate, err := d.receive(t, "msg_1", c.body)
			require.NoError(t, err)
			require.False(t, duplicate)
			duplicate, err = d.receive(t, "msg_1", c.body)
			require.NoError(t, err)
			require.True(t, duplicate)
			require.Equal(t, []string{c.verdict, "duplicate"}, d.verdicts)
			require.Len(t, d.box.put, 1)
			got := d.box.put[0]
			require.True(t, json.Valid(got.Payload))
			got.Payload, c.want.Source, c.want.ID = nil, "clerk", "msg_1"
			require.Equal(t, c.want, got)
		})
	}
}

// Codes and addresses reach neither the store nor the log nor an error's text.
func TestNothingLeaks(t *testing.T) {
	const code = "424242"
	for name, body := range map[string]string{
		"email":          `{"type":"email.created","data":{"id":"ema_1","body":"your code is 424242","subject":"424242","data":{"otp_code":"424242"},"user_id":{"code":"424242"}}}`,
		"sms":            `{"type":"sms.created","data":{"id":"sms_1","message":"424242","to_phone_number":"424242","user_id":["424242"]}}`,
		"kind":           `{"type":"email.created","object":"424242 is your code","data":{"id":"ema_1"}}`,
		"cut":            `{"type":"email.created","data":{"id":"ema_1","body":"424242`,
		"no JSON":        `424242 is your code`,
		"text behind":    `{"type":"email.created"} 424242`,
		"a text":         `"424242 is your code"`,
		"a number":       `424242`,
		"not UTF-8":      "{\"type\":\"email.created\",\"data\":{\"body\":\"424242\xff\"}}",
		"no type":        `{"type":"is 424242","data":{}}`,
		"type of number": `{"type":424242}`,
		"no id":          `{"type":"user.created","data":{"id":"is 424242"}}`,
		"id of a number": `{"type":"user.created","data":{"id":424242}}`,
		"no instance":    `{"type":"user.created","instance_id":"is 424242"}`,
		"odd time":       `{"type":"email.created","timestamp":"424242","data":{"id":"ema_1"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			d := newFixture(t, "")
			_, err := d.receive(t, "msg_1", body)
			require.NoError(t, err)
			require.Len(t, d.box.put, 1)
			m := d.box.put[0]
			require.NotContains(t, d.logs.String(), code)
			require.NotContains(t, m.LastError, code)
			require.NotContains(t, string(m.Payload), code)
			require.NotContains(t, m.Type+m.Subject, code)

			d.box.fails = errors.New("down")
			_, err = d.receive(t, "msg_2", body)
			require.NotContains(t, err.Error()+d.logs.String(), code)
		})
	}
}

func TestReceiveRefuses(t *testing.T) {
	d := newFixture(t, "")
	_, err := d.Receive(t.Context(), nil, []byte("{}"))
	require.Equal(t, svix.Missing, err)
	_, err = d.Receive(t.Context(), map[string]string{"svix-id": "a b", "svix-timestamp": "1", "svix-signature": "v1,x"}, nil)
	require.Equal(t, svix.Malformed, err)
	d.Provider = clerk.WebhookProvider(nil, "")
	_, err = d.receive(t, "msg_1", `{"type":"a.b"}`)
	require.ErrorIs(t, err, webhook.ErrNotSetUp)
	require.Contains(t, d.logs.String(),
		"a webhook from Clerk cannot be accepted: CLERK_WEBHOOK_SECRET is not set; copy the signing secret from Clerk's dashboard, under Webhooks")
	require.Contains(t, d.logs.String(), "source=clerk")
	require.Equal(t, "Clerk webhooks are not configured: CLERK_WEBHOOK_SECRET is not set.", errs.From(d.Public(err)).Message)
	require.Equal(t, []string{"header_missing", "header_malformed", "not_set_up"}, d.verdicts)
	require.Empty(t, d.box.put)
}
