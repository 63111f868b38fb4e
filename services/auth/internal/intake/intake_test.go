package intake_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/services/auth/internal/intake"
	"github.com/trivet-dev/trivet/services/auth/internal/svix"
)

const key = "the key of the webhooks"

var secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte(key))

// box is an inbox that fails as it is told, once or for ever.
type box struct {
	put    []intake.Message
	fails  error
	refuse func(intake.Message) error
}

func (b *box) Put(_ context.Context, m intake.Message) (bool, error) {
	if b.fails != nil {
		return false, b.fails
	}
	if b.refuse != nil {
		if err := b.refuse(m); err != nil {
			return false, err
		}
	}
	for _, had := range b.put {
		if had.ID == m.ID {
			return true, nil
		}
	}
	b.put = append(b.put, m)
	return false, nil
}

// desk is a receiver with all that it touches.
type desk struct {
	*intake.Receiver
	box      *box
	logs     *bytes.Buffer
	verdicts []string
	now      time.Time
}

func newDesk(t *testing.T, instance string) *desk {
	t.Helper()
	d := &desk{box: &box{}, logs: &bytes.Buffer{}, now: time.Unix(1_800_000_000, 0)}
	clock := func() time.Time { return d.now }
	verifier, err := svix.New([]string{secret}, clock)
	require.NoError(t, err)
	d.Receiver = intake.New(intake.Options{
		Verifier: verifier, Inbox: d.box, InstanceID: instance, Now: clock,
		Record: func(_ context.Context, verdict string) { d.verdicts = append(d.verdicts, verdict) },
		Logger: slog.New(slog.NewTextHandler(d.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	return d
}

func (d *desk) receive(t *testing.T, id, body string) (bool, error) {
	t.Helper()
	stamp := strconv.FormatInt(d.now.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(id + "." + stamp + "." + body))
	return d.Receive(t.Context(), map[string]string{
		"svix-id": id, "svix-timestamp": stamp, "svix-signature": "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)),
	}, []byte(body))
}

func TestReceive(t *testing.T) {
	const foreign = "it is about another Clerk instance than CLERK_INSTANCE_ID"
	for name, c := range map[string]struct {
		instance, body string
		want           intake.Message
		verdict        string
	}{
		"ours":                      {"ins_1", `{"type":"user.deleted","instance_id":"ins_1","data":{"id":"user_1"}}`, intake.Message{Type: "user.deleted", Subject: "user_1"}, "stored"},
		"any instance's":            {"", `{"type":"user.deleted","instance_id":"ins_2","data":{"id":"user_1"}}`, intake.Message{Type: "user.deleted", Subject: "user_1"}, "stored"},
		"nobody's, any will do":     {"", `{"type":"user.deleted","data":{"id":"user_1"}}`, intake.Message{Type: "user.deleted", Subject: "user_1"}, "stored"},
		"another instance's":        {"ins_1", `{"type":"user.deleted","instance_id":"ins_2","data":{"id":"user_1"}}`, intake.Message{Type: "user.deleted", Subject: "user_1", Fate: intake.Ignore, Why: foreign}, "ignored"},
		"nobody's":                  {"ins_1", `{"type":"user.deleted","data":{"id":"user_1"}}`, intake.Message{Type: "user.deleted", Subject: "user_1"}, "stored"},
		"an empty instance's":       {"ins_1", `{"type":"user.deleted","instance_id":"","data":{"id":"user_1"}}`, intake.Message{Type: "user.deleted", Subject: "user_1"}, "stored"},
		"in another case":           {"ins_1", `{"type":"user.deleted","instance_id":"INS_1","data":{"id":"user_1"}}`, intake.Message{Type: "user.deleted", Subject: "user_1", Fate: intake.Ignore, Why: foreign}, "ignored"},
		"about nothing":             {"", `{"type":"future.thing","data":{}}`, intake.Message{Type: "future.thing", Subject: "msg_1"}, "stored"},
		"about nothing, no data":    {"", `{"type":"future.thing"}`, intake.Message{Type: "future.thing", Subject: "msg_1"}, "stored"},
		"a message":                 {"", `{"type":"email.created","data":{"id":"ema_1"}}`, intake.Message{Type: "email.created", Subject: "ema_1"}, "stored"},
		"unreadable":                {"ins_1", `{"type":`, intake.Message{Type: intake.UnknownType, Subject: "msg_1", Fate: intake.Bury, Why: "clerk: the body is no event: it is no JSON from byte 8 on"}, "malformed"},
		"empty":                     {"", ``, intake.Message{Type: intake.UnknownType, Subject: "msg_1", Fate: intake.Bury, Why: "clerk: the body is no event: it is no JSON from byte 0 on"}, "malformed"},
		"a deletion of nobody":      {"", `{"type":"user.deleted","data":{"ID":"user_1"}}`, intake.Message{Type: intake.UnknownType, Subject: "msg_1", Fate: intake.Bury, Why: "clerk: the body is no event: data has no id"}, "malformed"},
		"an instance that's no one": {"ins_1", `{"type":"user.deleted","instance_id":"ins 1","data":{"id":"user_1"}}`, intake.Message{Type: intake.UnknownType, Subject: "msg_1", Fate: intake.Bury, Why: "clerk: the body is no event: its type or its instance is no name"}, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, c.instance)
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
			got.Payload, c.want.ID = nil, "msg_1"
			require.Equal(t, c.want, got)
		})
	}
}

// A good webhook that the inbox can never take is kept as a dead event: refused, it would come again for days.
func TestWhatCanNotBeStoredIsBuried(t *testing.T) {
	d := newDesk(t, "")
	d.box.refuse = func(m intake.Message) error {
		if len(m.Payload) > 300 {
			return fmt.Errorf("%w: the payload has %d bytes", inbox.ErrInvalid, len(m.Payload))
		}
		return nil
	}
	body := `{"type":"user.updated","data":{"id":"user_1","first_name":"` + strings.Repeat("4", 400) + `"}}`
	for _, again := range []bool{false, true} {
		duplicate, err := d.receive(t, "msg_1", body)
		require.NoError(t, err)
		require.Equal(t, again, duplicate)
	}
	require.Equal(t, []string{"malformed", "duplicate"}, d.verdicts)
	require.Len(t, d.box.put, 1)
	m := d.box.put[0]
	require.Equal(t, intake.Bury, m.Fate)
	require.Equal(t, "user.updated", m.Type)
	require.Equal(t, "msg_1", m.Subject)
	require.Contains(t, m.Why, "the payload has")
	require.Contains(t, string(m.Payload), fmt.Sprintf(`"bytes":%d`, len(body)))
	require.NotContains(t, string(m.Payload)+d.logs.String(), "4444")
}

// A store that fails once buries nothing: Svix sends it again.
func TestAStoreThatFailsOnce(t *testing.T) {
	d := newDesk(t, "")
	down := errors.New("down")
	d.box.refuse = func(intake.Message) error { d.box.refuse = nil; return down }
	_, err := d.receive(t, "msg_1", `{"type":"a.b"}`)
	require.Equal(t, down, err)
	require.Empty(t, d.box.put)
	require.Empty(t, d.logs.String())
	_, err = d.receive(t, "msg_1", `{"type":"a.b"}`)
	require.NoError(t, err)
	require.Equal(t, []string{"store_down", "stored"}, d.verdicts)
	require.Equal(t, intake.Apply, d.box.put[0].Fate)
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
			d := newDesk(t, "")
			_, err := d.receive(t, "msg_1", body)
			require.NoError(t, err)
			require.Len(t, d.box.put, 1)
			m := d.box.put[0]
			require.NotContains(t, d.logs.String(), code)
			require.NotContains(t, m.Why, code)
			require.NotContains(t, string(m.Payload), code)
			require.NotContains(t, m.Type+m.Subject, code)

			d.box.fails = errors.New("down")
			_, err = d.receive(t, "msg_2", body)
			require.NotContains(t, err.Error()+d.logs.String(), code)
		})
	}
}

func TestReceiveRefuses(t *testing.T) {
	d := newDesk(t, "")
	_, err := d.Receive(t.Context(), nil, []byte("{}"))
	require.Equal(t, svix.Missing, err)
	d.box.fails = errors.New("down")
	_, err = d.receive(t, "msg_1", `{"type":"a.b"}`)
	require.ErrorIs(t, err, d.box.fails)
	d.Verifier = nil
	_, err = d.receive(t, "msg_1", `{"type":"a.b"}`)
	require.ErrorIs(t, err, intake.ErrNotSetUp)
	require.Equal(t, []string{"header_missing", "store_down", "not_set_up"}, d.verdicts)
	require.Empty(t, d.box.put)
}

// Whoever finds the address can not fill the log: all are counted, one a second of each kind is written.
func TestRefusalsAreLoggedSeldom(t *testing.T) {
	d := newDesk(t, "")
	flood := func(n int) {
		for range n {
			_, err := d.Receive(t.Context(), map[string]string{}, nil)
			require.Equal(t, svix.Missing, err)
		}
	}
	flood(100)
	require.Equal(t, 1, strings.Count(d.logs.String(), "verdict=header_missing"))
	require.Contains(t, d.logs.String(), "level=WARN")
	require.Contains(t, d.logs.String(), "left_out=0")
	_, err := d.Receive(t.Context(), map[string]string{"svix-id": "a b", "svix-timestamp": "1", "svix-signature": "v1,x"}, nil)
	require.Equal(t, svix.Malformed, err)
	require.Contains(t, d.logs.String(), "verdict=header_malformed", "each verdict for itself")
	d.now = d.now.Add(time.Second)
	flood(100)
	require.Equal(t, 2, strings.Count(d.logs.String(), "verdict=header_missing"))
	require.Contains(t, d.logs.String(), "left_out=99")
	require.Len(t, d.verdicts, 201)

	d.Verifier = nil
	for range 100 {
		_, err := d.Receive(t.Context(), nil, nil)
		require.ErrorIs(t, err, intake.ErrNotSetUp)
	}
	require.Equal(t, 1, strings.Count(d.logs.String(), "CLERK_WEBHOOK_SECRET is not set"))
	require.Contains(t, d.logs.String(), "level=ERROR")
	require.Len(t, d.verdicts, 301)
}
