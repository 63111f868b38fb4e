package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"
)

// statements are those of the old version.
func (u *upgrade) statements() (all []statement) {
	u.t.Helper()
	raw, err := os.ReadFile(filepath.Join(upgradeData, "statements.json"))
	require.NoError(u.t, err)
	require.NoError(u.t, json.Unmarshal(raw, &all))
	return all
}

// outcomes executes each statement of the old version, undoes it, and says what came of it: the columns of its answer, or the error.
func (u *upgrade) outcomes() map[string]string {
	u.t.Helper()
	all := map[string]string{}
	for _, service := range []string{"auth", "billing"} {
		conn := u.connect(service)
		for _, s := range u.statements() {
			if s.Service == service {
				all[service+" "+s.Name] = outcomeOf(u.t.Context(), conn, s.SQL)
			}
		}
		require.NoError(u.t, conn.Close(context.Background()))
	}
	return all
}

// PostgreSQL answers with these codes when a transaction and another one block each other. They say nothing about the statement.
const deadlock, lockTimeout = "40P01", "55P03"

// outcomesUntil does the same again and again, with connections of its own. It leaves out statements that end because they and the
// migration wait for each other.
func (u *upgrade) outcomesUntil(stop <-chan struct{}) map[string][]string {
	all := map[string][]string{}
	for {
		for name, outcome := range u.outcomes() {
			if strings.HasPrefix(outcome, deadlock) || strings.HasPrefix(outcome, lockTimeout) {
				continue
			}
			if !slices.Contains(all[name], outcome) {
				all[name] = append(all[name], outcome)
			}
		}
		select {
		case <-stop:
			return all
		default:
		}
	}
}

// connect opens a connection with the settings that the old version's processes write with.
func (u *upgrade) connect(service string) *pgx.Conn {
	config, err := pgx.ParseConfig(u.audit.url)
	require.NoError(u.t, err)
	config.RuntimeParams["search_path"] = service
	config.RuntimeParams["lock_timeout"] = "10000"
	conn, err := pgx.ConnectConfig(u.t.Context(), config)
	require.NoError(u.t, err)
	return conn
}

// outcomeOf executes a statement with the simplest arguments of its types, in a transaction that is rolled back.
func outcomeOf(ctx context.Context, conn *pgx.Conn, sql string) string {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = tx.Rollback(ctx) }()
	prepared, err := conn.PgConn().Prepare(ctx, "", sql, nil)
	if err != nil {
		return failure(err)
	}
	arguments := make([][]byte, len(prepared.ParamOIDs))
	for i, oid := range prepared.ParamOIDs {
		if arguments[i] = argument(oid); arguments[i] == nil {
			return fmt.Sprintf("the type %d of $%d has no value in this test", oid, i+1)
		}
	}
	result := conn.PgConn().ExecPrepared(ctx, "", arguments, nil, nil).Read()
	if result.Err != nil {
		return failure(result.Err)
	}
	var columns []string
	for _, f := range result.FieldDescriptions {
		columns = append(columns, fmt.Sprintf("%s %d", f.Name, f.DataTypeOID))
	}
	return strings.Join(columns, ", ") + " " + result.CommandTag.String() + " ok"
}

// failure is the code of an error of PostgreSQL's, and the constraint that it names.
func failure(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code + " " + e.ConstraintName + " " + e.ColumnName
	}
	return err.Error()
}

// argument is a simple value in the text format. Arrays have one element, so that a statement that inserts them inserts a row.
func argument(oid uint32) []byte {
	switch oid {
	case pgtype.TextOID:
		return []byte("x")
	case pgtype.Int8OID, pgtype.Int4OID:
		return []byte("1")
	case pgtype.BoolOID:
		return []byte("true")
	case pgtype.ByteaOID:
		return []byte(`\x7b7d`)
	case pgtype.TextArrayOID:
		return []byte("{x}")
	case pgtype.Int8ArrayOID, pgtype.Int4ArrayOID:
		return []byte("{1}")
	case pgtype.BoolArrayOID:
		return []byte("{true}")
	case pgtype.ByteaArrayOID:
		return []byte(`{"\\x7b7d"}`)
	default:
		return nil
	}
}
