package store

import (
	"database/sql"
	"time"
)

// Both databases keep times as microseconds since 1970.

//nolint:gochecknoglobals // constants
var (
	// firstTime and lastTime bound what is stored. Clerk's lists may have any number for a time.
	firstTime = time.Time{}
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
)

func micros(t time.Time) int64 {
	switch {
	case t.Before(firstTime):
		t = firstTime
	case t.After(lastTime):
		t = lastTime
	}
	return t.UnixMicro()
}

func toTime(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// nullMicros stores the zero time as NULL, and toTimeOrZero reads it.
func nullMicros(t time.Time) sql.NullInt64 {
	if t.IsZero() {
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: micros(t), Valid: true}
}

func toTimeOrZero(micros sql.NullInt64) time.Time {
	if !micros.Valid {
		return time.Time{}
	}
	return toTime(micros.Int64)
}

// eventMicros stores the zero time as 0, and toEventTime reads it: an event whose time is not known is older than every other.
func eventMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return micros(t)
}

func toEventTime(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return toTime(micros)
}
