package database

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// A login is refused by PostgreSQL with codes of its own, and by PgBouncer with one that has other meanings, too.
func TestRefusedLoginsAreRecognized(t *testing.T) {
	for _, c := range []struct {
		code, message string
		refused       bool
	}{
		{"28P01", `password authentication failed for user "app"`, true},
		{"28000", `role "app" is not permitted to log in`, true},
		{"08P01", "SASL authentication failed", true},
		{"08P01", "auth failed", true},
		{"08P01", "no such user: app", true},
		{"08P01", "no such database: trivet", false},
		{"08P01", "unsupported startup parameter: search_path", false},
		{"53300", "sorry, too many clients already", false},
		{"3D000", `database "auth failed" does not exist`, false},
	} {
		require.Equal(t, c.refused, refusedLogin(fmt.Errorf("connecting: %w", &pgconn.PgError{Code: c.code, Message: c.message})), c.message)
	}
	require.False(t, refusedLogin(errors.New("auth failed")))
}
