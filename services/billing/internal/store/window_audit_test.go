package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// TestWindowsOfAnOlderVersion: a process of an older version makes a window without marking the account's holds. The audit reports no difference for that.
func TestWindowsOfAnOlderVersion(t *testing.T) {
	onBoth(t, func(c limitedCase) {
		differ := func() (found []string) {
			all, err := c.s.Violations(c.t.Context(), 100)
			require.NoError(c.t, err)
			for _, v := range all {
				if v.Subject == "k" || v.Subject == "u" {
					found = append(found, v.Rule)
				}
			}
			return found
		}
		c.close(c.hold("h1", "acc", 100), 30, ledger.StateSettled)
		c.hold("h2", "acc", 40)
		for _, of := range []ledger.Subject{ledger.KeySubject("k"), ledger.MemberSubject("u")} {
			require.Equal(c.t, ledger.Spend{Held: 40, Spent: 30}, c.spend(c.s, of))
		}
		require.Empty(c.t, differ())
		exec(c.t, c.db, "UPDATE key_window SET held = held + 1, spent = spent + 1")
		exec(c.t, c.db, "UPDATE member_window SET held = held + 1, spent = spent + 1")
		require.Len(c.t, differ(), 4)
		exec(c.t, c.db, "UPDATE hold SET limited = FALSE")
		for _, upTo := range []string{"", "after h1"} {
			exec(c.t, c.db, "UPDATE account SET limited_up_to = '"+upTo+"' WHERE id = 'acc'")
			require.Empty(c.t, differ(), upTo)
		}
	})
}
