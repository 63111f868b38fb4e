package database

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trivet-dev/trivet/platform/wait"
)

const (
	minReconnect = 100 * time.Millisecond
	maxReconnect = 10 * time.Second
)

// Listen calls on for every Notify of the channel, by any process that uses this schema, until ctx ends. It keeps a
// connection of its own and makes it anew when it breaks; as notifications may be lost meanwhile, on is called each time
// that it listens (again). Treat on as a hint that something may have changed, and look from time to time by yourself.
//
// On SQLite, whose file one process uses, it returns at once.
func (db *DB) Listen(ctx context.Context, channel string, on func()) {
	server, ok := db.target.(*postgresServer)
	if !ok {
		return
	}
	log := db.config.Logger.With(slog.String("channel", db.channel(channel)))
	for pause := minReconnect; ctx.Err() == nil; pause = min(2*pause, maxReconnect) {
		state := server.logins.Load()
		err := server.listen(ctx, state, db.channel(channel), func(again bool) {
			if !again && pause > minReconnect {
				log.InfoContext(ctx, "listening again")
			}
			pause = minReconnect
			on()
		})
		if ctx.Err() != nil {
			return
		}
		if server.logins.Load() != state {
			pause = minReconnect / 2 // at once, with the new login
			continue
		}
		log.WarnContext(ctx, "listening for notifications failed; polling finds what other processes do until it works again",
			slog.Duration("pause", pause), slog.Any("error", err))
		_ = wait.For(ctx, pause/2+rand.N(pause/2)) //nolint:gosec // spreads load, guards nothing
	}
}

// listen waits for notifications until the connection breaks, or other logins are used. It calls on first when it listens, then for each.
func (p *postgresServer) listen(ctx context.Context, with *logins, channel string, on func(again bool)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-with.replaced:
			cancel()
		case <-ctx.Done():
		}
	}()
	defer func() { cancel(); <-watched }()
	config := p.direct.Copy()
	delete(config.RuntimeParams, idleParameter) // this connection runs no transactions
	var tried login
	conn, err := withLogins(config, with.direct, func(one *pgx.ConnConfig) (*pgx.Conn, error) {
		tried = loginOf(one)
		return pgx.ConnectConfig(ctx, one)
	})
	if err != nil {
		return err
	}
	p.accept(ctx, with, tried, true)
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
		return err
	}
	for again := false; ; again = true {
		on(again)
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}

// Notify calls every process that listens on the channel, this one included. It writes nothing and shares no commit:
// PostgreSQL commits the transactions that notify one by one. On SQLite it does nothing.
func (db *DB) Notify(ctx context.Context, channel string) error {
	if db.dialect == SQLite {
		return nil
	}
	_, err := db.readers.ExecContext(ctx, "SELECT pg_notify($1, '')", db.channel(channel))
	return err
}

// channel makes a name that other services' schemas of the same database don't share.
func (db *DB) channel(name string) string { return db.config.Schema + "." + name }
