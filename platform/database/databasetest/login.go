package databasetest

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// AskPasswords has the server ask every role but postgres for its password.
func (s *Server) AskPasswords(t testing.TB) {
	t.Helper()
	rules := "local all postgres trust\nlocal all all scram-sha-256\n"
	require.NoError(t, os.WriteFile(filepath.Join(s.data, "pg_hba.conf"), []byte(rules), 0o600))
	s.Admin(t, "SELECT pg_reload_conf()")
}

// Admin runs a statement as the role that owns the server.
func (s *Server) Admin(t testing.TB, statement string) {
	t.Helper()
	run(t, s.URL("postgres"), statement)
}

// Holds asks a condition as the role that owns the server. It fails no test, so that a goroutine may ask.
func (s *Server) Holds(ctx context.Context, query string) (holds bool, err error) {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	err = conn.QueryRow(ctx, query).Scan(&holds)
	return holds, err
}

// As is the address at with another role and its password.
func As(t testing.TB, at, role, password string) string {
	t.Helper()
	address, err := url.Parse(at)
	require.NoError(t, err)
	address.User = url.UserPassword(role, password)
	return address.String()
}
