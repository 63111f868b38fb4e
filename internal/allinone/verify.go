package allinone

import (
	"context"
	"io"

	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing"
)

// VerifyLedger checks billing's ledger and writes the differences. It needs only the settings of the database.
func VerifyLedger(ctx context.Context, env settings.Env, out io.Writer) error {
	var c struct{ Store serve.Store }
	if err := settings.Load(withDatabase(env.Get), &c); err != nil {
		return err
	}
	return billing.VerifyLedger(ctx, c.Store.ForTool("billing"), out)
}
