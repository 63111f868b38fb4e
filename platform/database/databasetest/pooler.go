package databasetest

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/skip"
)

// poolerPort names the pooler's socket.
const poolerPort = 6432

// Pooler starts a PgBouncer in transaction mode before a database, with an entry for each schema that sets its search_path, and more
// settings of PgBouncer. It returns the address of a schema's entry; "" is an entry that sets none.
func Pooler(t testing.TB, direct string, schemas []string, more string) (address func(schema string) string) {
	t.Helper()
	at := startPooler(t, direct, schemas, more, nil)
	return func(schema string) string { return at(schema, url.User("postgres")) }
}

// PoolerWithLogins starts a PgBouncer as Pooler does, which asks roles for their passwords, and signs in at the server as the same roles.
func PoolerWithLogins(t testing.TB, direct string, schemas []string, logins map[string]string) (address func(schema, role string) string) {
	t.Helper()
	at := startPooler(t, direct, schemas, "", logins)
	return func(schema, role string) string { return at(schema, url.UserPassword(role, logins[role])) }
}

func startPooler(t testing.TB, direct string, schemas []string, more string, logins map[string]string) (address func(schema string, as *url.Userinfo) string) {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer"
		_, err = os.Stat(program)
	}
	skip.Unless(t, "PgBouncer", err, "install it (Debian: apt-get install pgbouncer)")
	dir, err := os.MkdirTemp("", "trivet-pool-") //nolint:usetesting // the path of a socket must be short
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	config := writePoolerConfig(t, dir, direct, schemas, more, logins)

	server := &Server{dir: dir}
	server.as, err = owner()
	require.NoError(t, err)
	if server.as != nil {
		require.NoError(t, os.Chown(dir, int(server.as.Uid), int(server.as.Gid)))
	}
	// KILL, because no other signal ends every version at once: since 1.23, TERM waits for the clients, and earlier ones ignore QUIT.
	require.NoError(t, server.run("KILL", dir, program, config))
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("PgBouncer's log:\n%s", log)
		}
		server.Stop()
	})
	address = func(schema string, as *url.Userinfo) string {
		return fmt.Sprintf("postgres://%s@/%s?host=%s&port=%d", as, entry(schema), url.QueryEscape(dir), poolerPort)
	}
	probe := url.User("postgres")
	for role, password := range logins {
		probe = url.UserPassword(role, password)
	}
	require.Eventually(t, func() bool {
		conn, err := pgx.Connect(t.Context(), address("", probe))
		return err == nil && conn.Close(t.Context()) == nil
	}, 30*time.Second, 20*time.Millisecond)
	return address
}

// entry is the name of a schema's entry.
func entry(schema string) string { return "pool_" + schema }

func writePoolerConfig(t testing.TB, dir, direct string, schemas []string, more string, logins map[string]string) string {
	t.Helper()
	at, err := pgx.ParseConfig(direct)
	require.NoError(t, err)
	config := "[databases]\n"
	for _, schema := range append(schemas, "") {
		config += fmt.Sprintf("%s = host=%s port=%d dbname=%s", entry(schema), at.Host, at.Port, at.Database)
		if logins == nil {
			config += " user=" + at.User
		}
		if logins == nil && at.Password != "" {
			config += fmt.Sprintf(" password='%s'", at.Password)
		}
		if schema != "" {
			config += fmt.Sprintf(" connect_query='SET search_path TO %s'", schema)
		}
		config += "\n"
	}
	auth := "auth_type = any"
	if logins != nil {
		users := ""
		for role, password := range logins {
			users += fmt.Sprintf("%q %q\n", role, password)
		}
		file := filepath.Join(dir, "users.txt")
		require.NoError(t, os.WriteFile(file, []byte(users), 0o644)) //nolint:gosec // read by another user
		auth = "auth_type = scram-sha-256\nauth_file = " + file
	}
	config += fmt.Sprintf("[pgbouncer]\nlisten_addr =\nlisten_port = %d\nunix_socket_dir = %s\n%s\npool_mode = transaction\n%s\n", poolerPort, dir, auth, more)
	path := filepath.Join(dir, "pgbouncer.ini")
	require.NoError(t, os.WriteFile(path, []byte(config), 0o644)) //nolint:gosec // read by another user
	require.NoError(t, os.Chmod(dir, 0o755))                      //nolint:gosec // as above
	return path
}
