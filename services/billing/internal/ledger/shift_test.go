package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// The sum of an account's grants says nothing about one of them. The auditor notices credit that is booked to another grant than the one that paid, also
// when the holds that the grant paid for are deleted.
func TestAShiftBetweenGrantsIsNoticed(t *testing.T) {
	const rule = "what remains of a grant is its amount less what it paid and what expired"
	each(t, "empty", func(t *testing.T, b *fixture) {
		_, second, other := b.give("first", 100), b.give("second", 100), b.give("other", 100)
		b.settle(b.hold("deleted", 130), 130)
		_, err := b.Fold(t.Context(), always)
		require.NoError(t, err)
		b.clock.Add(72 * time.Hour)
		require.NoError(t, b.Prune(t.Context(), 0, always))
		require.Zero(t, b.count("SELECT COUNT(*) FROM hold"))
		b.give("short", 60, b.clock.Now().Add(time.Hour))
		b.settle(b.hold("by the short one", 10), 10)
		b.clock.Add(2 * time.Hour)
		kept := b.hold("kept", 50)
		b.settle(kept, 50)
		require.Equal(t, map[string]int64{"first": 0, "second": 20, "other": 100, "short": 0}, b.remaining())
		b.sound()

		found := func() (all []ledger.Violation) {
			violations, err := b.Audit(t.Context())
			require.NoError(t, err)
			for _, v := range violations {
				if v.Rule == rule {
					all = append(all, v)
				}
			}
			return all
		}
		b.exec("UPDATE credit_grant SET remaining = CASE WHEN id = $1 THEN remaining + 1 ELSE remaining - 1 END WHERE id IN ($1, $2)", second.ID, other.ID)
		require.ElementsMatch(t, []ledger.Violation{{Rule: rule, Subject: second.ID, Want: 20, Got: 21}, {Rule: rule, Subject: other.ID, Want: 100, Got: 99}}, found())
		b.exec("UPDATE credit_grant SET remaining = CASE WHEN id = $1 THEN remaining - 1 ELSE remaining + 1 END WHERE id IN ($1, $2)", second.ID, other.ID)
		b.sound()

		pay := func(g ledger.Grant) {
			b.exec("UPDATE hold SET paid_by = $1 WHERE id = $2", fmt.Sprintf("%s=50", g.ID), kept.ID)
		}
		pay(other)
		require.ElementsMatch(t, []ledger.Violation{{Rule: rule, Subject: second.ID, Want: 70, Got: 20}, {Rule: rule, Subject: other.ID, Want: 50, Got: 100}}, found())
		pay(second)
		b.sound()

		// What a grant of an earlier version paid for holds that are deleted is not known.
		b.exec("UPDATE credit_grant SET paid_before = NULL, remaining = remaining + 1 WHERE id = $1", second.ID)
		require.Empty(t, found())
		b.exec("UPDATE credit_grant SET remaining = remaining - 1 WHERE id = $1", second.ID)
	})
}
