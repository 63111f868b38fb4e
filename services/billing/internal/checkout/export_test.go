package checkout

import (
	"context"

	"github.com/trivet-dev/trivet/platform/job"
)

// Attempt is a stored call.
type Attempt = attempt

// For tests only.
//
//nolint:gochecknoglobals // they are functions
var (
	// JobName is the name of an account's lease.
	JobName = jobName
	// SaveCheckout replaces the attempt of a checkout.
	SaveCheckout = saveCheckout
)

// SaveMigration replaces the attempt of a migration, as keyed does.
func SaveMigration(ctx context.Context, h *job.Holder, a Attempt) error {
	all := saved(h)
	all.Migrate = a
	return h.Save(ctx, all)
}

// SavedCheckout reads the attempt of a checkout.
func SavedCheckout(h *job.Holder) Attempt { return saved(h).attempt }

// SavedMigration reads that of a migration.
func SavedMigration(h *job.Holder) Attempt { return saved(h).Migrate }
