package intake_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/webhook"
	"github.com/trivet-dev/trivet/services/billing/internal/intake"
	"github.com/trivet-dev/trivet/services/billing/internal/stripesig"
)

func TestParseEvent(t *testing.T) {
	yes, no := true, false
	long := strings.Repeat("<", 255)
	for name, c := range map[string]struct {
		body string
		want intake.Event
		kept string
	}{
		"a snapshot": {
			`{"id":"evt_1","object":"event","api_version":"2023-10-16","created":1800000000,"livemode":false,"type":"customer.updated",
			  "data":{"object":{"id":"cus_1","object":"customer","email":"ada@example.test"},"previous_attributes":{"email":"x@example.test"}}}`,
			intake.Event{ID: "evt_1", Type: "customer.updated", ObjectID: "cus_1", Livemode: &no},
			`{"id":"evt_1","type":"customer.updated","api_version":"2023-10-16","created":1800000000,"livemode":false,"object":{"id":"cus_1","kind":"customer"}}`,
		},
		"of another API version": {
			`{"id":"evt_1","object":"event","api_version":"2030-01-01.zinc","type":"invoice.paid","livemode":true,"data":{"object":{"id":"in_1","object":"invoice"}}}`,
			intake.Event{ID: "evt_1", Type: "invoice.paid", ObjectID: "in_1", Livemode: &yes},
			`{"id":"evt_1","type":"invoice.paid","api_version":"2030-01-01.zinc","livemode":true,"object":{"id":"in_1","kind":"invoice"}}`,
		},
		"with an invalid version": {
			`{"id":"evt_1","object":"event","api_version":5,"type":"invoice.paid","data":{"object":{"id":"in_1","object":"invoice"}}}`,
			intake.Event{ID: "evt_1", Type: "invoice.paid", ObjectID: "in_1"},
			`{"id":"evt_1","type":"invoice.paid","object":{"id":"in_1","kind":"invoice"}}`,
		},
		"with a version beyond measure": {
			`{"id":"evt_1","type":"invoice.paid","api_version":"` + strings.Repeat("e", 256) + `","data":{"object":{"id":"in_1","object":"invoice"}}}`,
			intake.Event{ID: "evt_1", Type: "invoice.paid", ObjectID: "in_1"},
			`{"id":"evt_1","type":"invoice.paid","object":{"id":"in_1","kind":"invoice"}}`,
		},
		"a thin one": {
			`{"id":"evt_2","object":"v2.core.event","type":"v1.billing.meter.error_report_triggered","livemode":false,"created":"2030-01-01T00:00:00Z",
			  "reason":null,"related_object":{"id":"mtr_1","type":"billing.meter","url":"/v1/billing/meters/mtr_1"}}`,
			intake.Event{ID: "evt_2", Type: "v1.billing.meter.error_report_triggered", ObjectID: "mtr_1", Livemode: &no},
			`{"id":"evt_2","type":"v1.billing.meter.error_report_triggered","created":"2030-01-01T00:00:00Z","livemode":false,"thin":true,"object":{"id":"mtr_1","kind":"billing.meter"}}`,
		},
		"a thin one of a connected account": {
			`{"id":"evt_2","object":"v2.core.event","type":"v2.core.account.updated","context":"acct_1","data":null}`,
			intake.Event{ID: "evt_2", Type: "v2.core.account.updated", Account: "acct_1"},
			`{"id":"evt_2","type":"v2.core.account.updated","account":"acct_1","thin":true,"object":{}}`,
		},
		"about a connected account": {
			`{"id":"evt_3","type":"customer.created","account":"acct_1","data":{"object":{"id":"cus_2","object":"customer"}}}`,
			intake.Event{ID: "evt_3", Type: "customer.created", Account: "acct_1", ObjectID: "cus_2"},
			`{"id":"evt_3","type":"customer.created","account":"acct_1","object":{"id":"cus_2","kind":"customer"}}`,
		},
		"a charge that is paid": {
			`{"id":"evt_6","type":"charge.succeeded","data":{"object":{"id":"ch_1","object":"charge","amount_refunded":0,"disputed":false,"receipt_email":"a@b.test"}}}`,
			intake.Event{ID: "evt_6", Type: "charge.succeeded", ObjectID: "ch_1"},
			`{"id":"evt_6","type":"charge.succeeded","object":{"id":"ch_1","kind":"charge","without":["refund","dispute"]}}`,
		},
		"a charge that was refunded": {
			`{"id":"evt_7","type":"charge.refunded","data":{"object":{"id":"ch_1","object":"charge","amount_refunded":5,"disputed":false}}}`,
			intake.Event{ID: "evt_7", Type: "charge.refunded", ObjectID: "ch_1"},
			`{"id":"evt_7","type":"charge.refunded","object":{"id":"ch_1","kind":"charge","without":["dispute"]}}`,
		},
		"a charge that says nothing of it": {
			`{"id":"evt_8","type":"charge.updated","data":{"object":{"id":"ch_1","object":"charge","disputed":"?"}}}`,
			intake.Event{ID: "evt_8", Type: "charge.updated", ObjectID: "ch_1"},
			`{"id":"evt_8","type":"charge.updated","object":{"id":"ch_1","kind":"charge"}}`,
		},
		"an object without an id": {
			`{"id":"evt_4","type":"balance.available","data":{"object":{"object":"balance"}}}`,
			intake.Event{ID: "evt_4", Type: "balance.available"},
			`{"id":"evt_4","type":"balance.available","object":{"kind":"balance"}}`,
		},
		"a time of 255 bytes": {
			`{"id":"evt_6","type":"a","created":"` + strings.Repeat("4", 253) + `"}`,
			intake.Event{ID: "evt_6", Type: "a"},
			`{"id":"evt_6","type":"a","created":"` + strings.Repeat("4", 253) + `","object":{}}`,
		},
		"a time of 256 bytes": {
			`{"id":"evt_6","type":"a","created":"` + strings.Repeat("4", 254) + `"}`,
			intake.Event{ID: "evt_6", Type: "a"},
			`{"id":"evt_6","type":"a","object":{}}`,
		},
		"a time that is an object": {
			`{"id":"evt_6","type":"a","created": {"email":"x"}}`,
			intake.Event{ID: "evt_6", Type: "a"},
			`{"id":"evt_6","type":"a","object":{}}`,
		},
		"a time that is a list": {
			`{"id":"evt_6","type":"a","created":["x"]}`,
			intake.Event{ID: "evt_6", Type: "a"},
			`{"id":"evt_6","type":"a","object":{}}`,
		},
		"the longest texts": {
			`{"id":"` + long + `","type":"` + long + `","account":"` + long + `","data":{"object":{"id":"` + long + `","object":"` + long + `"}}}`,
			intake.Event{ID: long, Type: long, Account: long, ObjectID: long},
			`{"id":"` + long + `","type":"` + long + `","account":"` + long + `","object":{"id":"` + long + `","kind":"` + long + `"}}`,
		},
		"an object that is odd": {
			`{"id":"evt_5","type":"odd.thing","data":{"object":[1,2]}}`,
			intake.Event{ID: "evt_5", Type: "odd.thing"},
			`{"id":"evt_5","type":"odd.thing","object":{}}`,
		},
	} {
		got, err := intake.ParseEvent([]byte(c.body))
		require.NoError(t, err, name)
		require.JSONEq(t, c.kept, string(got.Payload), name)
		require.LessOrEqual(t, len(got.Payload), len(c.kept)+1, "%s: nothing is escaped for HTML", name)
		require.JSONEq(t, c.kept, intake.Redact(got.Payload), name)
		got.Payload = nil
		require.Equal(t, c.want, got, name)
	}
}

// A charge says what it does not have; where it leaves that open, or the event says otherwise, it is asked.
func TestChargeWithoutRefundsOrDisputes(t *testing.T) {
	for _, c := range []struct {
		eventType, charge string
		without           []string
	}{
		{"charge.succeeded", `"amount_refunded":0,"disputed":false`, []string{"refund", "dispute"}},
		{"charge.succeeded", `"amount_refunded":0,"disputed":true`, []string{"refund"}},
		{"charge.succeeded", `"amount_refunded":0`, []string{"refund"}},
		{"charge.succeeded", `"amount_refunded":1,"disputed":false`, []string{"dispute"}},
		{"charge.succeeded", `"disputed":false`, []string{"dispute"}},
		{"charge.succeeded", `"amount_refunded":null,"disputed":null`, nil},
		{"charge.succeeded", `"paid":true`, nil},
		{"charge.refunded", `"amount_refunded":0,"disputed":false`, []string{"dispute"}},
		{"charge.refunded", `"amount_refunded":5,"disputed":true`, nil},
	} {
		h, err := intake.ParseHint(fmt.Appendf(nil, `{"id":"evt_1","type":%q,"data":{"object":{"id":"ch_1","object":"charge",%s}}}`, c.eventType, c.charge))
		require.NoError(t, err)
		require.Equal(t, intake.Object{ID: "ch_1", Kind: "charge", Without: c.without}, h.Object, "%s %s", c.eventType, c.charge)
	}
	h, err := intake.ParseHint([]byte(`{"id":"evt_1","type":"invoice.paid","data":{"object":{"id":"in_1","object":"invoice","amount_refunded":0,"disputed":false}}}`))
	require.NoError(t, err)
	require.Empty(t, h.Object.Without, "only a charge says so")
}

func TestParseEventRefuses(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"nothing":            {"", "not a JSON object"},
		"no JSON":            {`{"id":"secret@example.test`, "not JSON from byte"},
		"a list":             {`["secret@example.test"]`, "not a JSON object"},
		"null":               {`null`, "not a JSON object"},
		"two values":         {`{"id":"evt_1","type":"a"} {}`, "not JSON from byte"},
		"no id":              {`{"type":"customer.updated"}`, "no id"},
		"no type":            {`{"id":"evt_1"}`, "no type"},
		"id of a number":     {`{"id":7,"type":"a"}`, `"id"`},
		"type of an object":  {`{"id":"evt_1","type":{"secret@example.test":1}}`, `"type"`},
		"id too long":        {`{"id":"` + strings.Repeat("e", 256) + `","type":"a"}`, "longer than 255"},
		"NUL in an id":       {`{"id":"evt\u0000","type":"a"}`, "control"},
		"DEL in an id":       {"{\"id\":\"evt\x7f\",\"type\":\"a\"}", "control"},
		"DEL in a type":      {`{"id":"evt_1","type":"\u007f"}`, "control"},
		"DEL in an object":   {`{"id":"evt_1","type":"a","data":{"object":{"id":"cus\u007f"}}}`, "control"},
		"a break in an id":   {`{"id":"evt\n1","type":"a"}`, "control"},
		"kind too long":      {`{"id":"evt_1","type":"a","data":{"object":{"id":"x","object":"` + strings.Repeat("e", 256) + `"}}}`, "longer than 255"},
		"account too long":   {`{"id":"evt_1","type":"a","account":"` + strings.Repeat("e", 256) + `"}`, "longer than 255"},
		"C1 in an id":        {`{"id":"evt\u009b1","type":"a"}`, "control"},
		"C1 in a type":       {`{"id":"evt_1","type":"a\u0085b"}`, "control"},
		"bidi in an id":      {`{"id":"evt\u202e1","type":"a"}`, "direction"},
		"bidi in a type":     {`{"id":"evt_1","type":"a\u2066b"}`, "direction"},
		"bidi in an object":  {`{"id":"evt_1","type":"a","data":{"object":{"id":"cus\u200f"}}}`, "direction"},
		"bidi in a kind":     {`{"id":"evt_1","type":"a","data":{"object":{"id":"cus","object":"x\u061c"}}}`, "direction"},
		"bidi in an account": {`{"id":"evt_1","type":"a","account":"acct\u202a"}`, "direction"},
		"NUL in an object":   {`{"id":"evt_1","type":"a","data":{"object":{"id":"cus\u0000"}}}`, "control"},
	} {
		_, err := intake.ParseEvent([]byte(c.body))
		require.ErrorContains(t, err, c.want, name)
		require.NotContains(t, err.Error(), "secret@", name)
	}
}

func TestRedactShowsNothingElse(t *testing.T) {
	require.JSONEq(t, `{"id":"evt_1","type":"a","object":{"id":"cus_1"}}`,
		intake.Redact([]byte(`{"id":"evt_1","type":"a","object":{"id":"cus_1","email":"a@b.test"},"name":"Ada"}`)))
	require.JSONEq(t, `{"malformed":"why","bytes":3,"sha256":"ab"}`, intake.Redact([]byte(`{"malformed":"why","bytes":3,"sha256":"ab","x":"y"}`)))
	require.Equal(t, `"[redacted]"`, intake.Redact([]byte(`{`)))
}

type box struct {
	put []inbox.Event
	err error
}

func (b *box) Put(_ context.Context, e inbox.Event) (bool, error) {
	if b.err != nil {
		return false, b.err
	}
	for _, had := range b.put {
		if had.ID == e.ID {
			return true, nil
		}
	}
	b.put = append(b.put, e)
	return false, nil
}

const secret = "whsec_0123456789abcdef"

func signed(body string) map[string]string {
	at := fmt.Sprint(time.Now().Unix())
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at + "." + body))
	return map[string]string{stripesig.Header: "t=" + at + ",v1=" + hex.EncodeToString(mac.Sum(nil))}
}

func receiver(t *testing.T, livemode bool) (*webhook.Receiver, *box, *[]string) {
	t.Helper()
	return logging(t, livemode, &bytes.Buffer{})
}

func logging(t *testing.T, livemode bool, logs *bytes.Buffer) (*webhook.Receiver, *box, *[]string) {
	t.Helper()
	verifier, err := stripesig.New([]string{secret}, time.Now)
	require.NoError(t, err)
	b, verdicts := &box{}, &[]string{}
	return webhook.New(webhook.Options{
		Provider: intake.Provider(verifier, &livemode), Inbox: b, Logger: slog.New(slog.NewTextHandler(logs, nil)),
		Record: func(_ context.Context, _, verdict string) { *verdicts = append(*verdicts, verdict) },
	}), b, verdicts
}

func TestReceive(t *testing.T) {
	for name, c := range map[string]struct {
		body    string
		state   inbox.State
		subject string
		verdict string
	}{
		"ours":               {`{"id":"e","type":"customer.updated","livemode":false,"data":{"object":{"id":"cus_1"}}}`, "", "cus_1", "stored"},
		"of an unknown type": {`{"id":"e","type":"new.thing","livemode":false}`, "", "e", "stored"},
		"without a mode":     {`{"id":"e","type":"new.thing"}`, "", "e", "stored"},
		"of the other mode":  {`{"id":"e","type":"a","livemode":true,"data":{"object":{"id":"cus_1"}}}`, inbox.Ignored, "cus_1", "ignored"},
		"of an account":      {`{"id":"e","type":"a","livemode":false,"account":"acct_1"}`, inbox.Ignored, "e", "ignored"},
		"unreadable":         {`{"id":`, inbox.Dead, "", "malformed"},
		"empty":              {``, inbox.Dead, "", "malformed"},
		"of no type":         {`{"id":"evt_5","livemode":false}`, inbox.Dead, "evt_5", "malformed"},
		"of no type or id":   {`{"livemode":false}`, inbox.Dead, "", "malformed"},
		"of an id that's no": {`{"id":5,"type":"a"}`, inbox.Dead, "", "malformed"},
	} {
		r, b, verdicts := receiver(t, false)
		duplicate, err := r.Receive(t.Context(), signed(c.body), []byte(c.body))
		require.NoError(t, err, name)
		require.False(t, duplicate, name)
		again, err := r.Receive(t.Context(), signed(c.body), []byte(c.body))
		require.NoError(t, err, name)
		require.True(t, again, name)
		require.Len(t, b.put, 1, name)
		m := b.put[0]
		require.Equal(t, "stripe", m.Source, name)
		require.Equal(t, c.state, m.State, name)
		require.Equal(t, c.state != "", m.LastError != "", name)
		require.True(t, json.Valid(m.Payload), name)
		if c.subject != "" {
			require.Equal(t, c.subject, m.Subject, name)
		} else {
			require.Regexp(t, "^malformed-[0-9a-f]{32}$", m.ID, name)
			require.Equal(t, m.ID, m.Subject, name)
			require.Equal(t, webhook.UnknownType, m.Type, name)
		}
		require.Equal(t, []string{c.verdict, "duplicate"}, *verdicts, name)
	}
}

// A live key takes live events only, a test key's those of test mode.
func TestModes(t *testing.T) {
	for _, live := range []bool{true, false} {
		for _, event := range []bool{true, false} {
			r, b, _ := receiver(t, live)
			body := fmt.Sprintf(`{"id":"evt_1","type":"a","livemode":%t}`, event)
			_, err := r.Receive(t.Context(), signed(body), []byte(body))
			require.NoError(t, err)
			require.Equal(t, live == event, b.put[0].State == "", "live %t, event %t", live, event)
		}
	}
}

func TestReceiveRefuses(t *testing.T) {
	body, logs := `{"id":"e","type":"a"}`, &bytes.Buffer{}
	r, b, verdicts := logging(t, false, logs)
	_, err := r.Receive(t.Context(), signed(body), []byte(body+" "))
	require.Equal(t, stripesig.Mismatch, err)
	_, err = r.Receive(t.Context(), nil, []byte(body))
	require.Equal(t, stripesig.Missing, err)
	_, err = r.Receive(t.Context(), map[string]string{stripesig.Header: "t=1,t=2"}, nil)
	require.Equal(t, stripesig.Malformed, err)
	r.Provider = intake.Provider(nil, nil)
	_, err = r.Receive(t.Context(), signed(body), []byte(body))
	require.ErrorIs(t, err, webhook.ErrNotSetUp)
	require.Contains(t, logs.String(),
		"a webhook from Stripe cannot be accepted: STRIPE_WEBHOOK_SECRET is not set; copy the signing secret from Stripe's dashboard, under Webhooks")
	require.Contains(t, logs.String(), "source=stripe")
	require.Equal(t, "Stripe webhooks are not configured: STRIPE_WEBHOOK_SECRET is not set.", errs.From(r.Public(err)).Message)
	require.Equal(t, []string{"signature_mismatch", "header_missing", "header_malformed", "not_set_up"}, *verdicts)
	require.Empty(t, b.put)
}

// Personal data reaches neither the store nor the log nor an error's text.
func TestNothingLeaks(t *testing.T) {
	const canary = "ada@example.test"
	for name, body := range map[string]string{
		"a customer":     `{"id":"evt_1","type":"customer.updated","data":{"object":{"id":"cus_1","email":"ada@example.test"},"previous_attributes":{"email":"ada@example.test"}}}`,
		"a thin one":     `{"id":"evt_1","object":"v2.core.event","type":"a","reason":{"email":"ada@example.test"},"related_object":{"id":"x","email":"ada@example.test"}}`,
		"cut":            `{"id":"evt_1","type":"a","data":{"object":{"email":"ada@example.test`,
		"no JSON":        `{ada@example.test`,
		"a text":         `"ada@example.test"`,
		"text behind":    `{"id":"evt_1","type":"a"} ada@example.test`,
		"id of an obj.":  `{"id":{"email":"ada@example.test"},"type":"a"}`,
		"mode of a text": `{"id":"evt_1","type":"a","livemode":"ada@example.test"}`,
		"long type":      `{"id":"evt_1","type":"ada@example.test` + strings.Repeat(".", 255) + `"}`,
		"odd object":     `{"id":"evt_1","type":"a","data":{"object":"ada@example.test"}}`,
		"odd account":    `{"id":"evt_1","type":"a","account":"ada@example.test\u0000"}`,
	} {
		t.Run(name, func(t *testing.T) {
			logs := &bytes.Buffer{}
			r, b, _ := logging(t, false, logs)
			_, err := r.Receive(t.Context(), signed(body), []byte(body))
			require.NoError(t, err)
			require.Len(t, b.put, 1)
			m := b.put[0]
			require.NotContains(t, logs.String(), canary)
			require.NotContains(t, m.ID+m.Type+m.Subject+m.LastError, canary)
			require.NotContains(t, string(m.Payload), canary)
			b.err = errors.New("down")
			_, err = r.Receive(t.Context(), signed(body), []byte(body))
			require.NotContains(t, err.Error()+logs.String(), canary)
		})
	}
}

// FuzzParseEvent: whatever comes, it does not panic, and what it accepts can be stored and read again.
func FuzzParseEvent(f *testing.F) {
	f.Add([]byte(`{"id":"evt_1","type":"a","data":{"object":{"id":"cus_1","object":"customer"}}}`))
	f.Add([]byte(`{"id":"evt_1","type":"a","related_object":{"id":"x","type":"y"},"created":"z"}`))
	f.Add([]byte(`{"id":"evt_1","object":"v2.core.event","type":"<&>","context":"acct_1","api_version":"x","livemode":true,"data":{"object":[]}}`))
	f.Add([]byte(`{"ID":"evt_1","Type":"a","created":[{"email":"ada@example.test"}],"data":{"object":{"id":"\ud800","email":"x"}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := intake.ParseEvent(body)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.LessOrEqual(t, len(e.Payload), 8<<10)
		for _, text := range []string{e.ID, e.Type, e.ObjectID, e.Account} {
			require.LessOrEqual(t, len(text), 255)
			require.True(t, utf8.ValidString(text))
			require.False(t, strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f }), "%q", text)
		}
		var h intake.Hint
		require.NoError(t, json.Unmarshal(e.Payload, &h))
		require.Equal(t, e.ID, h.ID)
		require.Equal(t, e.ObjectID, h.Object.ID)
		require.NotEmpty(t, h.Type)
		require.JSONEq(t, string(e.Payload), intake.Redact(e.Payload))
	})
}
