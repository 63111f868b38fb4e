package database

import (
	"context"
	"time"
)

// Behind returns how far the clock local is behind the clock of the database server: add it to local to have the server's time. It is negative for a
// clock that is ahead. A difference that the time of the question explains counts as none. On SQLite it is 0, because all processes of a file are on
// one machine. Errors are those of the database.
func (db *DB) Behind(ctx context.Context, local func() time.Time) (time.Duration, error) {
	if db.dialect != Postgres {
		return 0, nil
	}
	var micros int64
	before := local().Truncate(time.Microsecond)
	row := db.Reader().QueryRowContext(ctx, `SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)`)
	if err := row.Scan(&micros); err != nil {
		return 0, err
	}
	after, server := local(), time.UnixMicro(micros)
	switch {
	case server.Before(before):
		return server.Sub(before), nil
	case server.After(after):
		return server.Sub(after), nil
	}
	return 0, nil
}
