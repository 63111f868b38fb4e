package database

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"
)

// postgresServer is a PostgreSQL database.
type postgresServer struct {
	conn   *pgx.ConnConfig
	config Config
}

func newPostgresServer(raw string, config Config) (*postgresServer, error) {
	at, err := url.Parse(raw)
	if err != nil {
		// The parser's own message quotes the address, with its password.
		return nil, errors.New("DATABASE_URL is not a valid address: write postgres://USER:PASSWORD@HOST:PORT/NAME and percent-encode special characters")
	}
	conn, err := pgx.ParseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL is not usable: %s", withoutPassword(err, at))
	}
	if err := checkIdentifier("Schema", cmp.Or(config.Schema, "public")); err != nil {
		return nil, err
	}
	set := func(name, value string) {
		if conn.RuntimeParams[name] == "" {
			conn.RuntimeParams[name] = value
		}
	}
	conn.RuntimeParams["timezone"] = "UTC"
	if config.Schema != "" {
		conn.RuntimeParams["search_path"] = config.Schema
	}
	set("application_name", "trivet "+cmp.Or(config.Schema, "public"))
	// A process that hangs inside a transaction would hold the rows of its batch, on which all replicas wait.
	set("idle_in_transaction_session_timeout", milliseconds(idleTimeout))
	conn.ConnectTimeout = cmp.Or(conn.ConnectTimeout, 5*time.Second)
	return &postgresServer{conn: conn, config: config}, nil
}

const (
	// idleTimeout bounds the time between two statements of a transaction; a write runs all of them without a pause.
	idleTimeout = 3 * time.Second
	// lockTimeout bounds the wait for a row that another process has locked. A lane waits with it, and the callers behind it.
	// PostgreSQL looks for deadlocks after one second: they must be found first, because they are tried again.
	lockTimeout = 1500 * time.Millisecond
)

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// acquire does nothing: any number of processes may use a server.
func (*postgresServer) acquire() (release func() error, err error) {
	return func() error { return nil }, nil
}

// check does nothing: PostgreSQL keeps its own files.
func (*postgresServer) check(context.Context, *sql.DB) error { return nil }

// unreachable tells a server that refuses from one that does not answer.
func (*postgresServer) unreachable(err error) error {
	switch code := pgCode(err); {
	case code == "":
		return fmt.Errorf("PostgreSQL does not answer: check the host and port in DATABASE_URL, and that the server runs: %w", err)
	case pgClass(err, "28"):
		return fmt.Errorf("PostgreSQL refused the role: check the user and the password in DATABASE_URL: %w", err)
	case code == "3D000":
		return fmt.Errorf("PostgreSQL has no such database: check the name in DATABASE_URL, or create it: %w", err)
	case pgClass(err, "53300"):
		return fmt.Errorf("PostgreSQL has no connection left: raise max_connections, or run fewer processes: %w", err)
	case pgClass(err, "57P0"):
		return fmt.Errorf("PostgreSQL is starting or stopping: %w", err)
	default:
		return fmt.Errorf("PostgreSQL refused the connection: check DATABASE_URL: %w", err)
	}
}

// withoutPassword returns err's text, or less when it quotes the password.
func withoutPassword(err error, at *url.URL) string {
	text := err.Error()
	password, _ := at.User.Password()
	if q := at.Query().Get("password"); q != "" {
		password = q
	}
	if password != "" && (strings.Contains(text, password) || strings.Contains(text, url.QueryEscape(password))) {
		return "one of its parameters is wrong"
	}
	return text
}

func (*postgresServer) dialect() Dialect { return Postgres }

func (p *postgresServer) open(role role, maxConns int) (*sql.DB, error) {
	conn := p.conn.Copy()
	switch role {
	case migrations:
		delete(conn.RuntimeParams, "idle_in_transaction_session_timeout")
	case writes:
		if conn.RuntimeParams["lock_timeout"] == "" {
			conn.RuntimeParams["lock_timeout"] = milliseconds(lockTimeout)
		}
	case reads:
	}
	pool := stdlib.OpenDB(*conn, stdlib.OptionAfterConnect(timesInUTC))
	pool.SetMaxOpenConns(maxConns)
	pool.SetMaxIdleConns(maxConns)
	if role == reads {
		pool.SetConnMaxIdleTime(5 * time.Minute)
	}
	return pool, nil
}

// timesInUTC makes TIMESTAMPTZ columns scan as UTC; the driver would give the machine's zone.
func timesInUTC(_ context.Context, conn *pgx.Conn) error {
	conn.TypeMap().RegisterType(&pgtype.Type{
		Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
	})
	return nil
}

// checkIdentifier allows plain lower-case names only, as they are put into SQL text.
func checkIdentifier(field, name string) error {
	ok := name != "" && len(name) <= 63 && name[0] > '9'
	for _, c := range name {
		ok = ok && (c == '_' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9')
	}
	if !ok {
		return fmt.Errorf("database: %s is %q, must be lower-case letters, digits and _", field, name)
	}
	return nil
}
