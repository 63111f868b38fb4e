package database

import (
	"context"
	"errors"
	"fmt"
)

// ErrReading says that a checkpoint must wait for readers that still use the log. Try again later.
var ErrReading = errors.New("database: the write-ahead log is in use by readers")

// Checkpoint moves SQLite's write-ahead log into the database file and empties it, so that what was deleted before is in
// neither: deleted content is overwritten in the file (secure_delete), but its old pages stay in the log until then. Call it
// after personal data is deleted. PostgreSQL has no use for it: there vacuum reuses what is deleted, and archives keep it.
// Errors: ErrReading.
func (db *DB) Checkpoint(ctx context.Context) error {
	if db.dialect != SQLite {
		return nil
	}
	var busy, frames, moved int
	if err := db.reader.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &moved); err != nil {
		return fmt.Errorf("empty the write-ahead log: %w", err)
	}
	if busy != 0 {
		return ErrReading
	}
	return nil
}
