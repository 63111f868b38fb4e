package billing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

const (
	// maxViolations bounds what one verification names.
	maxViolations = 100_000
	// verifyClose bounds the time to close the database.
	verifyClose = 5 * time.Second
)

// VerifyLedger checks every rule of the ledger in one consistent view of the database, except that what paid each call is read in pages, and writes a line for each difference. It only reads,
// so it may run beside the processes that serve. It returns an error when there is a difference.
func VerifyLedger(ctx context.Context, config database.Config, out io.Writer) (err error) {
	config.Beside = true
	db, err := database.Open(ctx, config)
	if err != nil {
		return fmt.Errorf("billing: %w", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), verifyClose)
		defer cancel()
		err = errors.Join(err, db.Close(closing))
	}()
	if err := database.CheckVersion(ctx, db, Migrations()...); err != nil {
		return err
	}
	found, err := store.New(db).Violations(ctx, maxViolations)
	if err != nil {
		return fmt.Errorf("billing: read the ledger: %w", err)
	}
	for _, v := range found {
		if _, err := fmt.Fprintf(out, "%s: %s: should be %d, is %d\n", v.Subject, v.Rule, v.Want, v.Got); err != nil {
			return err
		}
	}
	if len(found) > 0 {
		return fmt.Errorf("differences in the ledger: %d; the lines above name them, in nano-dollars", len(found))
	}
	_, err = fmt.Fprintln(out, "the ledger is sound")
	return err
}
