package database

import (
	"cmp"
	"context"
	"database/sql"
	"log/slog"
	"slices"
	"sync"
)

// PerProcess returns how many connections to PostgreSQL a process opens at most for a store: those that read, those that write, and
// one that listens.
func (c Config) PerProcess() int {
	return cmp.Or(max(c.MaxReaders, 0), DefaultReaders) + cmp.Or(max(c.Lanes, 0), DefaultLanes) + 1
}

// Connections are those of a PostgreSQL server.
type Connections struct {
	// Usable is how many the server allows, without those that it keeps for its administrators.
	Usable int
	// Open is how many are open, Foreign how many of them are not of Trivet.
	Open, Foreign int
	// Processes is how many processes have this store open; those that do not listen are not seen.
	Processes int
}

// Connections counts the connections of the server. On SQLite all counts are 0.
func (db *DB) Connections(ctx context.Context) (c Connections, err error) {
	if db.dialect == SQLite {
		return c, nil
	}
	return connections(ctx, db.readers)
}

func connections(ctx context.Context, pool *sql.DB) (c Connections, err error) {
	err = pool.QueryRowContext(ctx, `
		SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
			count(*), count(*) FILTER (WHERE application_name NOT LIKE 'trivet %'),
			count(*) FILTER (WHERE application_name = current_setting('application_name') AND query LIKE 'LISTEN %')
		FROM pg_stat_activity WHERE datid IS NOT NULL AND backend_type = 'client backend'`).Scan(&c.Usable, &c.Open, &c.Foreign, &c.Processes)
	return c, err
}

// Process counts the connections of all stores that one process has on a server. The zero value has no store.
type Process struct {
	mu     sync.Mutex
	stores []*DB
}

func (p *Process) add(db *DB) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stores = append(p.stores, db)
}

// WarnOfConnections logs a warning if the server lacks room for the connections that the stores may open later. A pooler bounds
// connections itself.
func (p *Process) WarnOfConnections(ctx context.Context, log *slog.Logger) error {
	p.mu.Lock()
	stores := slices.Clone(p.stores)
	p.mu.Unlock()
	var more int
	for _, db := range stores {
		if db.dialect == SQLite || db.config.DirectURL.IsSet() {
			return nil
		}
		more += db.config.PerProcess() - db.writers.Stats().OpenConnections - db.readers.Stats().OpenConnections
	}
	if len(stores) == 0 {
		return nil
	}
	c, err := connections(ctx, stores[0].readers)
	if err != nil {
		return stores[0].target.unreachable(err)
	}
	if c.Open+more > c.Usable {
		log.WarnContext(ctx, "PostgreSQL may run out of connections: raise max_connections, lower DATABASE_READ_CONNECTIONS, "+
			"use a pooler, or run fewer processes", slog.Int("allowed", c.Usable), slog.Int("open", c.Open), slog.Int("this_process_may_open", more))
	}
	return nil
}

// warnOfConnections warns for a process that has one store. A process with several asks when all of them are open.
func (db *DB) warnOfConnections(ctx context.Context) error {
	if db.config.Process != nil {
		db.config.Process.add(db)
		return nil
	}
	var alone Process
	alone.add(db)
	return alone.WarnOfConnections(ctx, db.config.Logger)
}
