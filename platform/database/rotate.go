package database

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
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
	replaced chan struct{}
	warned   sync.Once
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
func (db *DB) Rotate(url, directURL settings.Secret) error {
	server, ok := db.target.(*postgresServer)
	if !ok {
		if url.Reveal() != db.config.URL.Reveal() {
			return errOtherDatabase("DATABASE_URL")
		}
		return nil
	}
	return server.rotate(url, directURL)
}

func errOtherDatabase(setting string) error {
	return fmt.Errorf("%s leads to another server or database, or has other parameters: only its user and its password change without a restart", setting)
}

// rotate uses the logins of other addresses.
func (p *postgresServer) rotate(url, directURL settings.Secret) error {
	config := p.config
	config.URL, config.DirectURL = url, directURL
	if !config.OnPostgres() {
		return errOtherDatabase("DATABASE_URL")
	}
	if directURL.IsSet() != p.pooled {
		return errors.New("DATABASE_DIRECT_URL was set or removed: restart to begin or end using a pooler")
	}
	fresh, err := newPostgresServer(url.Reveal(), config)
	if err != nil {
		return err
	}
	if !sameServer(p.conn, fresh.conn) {
		return errOtherDatabase("DATABASE_URL")
	}
	if !sameServer(p.direct, fresh.direct) {
		return errOtherDatabase("DATABASE_DIRECT_URL")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.logins.Load()
	if old.conn[0] == loginOf(fresh.conn) && old.direct[0] == loginOf(fresh.direct) {
		return nil
	}
	p.logins.Store(&logins{
		conn: newer(loginOf(fresh.conn), p.accepted.Load(), old.conn), direct: newer(loginOf(fresh.direct), nil, old.direct), replaced: make(chan struct{}),
	})
	close(old.replaced)
	return nil
}

// sameServer reports whether two addresses differ in nothing but the login.
func sameServer(a, b *pgx.ConnConfig) bool {
	same := a.Host == b.Host && a.Port == b.Port && a.Database == b.Database && (a.TLSConfig == nil) == (b.TLSConfig == nil) && len(a.Fallbacks) == len(b.Fallbacks)
	for i := 0; same && i < len(a.Fallbacks); i++ {
		same = a.Fallbacks[i].Host == b.Fallbacks[i].Host && a.Fallbacks[i].Port == b.Fallbacks[i].Port
	}
	return same
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
		return stdlib.GetConnector(*config, stdlib.OptionAfterConnect(timesInUTC), stdlib.OptionResetSession(func(context.Context, *pgx.Conn) error {
			if c.server.logins.Load() != state {
				return driver.ErrBadConn // the pool opens another one
			}
			return nil
		})).Connect(ctx)
	})
	if err == nil && !c.direct {
		c.server.accept(ctx, state, tried)
	}
	return conn, err
}

// accept remembers that the server accepted a login, and says so once if it refused the newest one.
func (p *postgresServer) accept(ctx context.Context, state *logins, accepted login) {
	p.accepted.Store(&accepted)
	if accepted != state.conn[0] && p.logins.Load() == state {
		state.warned.Do(func() {
			p.config.Logger.WarnContext(ctx, "PostgreSQL refuses the new user or password in DATABASE_URL; new connections use the earlier one until it is accepted")
		})
	}
}

// withLogins connects with the first of the logins that the server does not refuse.
func withLogins[C any](config *pgx.ConnConfig, all []login, connect func(*pgx.ConnConfig) (C, error)) (conn C, err error) {
	for _, one := range all {
		with := config.Copy()
		with.User, with.Password = one.user, one.password
		if conn, err = connect(with); err == nil || !refusedLogin(err) {
			return conn, err
		}
	}
	return conn, err
}

// refusedLogin reports whether a server, or a pooler before it, refused the user or the password.
func refusedLogin(err error) bool {
	return pgClass(err, "28") || pgCode(err) == "08P01" && strings.Contains(err.Error(), "authentication")
}
