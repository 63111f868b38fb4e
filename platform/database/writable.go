package database

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// probeEvery is how long a successful probe counts, so that frequent readiness checks cost little.
	probeEvery = 5 * time.Second
	// probeAgain is how long a failed one counts.
	probeAgain = time.Second
	// probeTimeout bounds a probe.
	probeTimeout = 2 * time.Second
)

// errReadOnly is the probe's own error for a server that takes no writes.
var errReadOnly = errors.New("PostgreSQL is read-only: it is a standby, or default_transaction_read_only is on")

// writeProbe remembers whether the store could be written lately.
type writeProbe struct {
	mu     sync.Mutex // held during a probe, so that there is one at a time
	until  time.Time  // when the result is too old
	result error
	// refused is when a write last found no room, in nanoseconds since 1970.
	refused atomic.Int64
}

// CheckWrite proves that this process can write its store: it fails for a full disk, a file that another process has locked,
// a read-only file or server, and lanes that hang. It is a readiness check. Reads may well work when it fails.
//
// It commits a transaction that changes nothing, at most every few seconds, and it trusts the writes of the service more than
// its own: a small write may fit where others do not, so a write that found no room fails the check for a while.
func (db *DB) CheckWrite(ctx context.Context) error {
	p := &db.writable
	if time.Since(time.Unix(0, p.refused.Load())) < probeEvery {
		return temporary(fmt.Errorf("the store of %s cannot be written: %w", db.store(), errNoRoom))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Now().Before(p.until) {
		return p.result
	}
	result := db.probe(ctx)
	if result != nil && ctx.Err() != nil {
		return result // the caller left, which says nothing about the store
	}
	pause := probeEvery
	if result != nil {
		pause = probeAgain
	}
	p.result, p.until = result, time.Now().Add(pause)
	return result
}

// errNoRoom stands for the errors of both databases.
var errNoRoom = errors.New("a write of the last seconds found no room or no right to write; free some space on the disk")

func (db *DB) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := db.Write(ctx, "database write probe", func(ctx context.Context, tx Tx) error {
		if db.dialect == SQLite {
			// It marks the first page as changed, so that the commit writes and syncs it.
			_, err := tx.ExecContext(ctx, "PRAGMA user_version = 0")
			return err
		}
		return probePostgres(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("the store of %s cannot be written: %w", db.store(), err)
	}
	return nil
}

// probePostgres has the commit write and sync the write-ahead log. It needs no table and no rights.
func probePostgres(ctx context.Context, tx Tx) error {
	var readOnly string
	if err := tx.QueryRowContext(ctx, "SELECT current_setting('transaction_read_only')").Scan(&readOnly); err != nil {
		return err
	}
	if readOnly == "on" {
		return errReadOnly
	}
	_, err := tx.ExecContext(ctx, "SELECT pg_logical_emit_message(true, 'trivet', '')")
	return err
}

// noteWrite remembers a write that the store had no room for.
func (db *DB) noteWrite(err error) {
	if err != nil && cannotStore(err) {
		db.writable.refused.Store(time.Now().UnixNano())
	}
}
