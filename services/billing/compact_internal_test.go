package billing

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/job"
)

// TestALostJobIsLogged: a job that charges and lost its lease had a step that lasts too long. One whose lease is short lost it in a freeze.
func TestALostJobIsLogged(t *testing.T) {
	databasetest.Each(t, job.Migrations(), func(t *testing.T, db *database.DB) {
		for name, c := range map[string]struct {
			options job.Options
			logged  string
		}{
			"overage": {job.Options{}, `level=ERROR msg="a job of the ledger failed; retrying" job=overage`},
			"fold":    {job.Options{Renew: true}, ""},
		} {
			var log bytes.Buffer
			s := &Service{db: db, now: time.Now, log: slog.New(slog.NewTextHandler(&log, nil))}
			s.runJob(t.Context(), name, c.options, func(ctx context.Context, h *job.Holder) error {
				require.NoError(t, db.Write(ctx, "test", func(ctx context.Context, tx database.Tx) error {
					_, err := tx.ExecContext(ctx, "UPDATE job_lease SET holder = 'another' WHERE name = $1", name)
					return err
				}))
				return h.Save(ctx, "lost")
			})
			if c.logged == "" {
				require.Empty(t, log.String())
			} else {
				require.Contains(t, log.String(), c.logged)
			}
		}
	})
}
