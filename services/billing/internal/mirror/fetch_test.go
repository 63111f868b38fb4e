package mirror_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
)

// A fetch is numbered before it asks Stripe: an answer that Stripe gave before a later fetch's must not replace it, however late it comes.
func TestOldAnswerNeverReplacesANewOne(t *testing.T) {
	for name, old := range map[string]string{"a change": customer("cus_1", 1), "a deletion": ""} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *fixture) {
				w.source.set("cus_1", old)
				gate := make(chan struct{})
				w.source.gate, w.source.asked = gate, make(chan string, 1)
				slow := make(chan error, 1)
				go func() {
					_, err := w.Sync(t.Context(), mirror.Customer, "cus_1")
					slow <- err
				}()
				<-w.source.asked // its answer is decided, and on its way
				w.source.mu.Lock()
				w.source.gate, w.source.bodies["cus_1"] = nil, customer("cus_1", 2)
				w.source.mu.Unlock()
				fresh, err := w.Sync(t.Context(), mirror.Customer, "cus_1")
				require.NoError(t, err)
				<-w.source.asked
				close(gate)
				require.NoError(t, <-slow)
				stored := w.has(t, mirror.Customer, "cus_1")
				require.False(t, stored.Deleted)
				require.Equal(t, string(fresh.Body), string(stored.Body))
			})
		})
	}
}

// A charge of another account, or of another mode, has nothing to mirror: its event is done, not retried until it is dead.
func TestAChargeThatStripeDoesNotHave(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		w.source.err = mirror.ErrGone
		changes, err := w.Refresh(t.Context(), mirror.Target{Kind: mirror.Refund, Charge: "ch_1"})
		require.NoError(t, err)
		require.Empty(t, changes)
		w.run(t)
		id := w.receive(t, `{"id":"evt_1","type":"charge.refunded","data":{"object":{"id":"ch_1","object":"charge"}}}`)
		r := w.becomes(t, id, "done")
		require.Empty(t, r.LastError)
	})
}

func TestWithoutMetadata(t *testing.T) {
	for body, want := range map[string]string{
		`{"id":"a","metadata":{"x":"y"}}`:                                  `{"id":"a"}`,
		`{"id":"a","lines":{"data":[{"metadata":{"x":1},"amount":1e30}]}}`: `{"id":"a","lines":{"data":[{"amount":1e30}]}}`,
		`{"id":"a"}`: `{"id":"a"}`,
		`[`:          `{}`,
		``:           `{}`,
	} {
		require.Equal(t, want, string(mirror.WithoutMetadata([]byte(body))), body)
	}
}

// TestWhatARefreshFinds walks an object through its life, also before it and after it.
func TestWhatARefreshFinds(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		target := mirror.Target{Kind: mirror.Customer, ID: "cus_1"}
		for _, c := range []struct {
			what, body string
			want       mirror.Outcome
		}{
			{"never there", "", mirror.Same},
			{"made", customer("cus_1", 1), mirror.Created},
			{"looked at again", customer("cus_1", 1), mirror.Same},
			{"changed", customer("cus_1", 2), mirror.Repaired},
			{"deleted", "", mirror.Removed},
			{"deleted long ago", "", mirror.Same},
			{"back, as of another mode", customer("cus_1", 2), mirror.Created},
		} {
			w.source.set("cus_1", c.body)
			changes, err := w.Refresh(t.Context(), target)
			require.NoError(t, err, c.what)
			require.Equal(t, []mirror.Change{{Kind: mirror.Customer, ID: "cus_1", Outcome: c.want}}, changes, c.what)
		}
	})
}

// TestAnswerForAnotherObjectIsRejected keeps a proxy's mistake from being stored under the wrong id.
func TestAnswerForAnotherObjectIsRejected(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		w.source.set("cus_1", customer("cus_2", 1))
		_, err := w.Sync(t.Context(), mirror.Customer, "cus_1")
		require.ErrorContains(t, err, "another customer than the requested one")
		_, err = w.rows.Object(t.Context(), mirror.Customer, "cus_1")
		require.ErrorIs(t, err, mirror.ErrNotFound)
	})
}

// TestDeletedCustomerWithManyPaymentMethods looks at all of them, over more than one page of the store.
func TestDeletedCustomerWithManyPaymentMethods(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		w.source.set("cus_1", customer("cus_1", 1))
		_, err := w.Sync(t.Context(), mirror.Customer, "cus_1")
		require.NoError(t, err)
		const methods = 205
		for i := range methods {
			o, err := mirror.Parse(mirror.PaymentMethod, fmt.Appendf(nil, `{"id":"pm_%03d","object":"payment_method","type":"card","customer":"cus_1"}`, i))
			require.NoError(t, err)
			_, err = w.rows.AdoptObject(t.Context(), o, nil)
			require.NoError(t, err)
		}
		w.source.set("cus_1", "")
		changes, err := w.Refresh(t.Context(), mirror.Target{Kind: mirror.Customer, ID: "cus_1"})
		require.NoError(t, err)
		require.Len(t, changes, methods+1)
		left, err := w.rows.CustomerObjects(t.Context(), "cus_1", mirror.PaymentMethod, "", 10)
		require.NoError(t, err)
		require.Empty(t, left)
	})
}

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, strings.Repeat("a", 255): true, strings.Repeat("a", 256): false, "": false, "a/b": true, `a\b`: true,
		"..": false, ".": false, "a/..": false, "../a": false, "a/./b": false, `a\..`: false, `..\a`: false, `a/b\..`: false,
		"...": true, "a..b": true, "a/..b": true, "a\n": false, "a\u202e": false, "gold/monthly?x#y": true,
	} {
		require.Equal(t, want, mirror.ValidID(id), "%q", id)
	}
}

// TestTruncatedListIsPartial wherever in the object it stands.
func TestTruncatedListIsPartial(t *testing.T) {
	for kind, list := range map[mirror.Kind]string{mirror.Subscription: "items", mirror.Invoice: "lines", mirror.CheckoutSession: "line_items"} {
		for more, want := range map[string]bool{`{"has_more":true,"data":[]}`: true, `{"has_more":false,"data":[]}`: false, `{"data":[]}`: false, `null`: false} {
			o, err := mirror.Parse(kind, fmt.Appendf(nil, `{"id":"x_1","object":%q,%q:%s}`, kind, list, more))
			require.NoError(t, err)
			require.Equal(t, want, o.Partial, "%s %s", list, more)
		}
	}
}

// TestObjectHasTheTimeOfItsFetch: it is known to be true when Stripe was asked, not when the answer came.
func TestObjectHasTheTimeOfItsFetch(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		begun := time.Unix(1_800_000_000, 0).UTC()
		at := begun.Add(-time.Minute)
		w.Now = func() time.Time {
			at = at.Add(time.Minute)
			return at
		}
		for _, body := range []string{customer("cus_1", 1), ""} {
			w.source.set("cus_1", body)
			at = begun.Add(-time.Minute)
			o, err := w.Fetch(t.Context(), mirror.Customer, "cus_1")
			require.NoError(t, err)
			require.Equal(t, begun, o.FetchTime)
		}
	})
}
