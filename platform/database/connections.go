package database

import (
	"cmp"
	"context"
	"database/sql"
	"log/slog"
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

// warnOfConnections looks whether the server has room for the connections that this process may open later. Behind a pooler, they are
// the pooler's.
func (p *postgresServer) warnOfConnections(ctx context.Context, readers *sql.DB) error {
	if p.pooled {
		return nil
	}
	c, err := connections(ctx, readers)
	if err != nil {
		return p.unreachable(err)
	}
	// The lanes and one reader are open.
	if more := p.config.MaxReaders; c.Open+more > c.Usable {
		p.config.Logger.WarnContext(ctx, "PostgreSQL may run out of connections: raise max_connections, lower DATABASE_READ_CONNECTIONS, "+
			"use a pooler, or run fewer processes", slog.Int("allowed", c.Usable), slog.Int("open", c.Open), slog.Int("this_process_may_open", more))
	}
	return nil
}
