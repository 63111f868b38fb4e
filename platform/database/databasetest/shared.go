package databasetest

import (
	"crypto/rand"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// shared is the server of this test process: starting one takes a second, a database on it a few milliseconds. It ends,
// and its folder goes, with the process.
var shared struct { //nolint:gochecknoglobals // one per process is the point
	sync.Mutex
	server *Server
}

// PostgresURL returns the address of a fresh, empty PostgreSQL database, dropped when the test ends.
func PostgresURL(t testing.TB) string {
	t.Helper()
	if admin := os.Getenv("TEST_POSTGRES_URL"); admin != "" {
		return newDatabase(t, admin)
	}
	return sharedServer(t).NewDatabase(t)
}

func sharedServer(t testing.TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		s := newServer(t, os.Getenv("TRIVET_TEST_FSYNC") == "1")
		require.NoError(t, s.start(s.dir))
		shared.server = s
	}
	return shared.server
}

func randomName() string { return rand.Text() }
