package e2e

import (
	"database/sql"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"
)

// longestLease is how long a process that is frozen may keep an event or a job of the database.
const longestLease = 3 * time.Second

// leasesAreShort checks that whatever a process holds that was frozen before this call is free soon.
func (r *replicated) leasesAreShort() {
	r.t.Helper()
	for _, service := range []string{"auth", "billing"} {
		db, end := r.audit.open(service)
		for _, query := range []string{
			"SELECT max(due_time) FROM inbox_subject WHERE token <> 0",
			"SELECT max(lease_time) FROM job_lease WHERE holder <> '' AND name IN ('fold', 'prune', 'members')",
		} {
			var last sql.NullInt64
			require.NoError(r.t, db.Read().QueryRowContext(r.t.Context(), query).Scan(&last))
			require.False(r.t, last.Valid && time.UnixMicro(last.Int64).After(time.Now().Add(longestLease)), "%s: %s", service, query)
		}
		end()
	}
}

// othersHandle waits until other processes have handled all events that were stored before a process was frozen.
func (r *replicated) othersHandle(before time.Time) {
	r.t.Helper()
	for _, service := range []string{"auth", "billing"} {
		require.Eventually(r.t, func() bool {
			n, err := r.audit.pendingOf(r.t.Context(), service, fmt.Sprintf("put_time < %d", before.UnixMicro()))
			return err == nil && n == 0
		}, time.Minute, 100*time.Millisecond, "%s: a frozen process keeps others from its events", service)
	}
}
