package inbox

import (
	"context"
	"time"
)

// now is the time as the database keeps it.
func (in *Inbox) now() time.Time {
	return in.options.Now().Add(time.Duration(in.behind.Load())).UTC().Truncate(time.Microsecond)
}

// compareClocks finds how far the machine's clock is behind that of the database server. A process whose clock is ahead by more than a lease would
// otherwise take the leases of others while they work. A difference that the time of the question explains counts as none. When the question fails,
// the last difference stays.
func (in *Inbox) compareClocks(ctx context.Context) {
	if in.sql.clock == "" {
		return
	}
	var micros int64
	before := in.local().Truncate(time.Microsecond)
	if err := in.db.Reader().QueryRowContext(ctx, in.sql.clock).Scan(&micros); err != nil {
		return
	}
	after, server := in.local(), time.UnixMicro(micros)
	var behind time.Duration
	switch {
	case server.Before(before):
		behind = server.Sub(before)
	case server.After(after):
		behind = server.Sub(after)
	}
	in.behind.Store(int64(behind))
}
