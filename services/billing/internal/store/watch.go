package store

import (
	"context"
	"time"
)

// OpenHolds returns the number of open holds, when the oldest one was made, and when the first of their leases ends. Without one, the times are zero.
func (s *Store) OpenHolds(ctx context.Context) (count int64, oldest, lease time.Time, err error) {
	row, err := s.read.WatchOpenHolds(ctx)
	if err != nil || row.Holds == 0 {
		return 0, time.Time{}, time.Time{}, err
	}
	return row.Holds, time.UnixMicro(row.Oldest), time.UnixMicro(row.Lease), nil
}

// Recount corrects the number of open holds by which a batch waits for more decisions. A replica alone counts too many or too few, because others close
// the holds that it has opened. The count is that of all replicas.
func (s *Store) Recount(ctx context.Context) error {
	count, _, _, err := s.OpenHolds(ctx)
	if err != nil {
		return translate(err)
	}
	s.open.Store(count)
	return nil
}
