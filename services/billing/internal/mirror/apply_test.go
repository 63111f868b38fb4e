package mirror_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/services/billing/internal/intake"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
)

// receive puts an event as the receiver does.
func (w *fixture) receive(t *testing.T, body string) string {
	t.Helper()
	e, err := intake.ParseEvent([]byte(body))
	require.NoError(t, err)
	subject := e.ObjectID
	if subject == "" {
		subject = e.ID
	}
	_, err = w.Inbox.Put(t.Context(), inbox.Event{Source: mirror.Stripe, ID: e.ID, Type: e.Type, Subject: subject, Payload: e.Payload})
	require.NoError(t, err)
	return e.ID
}

func (w *fixture) has(t *testing.T, kind mirror.Kind, id string) mirror.Object {
	t.Helper()
	o, err := w.rows.Object(t.Context(), kind, id)
	require.NoError(t, err, "%s %s", kind, id)
	return o
}

func (w *fixture) becomes(t *testing.T, id string, state inbox.State) inbox.Record {
	t.Helper()
	var r inbox.Record
	require.Eventually(t, func() (ok bool) {
		var err error
		r, err = w.Inbox.Get(t.Context(), mirror.Stripe, id)
		return err == nil && r.State == state
	}, 20*time.Second, time.Millisecond)
	return r
}

func refund(id, status string) string {
	return fmt.Sprintf(`{"id":%q,"object":"refund","created":1800000000,"status":%q,"charge":"ch_1"}`, id, status)
}

// TestAChargeMeansItsRefundsAndDisputes: an endpoint of API version 2023-10-16 may get no event of a refund itself.
func TestAChargeMeansItsRefundsAndDisputes(t *testing.T) {
	for name, c := range map[string]struct {
		charge string
		lists  []mirror.Kind
		types  []string
	}{
		"refunded":           {`"amount_refunded":5,"disputed":false`, []mirror.Kind{mirror.Refund}, []string{"charge.refunded"}},
		"disputed":           {`"amount_refunded":0,"disputed":true`, []mirror.Kind{mirror.Dispute}, []string{"charge.updated"}},
		"both":               {`"amount_refunded":5,"disputed":true`, []mirror.Kind{mirror.Refund, mirror.Dispute}, []string{"charge.updated"}},
		"paid, that's all":   {`"amount_refunded":0,"disputed":false`, nil, []string{"charge.succeeded"}},
		"says nothing of it": {`"paid":true`, []mirror.Kind{mirror.Refund, mirror.Dispute}, []string{"charge.refunded"}},
		// The newest by arrival is not the newest by time.
		"many at once": {`"amount_refunded":0,"disputed":false`, []mirror.Kind{mirror.Refund, mirror.Dispute}, []string{"charge.refunded", "charge.succeeded"}},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *fixture) {
				for _, id := range []string{"re_1", "re_2", "re_3"} {
					w.source.set(id, refund(id, "succeeded"))
				}
				w.source.set("dp_1", `{"id":"dp_1","object":"dispute","created":1800000000,"status":"lost"}`)
				w.source.ofCharge = map[string][]string{"ch_1 refund": {"re_1", "re_2", "re_3"}, "ch_1 dispute": {"dp_1"}}
				// One is known, and not as it is.
				w.source.set("re_2", refund("re_2", "pending"))
				_, err := w.Sync(t.Context(), mirror.Refund, "re_2")
				require.NoError(t, err)
				w.source.set("re_2", refund("re_2", "succeeded"))
				for i, kind := range c.types {
					w.receive(t, fmt.Sprintf(`{"id":"evt_%d","type":%q,"data":{"object":{"id":"ch_1","object":"charge",%s}}}`, i, kind, c.charge))
				}
				w.run(t)
				w.settled(t)
				var asked []mirror.Kind
				for _, q := range w.source.lists {
					require.Equal(t, "ch_1", q.Charge)
					if q.After == "" {
						asked = append(asked, q.Kind)
					}
				}
				require.Equal(t, c.lists, asked)
				for _, kind := range c.lists {
					for _, id := range map[mirror.Kind][]string{mirror.Refund: {"re_1", "re_2", "re_3"}, mirror.Dispute: {"dp_1"}}[kind] {
						o := w.has(t, kind, id)
						require.NotEqual(t, "pending", o.Status)
						require.Equal(t, map[string]int64{"re_1": 1, "re_2": 2, "re_3": 1, "dp_1": 1}[id], o.Sequence, id)
					}
				}
			})
		})
	}
}

// TestListedObjectNeverReplacesAFetchedOne: an object is written as it was listed only while nobody has begun to fetch it.
func TestListedObjectNeverReplacesAFetchedOne(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		ctx, listed := t.Context(), []byte(customer("cus_1", 1))
		w.source.set("cus_1", customer("cus_1", 2))
		_, err := w.rows.TakeSequence(ctx, mirror.Customer, "cus_1") // a fetch under way
		require.NoError(t, err)
		_, changes, err := w.Compare(ctx, mirror.Customer, listed, time.Now())
		require.NoError(t, err)
		require.Equal(t, []mirror.Change{{Kind: mirror.Customer, ID: "cus_1", Outcome: mirror.Created}}, changes)
		o := w.has(t, mirror.Customer, "cus_1")
		require.Contains(t, string(o.Body), `"balance":2`)
		require.EqualValues(t, 2, o.Sequence)

		w.source.set("cus_1", "") // gone: an old list does not bring it back
		_, err = w.Sync(ctx, mirror.Customer, "cus_1")
		require.NoError(t, err)
		_, _, err = w.Compare(ctx, mirror.Customer, listed, time.Now())
		require.NoError(t, err)
		require.True(t, w.has(t, mirror.Customer, "cus_1").Deleted)

		calls := w.source.calls
		_, changes, err = w.Compare(ctx, mirror.Customer, []byte(customer("cus_2", 1)), time.Now())
		require.NoError(t, err)
		require.Equal(t, mirror.Created, changes[0].Outcome)
		require.Equal(t, calls, w.source.calls, "what is new costs no call")
		require.EqualValues(t, 1, w.has(t, mirror.Customer, "cus_2").Sequence)

		cut := `{"id":"sub_1","object":"subscription","items":{"object":"list","data":[],"has_more":%t}}`
		w.source.set("sub_1", fmt.Sprintf(cut, false))
		_, _, err = w.Compare(ctx, mirror.Subscription, fmt.Appendf(nil, cut, true), time.Now())
		require.NoError(t, err)
		require.Contains(t, string(w.has(t, mirror.Subscription, "sub_1").Body), `"has_more":false`, "what is cut short is fetched")
	})
}

func method(id, customer string) string {
	return fmt.Sprintf(`{"id":%q,"object":"payment_method","type":"card","created":1800000000,"customer":%q}`, id, customer)
}

// TestACustomerGoes: no event tells of its payment methods, whichever is written first.
func TestACustomerGoes(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		ctx := t.Context()
		w.source.set("cus_1", customer("cus_1", 1))
		w.source.set("pm_1", method("pm_1", "cus_1"))
		w.source.set("pm_2", method("pm_2", "cus_1"))
		_, err := w.Sync(ctx, mirror.PaymentMethod, "pm_1")
		require.NoError(t, err)
		w.put(t, "evt_1", "customer", "cus_1")
		w.run(t)
		w.settled(t)
		require.False(t, w.has(t, mirror.PaymentMethod, "pm_1").Deleted)

		gate := make(chan struct{})
		w.source.mu.Lock()
		w.source.gate, w.source.asked = gate, make(chan string, 100)
		w.source.mu.Unlock()
		w.put(t, "evt_2", "payment_method", "pm_2") // its answer is that it lives
		require.Equal(t, "pm_2", <-w.source.asked)
		w.source.mu.Lock()
		w.source.gate = nil
		w.source.mu.Unlock()
		for _, id := range []string{"cus_1", "pm_1", "pm_2"} {
			w.source.set(id, "")
		}
		w.put(t, "evt_3", "customer", "cus_1")
		w.becomes(t, "evt_3", inbox.Done)
		require.True(t, w.has(t, mirror.PaymentMethod, "pm_1").Deleted)
		close(gate)
		w.settled(t)
		require.True(t, w.has(t, mirror.PaymentMethod, "pm_2").Deleted)
	})
}

func TestEventsThatAreOdd(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		w.source.set("prod_1", `{"id":"prod_1","object":"product","deleted":true}`)
		chosen := []string{"gold/monthly", "x?y", "x#y", `a\b`, "50%off"} // ids that whoever made the product chose
		for _, id := range chosen {
			w.source.set(id, fmt.Sprintf(`{"id":%q,"object":"product"}`, id))
		}
		w.source.set("cus_1", customer("cus_1", 1))
		w.source.set("cus_2", customer("cus_2", 1))
		w.source.set("in_1", `{"id":"in_1","object":"invoice","created":1}`)
		w.run(t)
		for name, c := range map[string]struct {
			body, want string
			state      inbox.State
		}{
			"a path":          {`{"id":"evt_1","type":"customer.updated","data":{"object":{"id":"../x","object":"customer"}}}`, `without "." or ".."`, inbox.Dead},
			"a slash":         {`{"id":"evt_2","type":"product.updated","data":{"object":{"id":"gold/monthly","object":"product"}}}`, "", inbox.Done},
			"a query":         {`{"id":"evt_3","type":"product.updated","data":{"object":{"id":"x?y","object":"product"}}}`, "", inbox.Done},
			"a fragment":      {`{"id":"evt_4","type":"product.updated","data":{"object":{"id":"x#y","object":"product"}}}`, "", inbox.Done},
			"a backslash":     {`{"id":"evt_14","type":"product.updated","data":{"object":{"id":"a\\b","object":"product"}}}`, "", inbox.Done},
			"a parent":        {`{"id":"evt_5","type":"customer.updated","data":{"object":{"id":"..","object":"customer"}}}`, `without "." or ".."`, inbox.Dead},
			"a percent sign":  {`{"id":"evt_6","type":"product.updated","data":{"object":{"id":"50%off","object":"product"}}}`, "", inbox.Done},
			"no object":       {`{"id":"evt_20","type":"customer.updated","data":{}}`, "has no id", inbox.Dead},
			"a bare object":   {`{"id":"evt_21","type":"customer.updated","data":{"object":{"object":"customer"}}}`, "has no id", inbox.Dead},
			"not there yet":   {`{"id":"evt_22","type":"invoice.upcoming","data":{"object":{"object":"invoice"}}}`, "", inbox.Done},
			"a charge's path": {`{"id":"evt_7","type":"charge.refunded","data":{"object":{"id":"../x","object":"charge"}}}`, `without "." or ".."`, inbox.Dead},
			"of another kind": {`{"id":"evt_8","type":"invoice.paid","data":{"object":{"id":"cus_9","object":"invoice"}}}`, "", inbox.Done},
			"a thin one": {
				`{"id":"evt_9","object":"v2.core.event","type":"v1.customer.updated","related_object":{"id":"cus_1","type":"customer"}}`, "", inbox.Done,
			},
			"of another version": {`{"id":"evt_10","type":"invoice.paid","api_version":"2031-01-01","data":{"object":{"id":"in_1","object":"invoice"}}}`, "", inbox.Done},
			"a product gone":     {`{"id":"evt_11","type":"product.deleted","data":{"object":{"id":"prod_1","object":"product","deleted":true}}}`, "", inbox.Done},
			"not kept, odd id":   {`{"id":"evt_12","type":"a.b","data":{"object":{"id":"../x","object":"thing"}}}`, "", inbox.Done},
			"an invoice to come": {`{"id":"evt_13","type":"invoice.upcoming","data":{"object":{"object":"invoice"}}}`, "", inbox.Done},
		} {
			r := w.becomes(t, w.receive(t, c.body), c.state)
			require.Contains(t, r.LastError, c.want, name)
			require.Equal(t, 1, r.Attempts, name)
		}
		for _, q := range w.source.ids() {
			require.Contains(t, append([]string{"cus_1", "cus_9", "in_1", "prod_1"}, chosen...), q)
		}
		for _, id := range chosen {
			require.False(t, w.has(t, mirror.Product, id).Deleted, id)
		}
		require.True(t, w.has(t, mirror.Product, "prod_1").Deleted)
		require.True(t, w.has(t, mirror.Invoice, "cus_9").Deleted, "Stripe has no such invoice")
		require.False(t, w.has(t, mirror.Customer, "cus_1").Deleted)
		require.False(t, w.has(t, mirror.Invoice, "in_1").Deleted)
	})
}

// TestKindsOfOneSubject: an event of a kind that is not kept does not hide an earlier one that waits for the same object.
func TestKindsOfOneSubject(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		for i, kind := range []string{"customer.updated", "customer.subscription.deleted", "charge.dispute.closed", "charge.refund.updated", "invoice.paid"} {
			id := fmt.Sprint("x_", i)
			w.source.set(id, fmt.Sprintf(`{"id":%q,"object":%q}`, id, []string{"customer", "subscription", "dispute", "refund", "invoice"}[i]))
			w.receive(t, fmt.Sprintf(`{"id":"evt_%d","type":%q,"data":{"object":{"id":%q,"object":%q}}}`, i, kind, id, []string{"customer", "subscription", "dispute", "refund", "invoice"}[i]))
			w.receive(t, fmt.Sprintf(`{"id":"evt_late_%d","object":"v2.core.event","type":"v2.new.thing","related_object":{"id":%q,"type":"thing"}}`, i, id))
		}
		w.run(t)
		w.settled(t)
		for i, kind := range []mirror.Kind{mirror.Customer, mirror.Subscription, mirror.Dispute, mirror.Refund, mirror.Invoice} {
			w.has(t, kind, fmt.Sprint("x_", i))
		}
	})
}

// TestStripeAsksToWait: no attempt is made before, and Stripe's mistakes are written nowhere.
func TestStripeAsksToWait(t *testing.T) {
	both(t, func(t *testing.T, db *database.DB) {
		for name, c := range map[string]struct {
			fault fault.Fault
			least time.Duration
		}{
			"rate limit":          {fault.Fault{Kind: fault.RateLimit, RetryAfter: 7 * time.Minute}, 7 * time.Minute},
			"down for a while":    {fault.Fault{Kind: fault.Status, Status: http.StatusServiceUnavailable, RetryAfter: time.Hour}, time.Hour},
			"with a page of HTML": {fault.Fault{Kind: fault.RateLimit, RetryAfter: 7 * time.Minute, Body: "<html>ada@example.test"}, 7 * time.Minute},
			"without a header":    {fault.Fault{Kind: fault.Status, Status: http.StatusTooManyRequests}, 0},
			"not found by nobody": {fault.Fault{Kind: fault.Status, Status: http.StatusNotFound}, 0},
			"garbage":             {fault.Fault{Kind: fault.Garbage, Body: "<html>ada@example.test"}, 0},
			"silence":             {fault.Fault{Kind: fault.Hang}, 0},
			"a list":              {fault.Fault{Kind: fault.Garbage, Body: `["ada@example.test"]`}, 0},
			"another object":      {fault.Fault{Kind: fault.Garbage, Body: `{"id":"cus_other","object":"customer","name":"ada@example.test"}`}, 0},
		} {
			t.Run(name, func(t *testing.T) {
				empty(t, db)
				c1 := newCopy(t, db)
				struck := c1.must("POST", "/v1/customers", "")
				other := c1.must("POST", "/v1/customers", "")
				events := c1.take()
				c.fault.Path = "/v1/customers/" + struck
				_, err := c1.Faults().Add(c.fault)
				require.NoError(t, err)
				for _, e := range events {
					require.NoError(t, c1.receive(e.Body))
				}
				var r inbox.Record
				require.Eventually(t, func() bool {
					r, err = c1.inbox.Get(t.Context(), mirror.Stripe, events[0].ID)
					return err == nil && r.State == inbox.Pending && r.LastError != ""
				}, 30*time.Second, time.Millisecond)
				require.NotContains(t, r.LastError, "ada@")
				if c.least > 0 {
					require.GreaterOrEqual(t, r.DueTime.Sub(r.PutTime), c.least)
					require.Equal(t, 1, r.Attempts)
				}
				require.Eventually(t, func() bool {
					_, err := c1.store.Object(context.Background(), mirror.Customer, other)
					return err == nil
				}, 30*time.Second, time.Millisecond, "other subjects continue")
				_, err = c1.store.Object(t.Context(), mirror.Customer, struck)
				require.ErrorIs(t, err, mirror.ErrNotFound)
				if c.least == 0 {
					c1.Faults().Clear()
					c1.drain()
					require.Empty(t, c1.differences(true))
				}
			})
		}
	})
}
