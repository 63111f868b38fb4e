package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/trivet-dev/trivet/platform/database"
)

// erasePage is how many rows one transaction looks through: calls that are billed meanwhile wait for one page only.
const erasePage = 5000

// eraseTable is a table that names people, walked along its key. There is no index on user_id: erasures are rare, and every call would
// pay for it.
type eraseTable struct{ name, first, second string }

var eraseTables = []eraseTable{
	{"usage_record", "account_id", "id"},
	{"hold", "id", "account_id"},
}

// EraseUser takes a person's id out of usage records and holds. What was used and charged stays, with the account that paid. It is
// idempotent, and a half-done one is finished by the next.
func (s *Store) EraseUser(ctx context.Context, userID string) error {
	if userID == "" {
		return errors.New("erase: no user is named")
	}
	for _, table := range eraseTables {
		if err := s.eraseFrom(ctx, table, userID); err != nil {
			return translate(fmt.Errorf("erase from %s: %w", table.name, err))
		}
	}
	return nil
}

func (s *Store) eraseFrom(ctx context.Context, t eraseTable, userID string) error {
	// Names of tables and columns come from the list above, values as parameters.
	pageEnd := fmt.Sprintf("SELECT %[2]s, %[3]s FROM %[1]s WHERE (%[2]s, %[3]s) > ($1, $2) ORDER BY %[2]s, %[3]s LIMIT 1 OFFSET %[4]d",
		t.name, t.first, t.second, erasePage-1)
	update := fmt.Sprintf("UPDATE %[1]s SET user_id = '' WHERE user_id = $1 AND (%[2]s, %[3]s) > ($2, $3)", t.name, t.first, t.second)
	updatePage := update + fmt.Sprintf(" AND (%s, %s) <= ($4, $5)", t.first, t.second)
	var a, b string
	for {
		var c, d string
		err := s.db.Read().QueryRowContext(ctx, pageEnd, a, b).Scan(&c, &d)
		last := errors.Is(err, sql.ErrNoRows)
		if err != nil && !last {
			return err
		}
		err = s.db.Write(ctx, userID, func(ctx context.Context, tx database.Tx) error {
			if last {
				_, err := tx.ExecContext(ctx, update, userID, a, b)
				return err
			}
			_, err := tx.ExecContext(ctx, updatePage, userID, a, b, c, d)
			return err
		})
		if err != nil || last {
			return err
		}
		a, b = c, d
	}
}
