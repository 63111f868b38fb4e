package e2e

import (
	"database/sql"
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
