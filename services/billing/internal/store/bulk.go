package store

import (
	"context"
	"strconv"
	"strings"

	"github.com/trivet-dev/trivet/platform/database"
)

// bulk writes many rows of one shape with few statements.
type bulk struct {
	texts [len(bulkSizes)]string
	width int
}

// bulkSizes are the rows of one statement, the largest first. They are few, so that the texts stay prepared, and any number up to 34 is
// the sum of at most three, most of two.
var bulkSizes = [...]int{32, 24, 16, 12, 8, 6, 4, 3, 2, 1}

// newBulk makes the statements head row,row,… tail, with question marks for the values.
func newBulk(dialect database.Dialect, head, row, tail string) *bulk {
	b := &bulk{width: strings.Count(row, "?")}
	for i, size := range bulkSizes {
		rows := strings.Repeat(", "+row, size)[len(", "):]
		b.texts[i] = parameters(dialect, head+rows+tail)
	}
	return b
}

// parameters numbers the question marks where PostgreSQL demands it. SQLite takes them as they are: numbered ones are names there, and the
// driver looks a name up for each value, which takes most of the time of a long list.
func parameters(dialect database.Dialect, text string) string {
	if dialect == database.SQLite {
		return text
	}
	var b strings.Builder
	for i := 1; ; i++ {
		before, after, found := strings.Cut(text, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(i))
		text = after
	}
}

// exec runs the statements for the rows, whose values stand one after another, and returns how many rows they changed.
func (b *bulk) exec(ctx context.Context, tx database.Tx, values []any) (changed int64, err error) {
	statements := b.add(nil, values)
	if err := tx.Together(ctx, statements); err != nil {
		return 0, err
	}
	for _, s := range statements {
		changed += s.Changed
	}
	return changed, nil
}

// add adds the statements for the rows to others.
func (b *bulk) add(statements []database.Statement, values []any) []database.Statement {
	for i := 0; len(values) > 0; {
		n := b.width * bulkSizes[i]
		if n > len(values) {
			i++
			continue
		}
		statements = append(statements, database.Statement{Query: b.texts[i], Args: values[:n]})
		values = values[n:]
	}
	return statements
}

// selects is a query with a list of ids, or of tuples of them, for lists of up to 2^maxSelect.
type selects struct {
	texts [maxSelect + 1]string
	width int
}

const maxSelect = 7

// newSelects makes the queries head id,id,… tail.
func newSelects(dialect database.Dialect, head, tail string) *selects {
	s := &selects{width: 1}
	for power := range s.texts {
		s.texts[power] = parameters(dialect, head+strings.Repeat("?, ", 1<<power-1)+"?"+tail)
	}
	return s
}

// newTuples makes the queries head (id, id), (id, id),… tail.
func newTuples(dialect database.Dialect, width int, head, tail string) *selects {
	s := &selects{width: width}
	tuple := "(" + strings.Repeat(", ?", width)[len(", "):] + ")"
	for power := range s.texts {
		s.texts[power] = parameters(dialect, head+strings.Repeat(tuple+", ", 1<<power-1)+tuple+tail)
	}
	return s
}

// each runs the query for the ids, whose tuples stand one after another, and calls scan for each row.
func (s *selects) each(ctx context.Context, tx database.Tx, ids []string, scan func(row database.Scanner) error) error {
	return tx.Together(ctx, s.add(nil, ids, scan))
}

// add adds the queries for the ids to other statements.
func (s *selects) add(statements []database.Statement, ids []string, scan func(row database.Scanner) error) []database.Statement {
	for len(ids) > 0 {
		n := min(len(ids), s.width<<maxSelect)
		statements = append(statements, s.some(ids[:n], scan))
		ids = ids[n:]
	}
	return statements
}

func (s *selects) some(ids []string, scan func(row database.Scanner) error) database.Statement {
	power := 0
	for s.width<<power < len(ids) {
		power++
	}
	args := make([]any, s.width<<power)
	for i := range args {
		if i >= len(ids) { // the last tuple fills the list up
			args[i] = args[i-s.width]
			continue
		}
		args[i] = ids[i]
	}
	return database.Statement{Query: s.texts[power], Args: args, Scan: scan}
}
