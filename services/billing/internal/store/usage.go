package store

import (
	"cmp"
	"context"
	"database/sql"
	"math"
	"slices"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// Usage sums the usage of whole days by day and by what the query says. It reads the daily sums and the calls that are not folded yet at
// one moment.
func (s *Store) Usage(ctx context.Context, q ledger.UsageQuery) ([]ledger.UsageRow, error) {
	tx, err := s.db.Read().BeginTx(ctx, s.snapshot())
	if err != nil {
		return nil, translate(err)
	}
	defer func() { _ = tx.Rollback() }() // it has nothing to commit
	r := &usageReport{UsageQuery: q, first: dayOf(q.From), end: dayOf(q.To.Add(day - time.Microsecond)), sums: map[ledger.UsageRow]ledger.UsageTotal{}}
	if err := r.addDays(ctx, db.New(tx)); err != nil {
		return nil, translate(err)
	}
	if err := r.addCalls(ctx, tx, s.sql.unfolded); err != nil {
		return nil, translate(err)
	}
	return r.rows(), nil
}

// snapshot makes all statements of a transaction see one moment.
func (s *Store) snapshot() *sql.TxOptions {
	options := &sql.TxOptions{ReadOnly: true}
	if s.db.Dialect() == database.Postgres {
		options.Isolation = sql.LevelRepeatableRead // on SQLite each transaction is like that
	}
	return options
}

// usageReport is a report of usage in the making.
type usageReport struct {
	ledger.UsageQuery
	first, end int64
	// sums are by rows without their totals.
	sums map[ledger.UsageRow]ledger.UsageTotal
}

func (r *usageReport) limit() int { return cmp.Or(r.Limit, math.MaxInt32) }

func (r *usageReport) addDays(ctx context.Context, q *db.Queries) error {
	rows, err := q.SumUsage(ctx, db.SumUsageParams{
		AccountID: r.AccountID, FirstDay: r.first, EndDay: r.end, Model: r.Model, UserID: r.UserID, APIKeyID: r.APIKeyID,
		ByModel: r.By.Has(ledger.ByModel), ByUser: r.By.Has(ledger.ByUser), ByAPIKey: r.By.Has(ledger.ByAPIKey), Most: int64(r.limit()),
	})
	for _, row := range rows {
		r.add(row.Day, row.Model, row.UserID, row.APIKeyID, ledger.UsageTotal{
			Requests: row.Requests, Cost: joined(row.CostHigh, row.CostLow),
			Usage: ledger.Usage{
				Input: joined(row.InputTokensHigh, row.InputTokensLow), CachedInput: joined(row.CachedInputTokensHigh, row.CachedInputTokensLow),
				Output: joined(row.OutputTokensHigh, row.OutputTokensLow), Reasoning: joined(row.ReasoningTokensHigh, row.ReasoningTokensLow),
			},
		})
	}
	return err
}

// add adds to a row of the report.
func (r *usageReport) add(day int64, model, user, apiKey string, total ledger.UsageTotal) {
	key := ledger.UsageRow{Day: timeOf(day).Format(time.DateOnly)}
	if r.By.Has(ledger.ByModel) {
		key.Model = model
	}
	if r.By.Has(ledger.ByUser) {
		key.UserID = user
	}
	if r.By.Has(ledger.ByAPIKey) {
		key.APIKeyID = apiKey
	}
	sum := r.sums[key]
	sum.Add(total)
	r.sums[key] = sum
}

// addCalls adds the calls that wait to be folded, one by one: there may be many. It ends when the report has all the rows that it may have.
func (r *usageReport) addCalls(ctx context.Context, tx *sql.Tx, query string) (err error) {
	rows, err := tx.QueryContext(ctx, query, r.AccountID)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err tells what Close would
	for rows.Next() && len(r.sums) < r.limit() {
		var holdID, user string
		var raw []byte
		if err := rows.Scan(&holdID, &user, &raw); err != nil {
			return err
		}
		call, err := decodeCall(r.AccountID, holdID, raw)
		if err != nil {
			return err
		}
		call.UserID = user
		r.addCall(call)
	}
	return rows.Err()
}

// addCall adds a call that the query wants.
func (r *usageReport) addCall(call ledger.UsageRecord) {
	asked := func(filter, value string) bool { return filter == "" || filter == value }
	total, on := call.Total(), dayOf(call.SettleTime)
	if total != (ledger.UsageTotal{}) && on >= r.first && on < r.end &&
		asked(r.Model, call.Model) && asked(r.UserID, call.UserID) && asked(r.APIKeyID, call.APIKeyID) {
		r.add(on, call.Model, call.UserID, call.APIKeyID, total)
	}
}

// rows are sorted here, because databases disagree about the order of text.
func (r *usageReport) rows() []ledger.UsageRow {
	rows := make([]ledger.UsageRow, 0, len(r.sums))
	for key, total := range r.sums {
		key.UsageTotal = total
		rows = append(rows, key)
	}
	slices.SortFunc(rows, ledger.UsageRow.Compare)
	return rows
}
