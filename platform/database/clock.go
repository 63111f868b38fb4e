package database

import (
	"context"
	"time"
)

const (
	// quickAnswer is how long the server may take to tell its time. After a slower answer, it is asked again.
	quickAnswer = 250 * time.Millisecond
	// clockQuestions bounds the questions.
	clockQuestions = 3
)

// Behind returns how far the clock local is behind the clock of the database server: add it to local to have the server's time. It is negative for a
// clock that is ahead. A difference that the time of the question explains counts as none; of several slow questions the quickest counts. On SQLite it
// is 0, because all processes of a file are on one machine. Errors are those of the database.
func (db *DB) Behind(ctx context.Context, local func() time.Time) (time.Duration, error) {
	if db.dialect != Postgres {
		return 0, nil
	}
	behind, took, err := db.askTime(ctx, local)
	for asked := 1; err == nil && took > quickAnswer && asked < clockQuestions; asked++ {
		b, t, err := db.askTime(ctx, local)
		if err != nil {
			return 0, err
		}
		if t < took {
			behind, took = b, t
		}
	}
	return behind, err
}

// askTime asks the server for its time once. It returns how long this took by the clock local.
func (db *DB) askTime(ctx context.Context, local func() time.Time) (behind, took time.Duration, err error) {
	var micros int64
	before := local().Truncate(time.Microsecond)
	row := db.Reader().QueryRowContext(ctx, `SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)`)
	if err := row.Scan(&micros); err != nil {
		return 0, 0, err
	}
	after, server := local(), time.UnixMicro(micros)
	took = after.Sub(before).Abs() // the clock may be set back meanwhile
	switch {
	case server.Before(before):
		return server.Sub(before), took, nil
	case server.After(after):
		return server.Sub(after), took, nil
	}
	return 0, took, nil
}
