package database

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/trivet-dev/trivet/platform/settings"
)

// maxLogins bounds the logins that a server may be asked with.
const maxLogins = 3

// login is a role with its password.
type login struct{ user, password string }

// logins are the logins of new connections: the newest is used, and earlier ones while the server refuses it. A pointer to them stands for one state.
type logins struct {
	conn, direct []login
	// replaced is closed when other logins are used.
	replaced             chan struct{}
	warned, warnedDirect sync.Once
}

func newLogins(conn, direct *pgx.ConnConfig) *logins {
	return &logins{conn: []login{loginOf(conn)}, direct: []login{loginOf(direct)}, replaced: make(chan struct{})}
}

func loginOf(c *pgx.ConnConfig) login { return login{c.User, c.Password} }

// newer puts a login before the one that the server accepted last and the other earlier ones.
func newer(newest login, accepted *login, earlier []login) []login {
	all := []login{newest}
	if accepted != nil {
		earlier = append([]login{*accepted}, earlier...)
	}
	for _, one := range earlier {
		if len(all) < maxLogins && !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return all
}

// Rotate changes the user and the password of DATABASE_URL and DATABASE_DIRECT_URL. New connections use them, and the earlier ones while the server
// refuses the new ones. A connection that is open is replaced before its next use. Nothing else may differ. After an error nothing has changed.
func (db *DB) Rotate(address, directAddress settings.Secret) error {
	server, ok := db.target.(*postgresServer)
	if !ok {
		if address.Reveal() != db.config.URL.Reveal() {
			return errOtherDatabase("DATABASE_URL")
		}
		return nil
	}
	return server.rotate(address, directAddress)
}

func errOtherDatabase(setting string) error {
	return fmt.Errorf("%s leads to another server or database, or has other parameters: only its user and its password change without a restart", setting)
}

// rotate uses the logins of other addresses.
func (p *postgresServer) rotate(address, directAddress settings.Secret) error {
	config := p.config
	config.URL, config.DirectURL = address, directAddress
	if !config.OnPostgres() {
		return errOtherDatabase("DATABASE_URL")
	}
	if directAddress.IsSet() != p.pooled {
		return errors.New("DATABASE_DIRECT_URL was set or removed: restart to start or stop using a pooler")
	}
	fresh, err := newPostgresServer(address.Reveal(), config)
	if err != nil {
		return err
	}
	if withoutLogin(p.config.URL) != withoutLogin(address) {
		return errOtherDatabase("DATABASE_URL")
	}
	if withoutLogin(p.config.DirectURL) != withoutLogin(directAddress) {
		return errOtherDatabase("DATABASE_DIRECT_URL")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.logins.Load()
	if old.conn[0] == loginOf(fresh.conn) && old.direct[0] == loginOf(fresh.direct) {
		return nil
	}
	next := &logins{conn: newer(loginOf(fresh.conn), p.accepted.Load(), old.conn), replaced: make(chan struct{})}
	next.direct = next.conn
	if p.pooled {
		next.direct = newer(loginOf(fresh.direct), p.acceptedDirect.Load(), old.direct)
	}
	p.logins.Store(next)
	close(old.replaced)
	return nil
}

// withoutLogin returns an address that was parsed before, without its user and password, and with its parameters in order.
func withoutLogin(address settings.Secret) string {
	at, err := url.Parse(address.Reveal())
	if err != nil {
		return ""
	}
	parameters := at.Query()
	parameters.Del("user")
	parameters.Del("password")
	at.Scheme, at.User, at.RawQuery = "postgres", nil, parameters.Encode()
	return at.String()
}

// present returns the logins in use; a new connection is asked for with those of a pooler, or with the direct ones.
func (p *postgresServer) present(direct bool) (state *logins, all []login) {
	state = p.logins.Load()
	if direct {
		return state, state.direct
	}
	return state, state.conn
}

// connector opens connections with the present logins.
type connector struct {
	server *postgresServer
	config *pgx.ConnConfig
	direct bool
}

// Driver implements driver.Connector.
func (connector) Driver() driver.Driver { return stdlib.GetDefaultDriver() }

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	state, all := c.server.present(c.direct)
	var tried login
	conn, err := withLogins(c.config, all, func(config *pgx.ConnConfig) (driver.Conn, error) {
		tried = loginOf(config)
		return stdlib.GetConnector(*config, stdlib.OptionAfterConnect(timesInUTC)).Connect(ctx)
	})
	if err != nil {
		return nil, err
	}
	c.server.accept(ctx, state, tried, c.direct)
	return &connection{Conn: conn.(*stdlib.Conn), server: c.server, state: state}, nil //nolint:forcetypeassert // what pgx's connector returns
}

// connection is a connection of a pool. It is not used again once other logins are used.
type connection struct {
	*stdlib.Conn
	server *postgresServer
	state  *logins // those that it was made with
}

// IsValid implements driver.Validator. The pool asks it when a connection is returned: one that is not valid is closed, and the next caller that waits gets a
// new one. ResetSession alone would have a full pool give a caller up to three connections that are not valid, after which database/sql gives up.
func (c *connection) IsValid() bool { return c.server.logins.Load() == c.state }

// ResetSession implements driver.SessionResetter. The pool calls it when a connection was idle.
func (c *connection) ResetSession(ctx context.Context) error {
	if !c.IsValid() {
		return driver.ErrBadConn // the pool opens another one
	}
	return c.Conn.ResetSession(ctx)
}

// accept remembers that the server accepted a login, and says so once if it refused the newest one.
func (p *postgresServer) accept(ctx context.Context, state *logins, one login, direct bool) {
	setting, newest, accepted, warned := "DATABASE_URL", state.conn[0], &p.accepted, &state.warned
	if direct && p.pooled {
		setting, newest, accepted, warned = "DATABASE_DIRECT_URL", state.direct[0], &p.acceptedDirect, &state.warnedDirect
	}
	accepted.Store(&one)
	if one != newest && p.logins.Load() == state {
		warned.Do(func() {
			p.config.Logger.WarnContext(ctx, "PostgreSQL refuses the new user or password in "+setting+"; new connections use the earlier one until it is accepted")
		})
	}
}

// withLogins connects with the first of the logins that the server does not refuse. The newest is tried once more at the end: the server may have taken it over,
// and dropped the earlier one, after it refused the newest.
func withLogins[C any](config *pgx.ConnConfig, all []login, connect func(*pgx.ConnConfig) (C, error)) (conn C, err error) {
	if len(all) > 1 {
		all = append(slices.Clip(all), all[0])
	}
	for _, one := range all {
		with := config.Copy()
		with.User, with.Password = one.user, one.password
		if conn, err = connect(with); err == nil || !refusedLogin(err) {
			return conn, err
		}
	}
	return conn, err
}

// refusedLogin reports whether a server, or a pooler before it, refused the user or the password. PgBouncer has one code for that and for other errors.
func refusedLogin(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || refused.Code != "08P01" {
		return pgClass(err, "28")
	}
	return slices.ContainsFunc([]string{"authentication", "auth failed", "no such user"}, func(text string) bool { return strings.Contains(refused.Message, text) })
}
