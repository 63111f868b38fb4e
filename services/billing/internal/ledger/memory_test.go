package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// Calls and batches use the memory of others that have ended. Callers leave at any time meanwhile, and some calls fail: each call still has its own values,
// in its answers and in what is stored.
func TestMemoryThatIsUsedAgain(t *testing.T) {
	const calls, accounts, callers = 400, 5, 40
	each(t, "empty", func(t *testing.T, b *fixture) {
		for i := range accounts {
			_, err := b.Grant(t.Context(), ledger.NewGrant{AccountID: accountOf(i), Create: true, Source: "credit", Amount: 1_000_000})
			require.NoError(t, err)
		}
		var group sync.WaitGroup
		next := make(chan int, calls)
		for i := range calls {
			next <- i
		}
		close(next)
		for range callers {
			group.Go(func() {
				for i := range next {
					b.ownCall(t, i, accounts)
				}
			})
		}
		group.Wait()

		var spent [accounts]int64
		for i := range calls {
			if completes(i) {
				spent[i%accounts] += int64(i)
			}
		}
		for range 2 { // before and after the fold
			for i := range calls {
				b.requireOwnRecord(t, i, accounts)
			}
			_, err := b.Fold(t.Context(), func(context.Context) error { return nil })
			require.NoError(t, err)
		}
		for i, cost := range spent {
			a, err := b.Account(t.Context(), accountOf(i), "")
			require.NoError(t, err)
			require.Zero(t, a.Held)
			require.Equal(t, 1_000_000-cost, a.Balance)
		}
	})
}

func accountOf(i int) string { return fmt.Sprintf("org_%d", i) }

// completes tells which of the calls are neither unknown nor too expensive.
func completes(i int) bool { return i%7 != 3 && i%11 != 5 }

// ownCall makes a call whose values are like those of no other.
func (b *fixture) ownCall(t *testing.T, i, accounts int) {
	r := ledger.Reservation{
		RequestID: fmt.Sprintf("r%d", i), AccountID: accountOf(i % accounts), UserID: fmt.Sprintf("user_%d", i), APIKeyID: fmt.Sprintf("key_%d", i),
		Model: "embed", InputTokens: int64(1000 + i),
	}
	switch {
	case i%7 == 3:
		r.Model = "unknown"
	case i%11 == 5:
		r.InputTokens = 1_000_001
	}
	leaves(t, i, func(ctx context.Context) error { _, err := b.Reserve(ctx, r); return err })
	h, err := b.Reserve(t.Context(), r)
	if !completes(i) {
		if reason := reasonOf(err); reason != errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND && reason != errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE {
			t.Errorf("call %d: %v", i, err)
		}
		return
	}
	if err != nil || h.RequestID != r.RequestID || h.AccountID != r.AccountID || h.UserID != r.UserID || h.APIKeyID != r.APIKeyID || h.Amount != r.InputTokens {
		t.Errorf("call %d: %v, %+v", i, err, h)
		return
	}
	s := ledger.Settlement{
		HoldID: h.ID, Usage: ledger.Usage{Input: int64(i)}, Outcome: ledger.OutcomeCompleted, ProviderRequestID: fmt.Sprintf("req_%d", i),
		CallLog: ledger.CallLog{Target: fmt.Sprintf("target_%d", i), Latency: time.Duration(i) * time.Millisecond},
	}
	leaves(t, i, func(ctx context.Context) error { _, err := b.Settle(ctx, s); return err })
	if end, err := b.Settle(t.Context(), s); err != nil || end.Cost != int64(i) || end.ProviderRequestID != s.ProviderRequestID || end.Target != s.Target {
		t.Errorf("call %d: %v, %+v", i, err, end)
	}
}

// leaves has a caller who leaves early for each fifth call. The batch may have the call by then, or not.
func leaves(t *testing.T, i int, do func(ctx context.Context) error) {
	if i%5 != 0 {
		return
	}
	ctx, leave := context.WithCancel(t.Context())
	var leaver sync.WaitGroup
	leaver.Go(func() {
		for range i % 50 {
			runtime.Gosched()
		}
		leave()
	})
	defer leaver.Wait()
	if err := do(ctx); err != nil && !errors.Is(err, context.Canceled) && completes(i) {
		t.Errorf("call %d: %v", i, err)
	}
}

// requireOwnRecord requires that the record of a call has its values.
func (b *fixture) requireOwnRecord(t *testing.T, i, accounts int) {
	t.Helper()
	r, err := b.Call(t.Context(), accountOf(i%accounts), fmt.Sprintf("r%d", i))
	if !completes(i) {
		require.ErrorIs(t, err, ledger.ErrNotFound)
		return
	}
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("user_%d", i), r.UserID)
	require.Equal(t, fmt.Sprintf("key_%d", i), r.APIKeyID)
	require.Equal(t, ledger.Usage{Input: int64(i)}, r.Usage)
	require.EqualValues(t, i, r.Cost)
	require.Equal(t, fmt.Sprintf("req_%d", i), r.ProviderRequestID)
	require.Equal(t, fmt.Sprintf("target_%d", i), r.Target)
	require.Equal(t, time.Duration(i)*time.Millisecond, r.Latency)
}
