package checkout

import "github.com/trivet-dev/trivet/platform/job"

// Attempt is a stored call.
type Attempt = attempt

// For tests only.
//
//nolint:gochecknoglobals // they are functions
var (
	// JobName is the name of an account's lease.
	JobName = jobName
	// SaveCheckout and SaveMigration replace an attempt.
	SaveCheckout, SaveMigration = saveCheckout, saveMigration
)

// SavedCheckout reads the attempt of a checkout.
func SavedCheckout(h *job.Holder) Attempt { return saved(h).attempt }

// SavedMigration reads that of a migration.
func SavedMigration(h *job.Holder) Attempt { return saved(h).Migrate }
