package store

import (
	"context"
	"time"
)

// OpenHolds returns the number of open holds, and when the oldest one was made.
func (s *Store) OpenHolds(ctx context.Context) (count int64, oldest time.Time, err error) {
	row, err := s.read.WatchOpenHolds(ctx)
	if err != nil {
		return 0, time.Time{}, err
	}
	return row.Holds, time.UnixMicro(row.Oldest), nil
}
