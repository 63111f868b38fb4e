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
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// postgresServer is a PostgreSQL database, which may be behind a pooler.
type postgresServer struct {
	conn *pgx.ConnConfig
	// direct leads to the server itself. Without a pooler it equals conn.
	direct *pgx.ConnConfig
	pooled bool
	config Config
	// logins are those of new connections.
	logins atomic.Pointer[logins]
	// accepted is the last login that the server accepted, through the pooler if there is one; acceptedDirect is that of direct behind a pooler.
	accepted, acceptedDirect atomic.Pointer[login]
	mu                       sync.Mutex // one change of logins at a time
}

func newPostgresServer(raw string, config Config) (*postgresServer, error) {
	if err := checkIdentifier("Schema", cmp.Or(config.Schema, "public")); err != nil {
		return nil, err
	}
	conn, err := parsePostgres("DATABASE_URL", raw, config.Schema)
	if err != nil {
		return nil, err
	}
	p := &postgresServer{conn: conn, direct: conn, config: config}
	if config.DirectURL.IsSet() {
		if p.direct, err = parsePostgres("DATABASE_DIRECT_URL", config.DirectURL.Reveal(), config.Schema); err != nil {
			return nil, err
		}
		p.pooled = true
		throughPooler(p.conn)
	}
	p.logins.Store(newLogins(p.conn, p.direct))
	return p, nil
}

// parsePostgres reads an address.
func parsePostgres(setting, raw, schema string) (*pgx.ConnConfig, error) {
	at, err := url.Parse(raw)
	if err != nil || at.Scheme != "postgres" && at.Scheme != "postgresql" {
		// The parser's own message quotes the address, with its password.
		return nil, errors.New(setting + " is not a valid address: write postgres://USER:PASSWORD@HOST:PORT/NAME and percent-encode special characters")
	}
	conn, err := pgx.ParseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("%s is not usable: %s", setting, withoutPassword(err, at))
	}
	set := func(name, value string) {
		if conn.RuntimeParams[name] == "" {
			conn.RuntimeParams[name] = value
		}
	}
	conn.RuntimeParams["timezone"] = "UTC"
	if schema != "" {
		conn.RuntimeParams["search_path"] = schema
	}
	set("application_name", "trivet "+cmp.Or(schema, "public"))
	// A process that hangs inside a transaction would hold the rows of its batch, on which all replicas wait.
	set(idleParameter, milliseconds(idleTimeout))
	conn.ConnectTimeout = cmp.Or(conn.ConnectTimeout, 5*time.Second)
	return conn, nil
}

// throughPooler leaves out what a pooler in transaction mode does not pass on: parameters of the session, which transactions set for
// themselves, and prepared statements. The pooler sets search_path.
func throughPooler(conn *pgx.ConnConfig) {
	for name := range conn.RuntimeParams {
		if name != "application_name" && name != "timezone" {
			delete(conn.RuntimeParams, name)
		}
	}
	conn.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn.StatementCacheCapacity, conn.DescriptionCacheCapacity = 0, 0
}

const (
	idleParameter = "idle_in_transaction_session_timeout"
	lockParameter = "lock_timeout"
)

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

// leadsTo reports whether connections lead to a schema. The first migration creates the schema.
func leadsTo(ctx context.Context, pool *sql.DB, schema string) (current string, ok bool, err error) {
	var found sql.NullString
	err = pool.QueryRowContext(ctx, "SELECT current_schema()").Scan(&found)
	return found.String, err == nil && (!found.Valid || found.String == schema), err
}

// wrongSchema is the error for migrations that would go elsewhere.
func wrongSchema(ok bool, current, want string) error {
	if ok || current == "" {
		return nil
	}
	return fmt.Errorf("the connection for migrations leads to the schema %q, and the one of this service is %q: "+
		"let DATABASE_DIRECT_URL, or DATABASE_URL without it, be the address of PostgreSQL itself", current, want)
}

// check refuses connections that lead to another schema: services would write into each other's tables.
func (p *postgresServer) check(ctx context.Context, readers *sql.DB) error {
	want := cmp.Or(p.config.Schema, "public")
	current, ok, err := leadsTo(ctx, readers, want)
	if err != nil {
		return p.unreachable(err)
	}
	if p.config.Schema == "" || ok {
		return nil
	}
	if !p.pooled {
		return fmt.Errorf("the connection to the database leads to the schema %q, and the one of this service is %q: "+
			"if DATABASE_URL is the address of a pooler, set DATABASE_DIRECT_URL to that of PostgreSQL", current, want)
	}
	return fmt.Errorf("the pooler leads to the schema %q, and the one of this service is %q: let its entry for the database %q "+
		"have connect_query='SET search_path TO %s'", current, want, p.conn.Database, want)
}

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
		return fmt.Errorf("PostgreSQL has no connection left: raise max_connections, lower DATABASE_READ_CONNECTIONS, or run fewer processes: %w", err)
	case code == "08P01" && strings.Contains(err.Error(), "unsupported startup parameter"):
		return fmt.Errorf("a pooler answered instead of PostgreSQL: set DATABASE_DIRECT_URL to the address of PostgreSQL itself: %w", err)
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

// begin is the statement that begins a transaction of a lane.
func (p *postgresServer) begin() string {
	if !p.pooled {
		return "BEGIN"
	}
	return "BEGIN; SET LOCAL " + lockParameter + " = " + milliseconds(lockTimeout) + "; SET LOCAL " + idleParameter + " = " + milliseconds(idleTimeout)
}

func (p *postgresServer) open(role role, maxConns int) (*sql.DB, error) {
	conn := p.conn.Copy()
	switch {
	case role == migrations:
		conn = p.direct.Copy()
		delete(conn.RuntimeParams, idleParameter)
	case role == writes && !p.pooled && conn.RuntimeParams[lockParameter] == "":
		conn.RuntimeParams[lockParameter] = milliseconds(lockTimeout)
	}
	pool := sql.OpenDB(connector{server: p, config: conn, direct: role == migrations})
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
