package database

import (
	"context"
	"fmt"
	"strconv"
)

// The versions of PostgreSQL, by their first number.
const (
	// OldestPostgres is the oldest version that the migrations and queries work with.
	OldestPostgres = 13
	// TestedPostgres is the oldest version that Trivet is tested with.
	TestedPostgres = 15
)

// PostgresVersion returns the first number of the server's version, such as 17; 0 on SQLite.
func (db *DB) PostgresVersion(ctx context.Context) (int, error) {
	if db.dialect == SQLite {
		return 0, nil
	}
	var number string // such as 170004
	if err := db.readers.QueryRowContext(ctx, "SHOW server_version_num").Scan(&number); err != nil {
		return 0, fmt.Errorf("the server's version cannot be read: %w", temporary(err))
	}
	n, err := strconv.Atoi(number)
	if err != nil {
		return 0, fmt.Errorf("the server's version %q is not a number", number)
	}
	return n / 10_000, nil
}
