package mirror_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
	"github.com/trivet-dev/trivet/services/billing/internal/intake"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is a Stripe whose answers a test holds back.
type source struct {
	mu     sync.Mutex
	bodies map[string]string // "" is gone
	err    error
	calls  int
	// gate, when set, is waited for after the answer was decided, and before it is given.
	gate chan struct{}
	// asked tells of each call.
	asked chan string
	// ofCharge are the ids of refunds and disputes, by "ch_1 refund"; lists are the queries that came.
	ofCharge map[string][]string
	lists    []mirror.Query
	got      []string
}

func (s *source) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func (s *source) Get(ctx context.Context, _ mirror.Kind, id string) ([]byte, error) {
	s.mu.Lock()
	s.calls++
	s.got = append(s.got, id)
	body, err, gate := s.bodies[id], s.err, s.gate
	s.mu.Unlock()
	if s.asked != nil {
		s.asked <- id
	}
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err == nil && body == "" {
		err = mirror.ErrGone
	}
	return []byte(body), err
}

// List lists what belongs to a charge, two a page.
func (s *source) List(_ context.Context, q mirror.Query) (page mirror.Page, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists = append(s.lists, q)
	if s.err != nil {
		return page, s.err
	}
	all := s.ofCharge[q.Charge+" "+string(q.Kind)]
	from := slices.Index(all, q.After) + 1
	for _, id := range all[from:min(from+2, len(all))] {
		page.Bodies = append(page.Bodies, []byte(s.bodies[id]))
	}
	page.More = from+2 < len(all)
	return page, nil
}

func (s *source) set(id, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies[id] = body
}

func customer(id string, balance int) string {
	return fmt.Sprintf(`{"id":%q,"object":"customer","created":1800000000,"balance":%d,"email":"ada@example.test"}`, id, balance)
}

type fixture struct {
	*mirror.Mirror
	rows     *store.Store
	source   *source
	mu       sync.Mutex
	outcomes map[string]int
}

func (w *fixture) count(outcome string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.outcomes[outcome]
}

func each(t *testing.T, test func(t *testing.T, w *fixture)) {
	databasetest.EachOf(t, billingtest.Migrations(), func(t *testing.T, db *database.DB) {
		box, err := inbox.New(db, inbox.Options{Backoff: inbox.Backoff{Base: time.Millisecond, Cap: time.Millisecond}})
		require.NoError(t, err)
		w := &fixture{rows: store.New(db), source: &source{bodies: map[string]string{}, ofCharge: map[string][]string{}}, outcomes: map[string]int{}}
		w.Mirror = mirror.New(mirror.Options{
			Inbox: box, Store: w.rows, Source: w.source, Now: time.Now,
			Applied: func(_ context.Context, _, outcome string) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.outcomes[outcome]++
			},
		})
		require.NoError(t, w.Handle())
		test(t, w)
	})
}

func (w *fixture) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Inbox.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

func (w *fixture) put(t *testing.T, event, kind, id string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"id": event, "type": kind + ".updated", "data": map[string]any{"object": map[string]any{"id": id, "object": kind}},
	})
	require.NoError(t, err)
	e, err := intake.ParseEvent(body)
	require.NoError(t, err)
	_, err = w.Inbox.Put(t.Context(), inbox.Event{Source: mirror.Stripe, ID: e.ID, Type: e.Type, Subject: e.ObjectID, Payload: e.Payload})
	require.NoError(t, err)
}

func (w *fixture) settled(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		counts, err := w.Inbox.Counts(t.Context())
		return err == nil && len(counts) == 0
	}, 20*time.Second, 5*time.Millisecond)
}

func TestManyEventsAreOneFetch(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		w.source.set("cus_1", customer("cus_1", 7))
		for i := range 50 {
			w.put(t, fmt.Sprintf("evt_%d", i), "customer", "cus_1")
		}
		w.run(t)
		w.settled(t)
		require.Equal(t, 1, w.source.calls)
		o, err := w.rows.Object(t.Context(), mirror.Customer, "cus_1")
		require.NoError(t, err)
		require.JSONEq(t, `{"id":"cus_1","object":"customer","created":1800000000,"balance":7}`, string(o.Body))
		require.Equal(t, "cus_1", o.Customer)
		require.EqualValues(t, 1, o.Sequence)
		require.Equal(t, time.Unix(1_800_000_000, 0).UTC(), o.CreateTime)
	})
}

func TestALateAnswerDoesNotUndoALaterFetch(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		w.source.set("cus_1", customer("cus_1", 1))
		late, err := w.Fetch(t.Context(), mirror.Customer, "cus_1")
		require.NoError(t, err)
		w.source.set("cus_1", customer("cus_1", 2))
		now, err := w.Sync(t.Context(), mirror.Customer, "cus_1")
		require.NoError(t, err)
		written, err := w.rows.WriteObject(t.Context(), late, nil)
		require.NoError(t, err)
		require.False(t, written)
		again, err := w.rows.WriteObject(t.Context(), now, nil)
		require.NoError(t, err)
		require.False(t, again, "the same fetch twice")
		o, err := w.rows.Object(t.Context(), mirror.Customer, "cus_1")
		require.NoError(t, err)
		require.Contains(t, string(o.Body), `"balance":2`)
	})
}

func TestTombstonesBeatLateAnswers(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		for name, deleted := range map[string]string{"cus_404": "", "cus_flag": `{"id":"cus_flag","object":"customer","deleted":true}`} {
			w.source.set(name, customer(name, 1))
			late, err := w.Fetch(t.Context(), mirror.Customer, name)
			require.NoError(t, err)
			w.source.set(name, deleted)
			o, err := w.Sync(t.Context(), mirror.Customer, name)
			require.NoError(t, err)
			require.True(t, o.Deleted)
			require.Equal(t, "{}", string(o.Body))
			written, err := w.rows.WriteObject(t.Context(), late, nil)
			require.NoError(t, err)
			require.False(t, written)
		}
		living, err := w.rows.Objects(t.Context(), mirror.Customer, "", 10)
		require.NoError(t, err)
		require.Empty(t, living)
	})
}

// TestAnEventDuringAFetch: what changes after the answer was made is seen by the fetch of the event that tells of it.
func TestAnEventDuringAFetch(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		gate := make(chan struct{})
		w.source.gate, w.source.asked = gate, make(chan string, 10)
		w.source.set("cus_1", customer("cus_1", 1))
		w.put(t, "evt_1", "customer", "cus_1")
		w.run(t)
		<-w.source.asked
		w.source.set("cus_1", customer("cus_1", 2))
		w.put(t, "evt_2", "customer", "cus_1")
		close(gate)
		w.settled(t)
		o, err := w.rows.Object(t.Context(), mirror.Customer, "cus_1")
		require.NoError(t, err)
		require.Contains(t, string(o.Body), `"balance":2`)
		require.Eventually(t, func() bool { return w.count("changed") == 2 }, 20*time.Second, time.Millisecond, "counted after the commit")
	})
}

func TestStripeIsAwayForAWhile(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		w.source.err = errors.New("stripe answered 500")
		w.source.asked = make(chan string, 1000)
		w.source.set("cus_1", customer("cus_1", 1))
		w.put(t, "evt_1", "customer", "cus_1")
		w.run(t)
		<-w.source.asked
		<-w.source.asked
		w.source.mu.Lock()
		w.source.err = nil
		w.source.mu.Unlock()
		w.settled(t)
		_, err := w.rows.Object(t.Context(), mirror.Customer, "cus_1")
		require.NoError(t, err)
	})
}

func TestWhatIsNotKept(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		w.put(t, "evt_1", "payment_intent", "pi_1")
		w.put(t, "evt_2", "balance", "")
		w.run(t)
		w.settled(t)
		require.Zero(t, w.source.calls)
		require.Equal(t, 2, w.count("none"))
		_, err := w.rows.Object(t.Context(), mirror.Customer, "cus_1")
		require.ErrorIs(t, err, mirror.ErrNotFound)
		_, err = w.rows.TakeSequence(t.Context(), mirror.Customer, "cus_1")
		require.NoError(t, err)
		_, err = w.rows.Object(t.Context(), mirror.Customer, "cus_1")
		require.ErrorIs(t, err, mirror.ErrNotFound, "a fetch under way is nothing yet")
	})
}

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		kind             mirror.Kind
		body             string
		customer, status string
		want             string
	}{
		"payment method": {
			mirror.PaymentMethod,
			`{"id":"pm_1","object":"payment_method","type":"card","customer":"cus_1","created":1,"livemode":false,
			  "billing_details":{"email":"ada@example.test"},"card":{"brand":"visa","last4":"4242","exp_month":1,"exp_year":2030,"fingerprint":"f"}}`,
			"cus_1", "",
			`{"id":"pm_1","object":"payment_method","type":"card","customer":"cus_1","created":1,"livemode":false,
			  "card":{"brand":"visa","last4":"4242","exp_month":1,"exp_year":2030}}`,
		},
		"invoice with its customer expanded": {
			mirror.Invoice, `{"id":"in_1","object":"invoice","status":"paid","customer":{"id":"cus_1"},"customer_email":"a@b.test","total":9007199254740993}`,
			"cus_1", "paid", `{"id":"in_1","object":"invoice","status":"paid","customer":{"id":"cus_1"},"total":9007199254740993}`,
		},
		"price":   {mirror.Price, `{"id":"price_1","object":"price","active":false}`, "", "inactive", `{"id":"price_1","object":"price","active":false}`},
		"product": {mirror.Product, `{"id":"prod_1","object":"product","active":true}`, "", "active", `{"id":"prod_1","object":"product","active":true}`},
		"dispute": {mirror.Dispute, `{"id":"dp_1","object":"dispute","status":"lost","evidence":{"customer_name":"Ada"}}`, "", "lost", `{"id":"dp_1","object":"dispute","status":"lost"}`},
	} {
		o, err := mirror.Parse(c.kind, []byte(c.body))
		require.NoError(t, err, name)
		require.Equal(t, c.customer, o.Customer, name)
		require.Equal(t, c.status, o.Status, name)
		require.JSONEq(t, c.want, string(o.Body), name)
		if name[0] == 'i' {
			require.Contains(t, string(o.Body), "9007199254740993", "amounts are exact")
		}
	}
	for _, bad := range []string{"", "null", "[]", `{"object":"customer"}`, `{"id":"cus_1","object":"invoice"}`, `{"id":1,"object":"customer"}`} {
		_, err := mirror.Parse(mirror.Customer, []byte(bad))
		require.Error(t, err, bad)
	}
	for _, kind := range mirror.Kinds() {
		require.True(t, mirror.Known(kind))
	}
	require.False(t, mirror.Known("charge"))
}
