package inbox

import (
	"context"
	"log/slog"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/wait"
)

// pruneBatch is how many rows a write deletes: few, as others wait for it.
const pruneBatch = 200

const (
	expiredPayloads = `(SELECT seq FROM inbox_event WHERE expire_time <= $1 AND delete_time > $1 ORDER BY expire_time, seq LIMIT $2)`
	expiredRows     = `(SELECT seq FROM inbox_event WHERE expire_time <= $1 AND delete_time <= $1 ORDER BY expire_time, seq LIMIT $2)`
)

// Prune deletes the payloads, and later the rows, of done and ignored events whose retention is over, and returns how many
// events it changed. Run does it every minute.
func (in *Inbox) Prune(ctx context.Context) (events int64, err error) {
	now := in.now().UnixMicro()
	for _, step := range [][2]string{
		{`DELETE FROM inbox_payload WHERE seq IN ` + expiredPayloads, `UPDATE inbox_event SET expire_time = delete_time WHERE seq IN ` + expiredPayloads},
		{`DELETE FROM inbox_payload WHERE seq IN ` + expiredRows, `DELETE FROM inbox_event WHERE seq IN ` + expiredRows},
	} {
		for n := int64(pruneBatch); n == pruneBatch; events += n {
			if n, err = in.pruneStep(ctx, step, now); err != nil {
				return events, err
			}
		}
	}
	if events > 0 {
		err = in.db.Checkpoint(ctx) // or else the log keeps the payloads
	}
	return events, err
}

func (in *Inbox) pruneStep(ctx context.Context, step [2]string, now int64) (n int64, err error) {
	err = in.db.Write(ctx, "inbox prune", func(ctx context.Context, tx database.Tx) error {
		n = 0
		if ok, err := in.alone(ctx, tx); err != nil || !ok {
			return err
		}
		if _, err := exec(ctx, tx, step[0], now, pruneBatch); err != nil {
			return err
		}
		n, err = exec(ctx, tx, step[1], now, pruneBatch)
		return err
	})
	return n, err
}

// alone reports whether no other process prunes now.
func (in *Inbox) alone(ctx context.Context, tx database.Tx) (ok bool, err error) {
	if in.sql.exclusive == "" {
		return true, nil
	}
	err = tx.QueryRowContext(ctx, in.sql.exclusive).Scan(&ok)
	return ok, err
}

func (in *Inbox) pruneNowAndThen(ctx context.Context) {
	// At first soon, for programs that never run long; then not all processes at the same time.
	for pause := time.Duration(in.options.Rand() * float64(pruneInterval)); wait.For(ctx, pause) == nil; pause = pruneInterval {
		_ = in.compareClocks(ctx) // the last difference stays
		n, err := in.Prune(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			in.log.WarnContext(ctx, "deleting old events failed; retrying in a minute", slog.Any("error", err))
		case n > 0:
			in.log.DebugContext(ctx, "old events or their payloads deleted", slog.Int64("events", n))
		}
	}
}
