package webhook_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/webhook"
)

var _ webhook.Inbox = (*inbox.Inbox)(nil)

// fakeInbox is an inbox that fails once or always.
type fakeInbox struct {
	put    []inbox.Event
	fails  error
	refuse func(inbox.Event) error
}

func (b *fakeInbox) Put(_ context.Context, e inbox.Event) (bool, error) {
	if b.fails != nil {
		return false, b.fails
	}
	if b.refuse != nil {
		if err := b.refuse(e); err != nil {
			return false, err
		}
	}
	if slices.ContainsFunc(b.put, func(had inbox.Event) bool { return had.Source == e.Source && had.ID == e.ID }) {
		return true, nil
	}
	b.put = append(b.put, e)
	return false, nil
}

// verify takes the verdict and the id from the headers.
func verify(headers map[string]string, _ []byte) (string, error) {
	if verdict, refused := headers["verdict"]; refused {
		return "", webhook.Verdict(verdict)
	}
	return headers["id"], nil
}

// read keeps a body as it is.
func read(id string, body []byte) (inbox.Event, error) {
	var came struct{ ID, Type, Subject, Ignored string }
	if json.Unmarshal(body, &came) != nil {
		return inbox.Event{}, errors.New("the body is not an event")
	}
	if came.Type == "none" {
		return inbox.Event{ID: came.ID}, errors.New("the body is not an event")
	}
	e := inbox.Event{ID: cmp.Or(id, came.ID), Type: came.Type, Subject: came.Subject, Payload: body}
	if came.Ignored != "" {
		e.State, e.LastError = inbox.Ignored, came.Ignored
	}
	return e, nil
}

// fixture is a receiver with all that it touches.
type fixture struct {
	*webhook.Receiver
	box      *fakeInbox
	logs     *bytes.Buffer
	families []string
	verdicts []string
	now      time.Time
}

func newFixture() *fixture {
	d := &fixture{box: &fakeInbox{}, logs: &bytes.Buffer{}, now: time.Unix(1_800_000_000, 0)}
	d.Receiver = webhook.New(webhook.Options{
		Provider: webhook.Provider{Name: "acme", Title: "Acme", Setting: "ACME_WEBHOOK_SECRET", Families: []string{"a"}, Verify: verify, Read: read},
		Inbox:    d.box, Now: func() time.Time { return d.now },
		Record: func(_ context.Context, family, outcome string) {
			d.families, d.verdicts = append(d.families, family), append(d.verdicts, outcome)
		},
		Logger: slog.New(slog.NewTextHandler(d.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	return d
}

// receive hands a body over whose signature is good; the id is that of the headers.
func (d *fixture) receive(t *testing.T, id, body string) (bool, error) {
	t.Helper()
	return d.Receive(t.Context(), map[string]string{"id": id}, []byte(body))
}

func sumOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

func remains(why, body string) []byte {
	return fmt.Appendf(nil, `{"bytes":%d,"malformed":%q,"sha256":%q}`, len(body), why, sumOf(body))
}

func TestReceive(t *testing.T) {
	const why, cut = "the body is not an event", `{"id":`
	nameless := "malformed-" + sumOf(cut)[:32]
	for name, c := range map[string]struct {
		id, body string
		want     inbox.Event
		verdict  string
		logged   string
	}{
		"the headers' id": {"m1", `{"type":"a.b","subject":"s"}`, inbox.Event{ID: "m1", Type: "a.b", Subject: "s"}, "stored", ""},
		"the body's id":   {"", `{"id":"e1","type":"a.b","subject":"s"}`, inbox.Event{ID: "e1", Type: "a.b", Subject: "s"}, "stored", ""},
		"about nothing":   {"m1", `{"type":"a.b"}`, inbox.Event{ID: "m1", Type: "a.b", Subject: "m1"}, "stored", ""},
		"about nothing, the body's id": {
			"", `{"id":"e1","type":"a.b"}`, inbox.Event{ID: "e1", Type: "a.b", Subject: "e1"}, "stored", "",
		},
		"not ours": {
			"m1", `{"type":"a.b","subject":"s","ignored":"another's"}`,
			inbox.Event{ID: "m1", Type: "a.b", Subject: "s", State: inbox.Ignored, LastError: "another's"},
			"ignored", "",
		},
		"unreadable": {
			"m1", cut,
			inbox.Event{ID: "m1", Type: "malformed", Subject: "m1", State: inbox.Dead, LastError: why, Payload: remains(why, cut)},
			"malformed", "event=m1",
		},
		"unreadable but for its id": {
			"", `{"id":"e1","type":"none"}`,
			inbox.Event{ID: "e1", Type: "malformed", Subject: "e1", State: inbox.Dead, LastError: why, Payload: remains(why, `{"id":"e1","type":"none"}`)},
			"malformed", "event=e1",
		},
		"unreadable, with two ids": {
			"m1", `{"id":"e1","type":"none"}`,
			inbox.Event{ID: "m1", Type: "malformed", Subject: "m1", State: inbox.Dead, LastError: why, Payload: remains(why, `{"id":"e1","type":"none"}`)},
			"malformed", "event=m1",
		},
		"unreadable, without an id": {
			"", cut,
			inbox.Event{ID: nameless, Type: "malformed", Subject: nameless, State: inbox.Dead, LastError: why, Payload: remains(why, cut)},
			"malformed", "event=" + nameless,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newFixture()
			for _, again := range []bool{false, true} {
				duplicate, err := d.receive(t, c.id, c.body)
				require.NoError(t, err)
				require.Equal(t, again, duplicate)
			}
			require.Equal(t, []string{c.verdict, "duplicate"}, d.verdicts)
			family := "a"
			if c.want.Type == webhook.UnknownType {
				family = webhook.Other
			}
			require.Equal(t, []string{family, family}, d.families)
			c.want.Source = "acme"
			if c.want.Payload == nil {
				c.want.Payload = []byte(c.body)
			}
			require.Equal(t, []inbox.Event{c.want}, d.box.put)
			if c.logged == "" {
				require.Empty(t, d.logs.String())
				return
			}
			for _, part := range []string{"level=ERROR", "source=acme", c.logged, "stored as a dead event", why} {
				require.Contains(t, d.logs.String(), part)
			}
		})
	}
}

// The sender is not told what is wrong with a signature; the log and the metrics are.
func TestEveryVerdict(t *testing.T) {
	for verdict, want := range map[webhook.Verdict]string{
		webhook.Missing: "header_missing", webhook.Malformed: "header_malformed", webhook.Stale: "stale", webhook.Future: "future",
		webhook.Mismatch: "signature_mismatch",
	} {
		d := newFixture()
		_, err := d.Receive(t.Context(), map[string]string{"verdict": string(verdict)}, []byte(`{"type":"a.b"}`))
		require.Equal(t, verdict, err)
		require.EqualError(t, err, "webhook refused: "+want)
		require.Equal(t, []string{want}, d.verdicts)
		require.Equal(t, []string{webhook.Unverified}, d.families, "the type of a forged webhook is not a label")
		require.Empty(t, d.box.put)
		for _, part := range []string{"level=WARN", "a webhook was refused", "source=acme", "verdict=" + want, "suppressed=0"} {
			require.Contains(t, d.logs.String(), part)
		}
		shown := errs.From(d.Public(err))
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_WEBHOOK_SIGNATURE_INVALID, shown.Reason)
		require.Equal(t, "Invalid webhook signature", shown.Message)
		require.Empty(t, shown.Metadata)
		require.ErrorIs(t, shown, verdict)
	}
}

func TestNotSetUp(t *testing.T) {
	d := newFixture()
	d.Provider.Verify = nil
	_, err := d.receive(t, "m1", `{"type":"a.b"}`)
	require.ErrorIs(t, err, webhook.ErrNotSetUp)
	require.ErrorContains(t, err, "ACME_WEBHOOK_SECRET")
	require.Equal(t, []string{"not_set_up"}, d.verdicts)
	require.Empty(t, d.box.put)
	for _, part := range []string{
		"level=ERROR", "source=acme", "verdict=not_set_up",
		"a webhook from Acme cannot be accepted: ACME_WEBHOOK_SECRET is not set; copy the signing secret from Acme's dashboard, under Webhooks",
	} {
		require.Contains(t, d.logs.String(), part)
	}
	shown := errs.From(d.Public(err))
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, shown.Reason)
	require.Equal(t, "Acme webhooks are not configured: ACME_WEBHOOK_SECRET is not set.", shown.Message)
}

func TestStoreDown(t *testing.T) {
	d := newFixture()
	d.box.fails = fmt.Errorf("put: %w", database.ErrClosed)
	_, err := d.receive(t, "m1", `{"type":"a.b"}`)
	require.Equal(t, d.box.fails, err)
	require.Equal(t, []string{"store_down"}, d.verdicts)
	shown := errs.From(d.Public(err))
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, shown.Reason)
	require.Equal(t, "The event could not be stored. Please send it again.", shown.Message)
	require.Equal(t, 5*time.Second, shown.RetryAfter)
	require.ErrorIs(t, shown, database.ErrClosed)

	other := errors.New("a defect")
	require.Equal(t, other, d.Public(other))
}

// A good webhook that the inbox can never take is stored as a dead event: refused, it would come again for days.
func TestWhatCanNotBeStoredIsBuried(t *testing.T) {
	body := `{"id":"e1","type":"a.b","subject":"s","name":"` + strings.Repeat("4", 400) + `"}`
	nameless := "malformed-" + sumOf(body)[:32]
	for name, c := range map[string]struct{ id, wantID, wantType string }{
		"the headers' id": {"m1", "m1", "a.b"},
		"the body's id":   {"", nameless, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newFixture()
			d.box.refuse = func(e inbox.Event) error {
				if len(e.Payload) > 300 {
					return fmt.Errorf("%w: the payload has %d bytes", inbox.ErrInvalid, len(e.Payload))
				}
				return nil
			}
			for _, again := range []bool{false, true} {
				duplicate, err := d.receive(t, c.id, body)
				require.NoError(t, err)
				require.Equal(t, again, duplicate)
			}
			require.Equal(t, []string{"malformed", "duplicate"}, d.verdicts)
			why := fmt.Sprintf("%s: the payload has %d bytes", inbox.ErrInvalid, len(body))
			require.Equal(t, []inbox.Event{{
				Source: "acme", ID: c.wantID, Type: c.wantType, Subject: c.wantID, Payload: remains(why, body), State: inbox.Dead, LastError: why,
			}}, d.box.put)
			require.NotContains(t, string(d.box.put[0].Payload)+d.logs.String(), "4444")
		})
	}
}

// A store that fails once buries nothing: the provider sends it again.
func TestAStoreThatFailsOnce(t *testing.T) {
	d := newFixture()
	down := errors.New("down")
	d.box.refuse = func(inbox.Event) error { d.box.refuse = nil; return down }
	_, err := d.receive(t, "m1", `{"type":"a.b"}`)
	require.Equal(t, down, err)
	require.Empty(t, d.box.put)
	require.Empty(t, d.logs.String())
	_, err = d.receive(t, "m1", `{"type":"a.b"}`)
	require.NoError(t, err)
	require.Equal(t, []string{"store_down", "stored"}, d.verdicts)
	require.Empty(t, d.box.put[0].State)
}

// Nothing of a body reaches the log or an error's text, whatever becomes of it.
func TestNothingOfTheBodyIsLogged(t *testing.T) {
	const canary = "424242"
	for name, body := range map[string]string{
		"stored": `{"type":"a.b","name":"424242"}`, "ignored": `{"type":"a.b","ignored":"another's","name":"424242"}`, "malformed": `424242 is your code`,
	} {
		for _, id := range []string{"m1", ""} {
			d := newFixture()
			_, err := d.receive(t, id, body)
			require.NoError(t, err)
			require.Equal(t, []string{name}, d.verdicts)
			d.box.fails = errors.New("down")
			_, err = d.receive(t, id, body)
			require.NotContains(t, err.Error(), canary)
			_, err = d.Receive(t.Context(), map[string]string{"verdict": "stale"}, []byte(body))
			require.NotContains(t, err.Error(), canary)
			d.Provider.Verify = nil
			_, err = d.receive(t, id, body)
			require.NotContains(t, err.Error()+d.logs.String(), canary)
		}
	}
}

// Whoever finds the address can not fill the log: all are counted, one a second of each kind is written.
func TestRefusalsAreLoggedOnceASecond(t *testing.T) {
	d := newFixture()
	flood := func(n int) {
		for range n {
			_, err := d.Receive(t.Context(), map[string]string{"verdict": "header_missing"}, nil)
			require.Equal(t, webhook.Missing, err)
		}
	}
	flood(100)
	require.Equal(t, 1, strings.Count(d.logs.String(), "verdict=header_missing"))
	require.Contains(t, d.logs.String(), "level=WARN")
	require.Contains(t, d.logs.String(), "suppressed=0")
	_, err := d.Receive(t.Context(), map[string]string{"verdict": "header_malformed"}, nil)
	require.Equal(t, webhook.Malformed, err)
	require.Contains(t, d.logs.String(), "verdict=header_malformed", "each verdict for itself")
	d.now = d.now.Add(time.Second)
	flood(100)
	require.Equal(t, 2, strings.Count(d.logs.String(), "verdict=header_missing"))
	require.Contains(t, d.logs.String(), "suppressed=99")
	require.Len(t, d.verdicts, 201)

	d.Provider.Verify = nil
	for range 100 {
		_, err := d.Receive(t.Context(), nil, nil)
		require.ErrorIs(t, err, webhook.ErrNotSetUp)
	}
	require.Equal(t, 1, strings.Count(d.logs.String(), "ACME_WEBHOOK_SECRET is not set"))
	require.Contains(t, d.logs.String(), "level=ERROR")
	require.Len(t, d.verdicts, 301)
}
