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
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer"
		_, err = os.Stat(program)
	}
	skip.Unless(t, "PgBouncer", err, "install it (Debian: apt-get install pgbouncer)")
	dir, err := os.MkdirTemp("", "trivet-pool-") //nolint:usetesting // the path of a socket must be short
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	config := writePoolerConfig(t, dir, direct, schemas, more)

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
	address = func(schema string) string {
		return fmt.Sprintf("postgres://postgres@/%s?host=%s&port=%d", entry(schema), url.QueryEscape(dir), poolerPort)
	}
	require.Eventually(t, func() bool {
		conn, err := pgx.Connect(t.Context(), address(""))
		return err == nil && conn.Close(t.Context()) == nil
	}, 30*time.Second, 20*time.Millisecond)
	return address
}

// entry is the name of a schema's entry.
func entry(schema string) string { return "pool_" + schema }

func writePoolerConfig(t testing.TB, dir, direct string, schemas []string, more string) string {
	t.Helper()
	at, err := pgx.ParseConfig(direct)
	require.NoError(t, err)
	config := "[databases]\n"
	for _, schema := range append(schemas, "") {
		config += fmt.Sprintf("%s = host=%s port=%d dbname=%s user=%s", entry(schema), at.Host, at.Port, at.Database, at.User)
		if at.Password != "" {
			config += fmt.Sprintf(" password='%s'", at.Password)
		}
		if schema != "" {
			config += fmt.Sprintf(" connect_query='SET search_path TO %s'", schema)
		}
		config += "\n"
	}
	config += fmt.Sprintf("[pgbouncer]\nlisten_addr =\nlisten_port = %d\nunix_socket_dir = %s\nauth_type = any\npool_mode = transaction\n%s\n", poolerPort, dir, more)
	path := filepath.Join(dir, "pgbouncer.ini")
	require.NoError(t, os.WriteFile(path, []byte(config), 0o644)) //nolint:gosec // read by another user
	require.NoError(t, os.Chmod(dir, 0o755))                      //nolint:gosec // as above
	return path
}
