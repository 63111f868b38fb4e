package ledger_test

import (
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/callid"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// formerID is the id of a request's hold in versions before ids began with the time of the call.
func formerID(accountID, requestID string) string {
	sum := sha256.Sum256([]byte(accountID + "\x00" + requestID))
	return "hold_" + strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20]))
}

// TestHoldIDs: the ids of calls' holds lie in the order of the calls, so that new rows share pages of the index. All others, and those of a database that replicas of
// an earlier version may share, are what they were.
func TestHoldIDs(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		var ids []string
		for i := range 5 {
			request := callid.Make(alice, b.clock.Now(), uint64(1<<40-i))
			id := b.hold(request, 1).ID
			require.Equal(t, id, b.hold(request, 1).ID, "a repetition finds the hold")
			require.Len(t, id, len(formerID(alice, request)))
			if b.db.Dialect() == database.Postgres {
				require.Equal(t, formerID(alice, request), id)
			}
			ids = append(ids, id)
			b.clock.Add(time.Millisecond)
		}
		if b.db.Dialect() == database.SQLite {
			require.True(t, slices.IsSorted(ids), "%v", ids)
		}
		other := callid.Make("user_bob", b.clock.Now(), 1) // carries another account
		for _, request := range []string{"r1", other, "call_"} {
			require.Equal(t, formerID(alice, request), b.hold(request, 1).ID)
		}
		same := callid.Make(alice, b.clock.Now(), 1)
		bob, err := b.Reserve(t.Context(), ledger.Reservation{RequestID: other, AccountID: "user_bob", Model: "embed", InputTokens: 1})
		require.NoError(t, err)
		require.NotEqual(t, b.hold(same, 1).ID, bob.ID)
		require.EqualValues(t, 9, b.account().Held)
	})
}

// TestHoldOfAnEarlierVersion: an upgrade does not come between a Reserve whose answer was lost and its repetition.
func TestHoldOfAnEarlierVersion(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		request := callid.Make(alice, b.clock.Now(), 1)
		former := formerID(alice, request)
		b.exec("UPDATE hold SET id = $1 WHERE id = $2", former, b.hold(request, 7).ID)
		b.clock.Add(time.Second)
		b.Ledger = b.again()
		require.Equal(t, former, b.hold(request, 7).ID, "a repetition finds the hold")
		require.EqualValues(t, 7, b.account().Held)
		_, err := b.Reserve(t.Context(), ledger.Reservation{RequestID: request, AccountID: alice, UserID: "user_1", Model: "embed", InputTokens: 8})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
		_, err = b.Reserve(t.Context(), ledger.Reservation{RequestID: request, AccountID: alice, UserID: "user_1", Model: "gone", InputTokens: 7})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)

		b.settle(ledger.Hold{ID: former}, 5)
		require.EqualValues(t, 0, b.account().Held)
		record, err := b.Call(t.Context(), alice, request)
		require.NoError(t, err)
		require.Equal(t, former, record.HoldID)
		require.EqualValues(t, 5, record.Cost)
		_, err = b.Reserve(t.Context(), ledger.Reservation{RequestID: request, AccountID: alice, UserID: "user_1", Model: "embed", InputTokens: 7})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
	})
}
