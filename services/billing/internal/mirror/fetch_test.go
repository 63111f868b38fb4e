package mirror_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
)

// A fetch is numbered before it asks Stripe: an answer that Stripe gave before a later fetch's must not replace it, however late it comes.
func TestAnOldAnswerNeverReplacesANewOne(t *testing.T) {
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
