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
// otherwise take the leases of others while they work. When the question fails, the last difference stays.
func (in *Inbox) compareClocks(ctx context.Context) {
	if behind, err := in.db.Behind(ctx, in.local); err == nil {
		in.behind.Store(int64(behind))
	}
}
