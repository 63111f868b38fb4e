package ledger_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// unaudited are the numbers of billing's tables that no rule recomputes, and why.
var unaudited = map[string]string{
	"account.overage_cap":       "the plan says it",
	"call_key":                  "ids and times",
	"catalog":                   "numbers of versions",
	"customer":                  "counters of attempts at Stripe",
	"erased_user":               "times",
	"hold.balance_after":        "only a repeated settlement reads it",
	"hold.output_tokens":        "what the call was promised",
	"hold.input_price":          "what the call was promised",
	"hold.cached_input_price":   "what the call was promised",
	"hold.output_price":         "what the call was promised",
	"hold.fold":                 "a state",
	"hold.key_window":           "unused; versions before spend limits wrote it",
	"hold.latency":              "the log of calls",
	"hold.first_byte":           "the log of calls",
	"hold.used_cost":            "a checkpoint; the sweeper charges it",
	"job":                       "times",
	"key_spend":                 "unused; versions before spend limits wrote it",
	"key_window.period":         "identifies the row",
	"key_window.amount":         "the limit that the last call met; only notices read it",
	"member_count":              "auth reports it",
	"member_window.period":      "identifies the row",
	"member_window.amount":      "the limit that the last call met; only notices read it",
	"notice.amount":             "what a notice said",
	"offer":                     "numbers of versions",
	"overage_charge.attempts":   "a counter of attempts at Stripe",
	"overage_charge.spent_keys": "a counter of attempts at Stripe",
	"replaced_schedule":         "a copy of what is wanted at Stripe",
	"spend_limit":               "a setting",
	"stripe_object":             "numbers of reads",
	"subscription":              "derived from Stripe's objects each time",
	"top_up":                    "a setting, and a counter of payments that failed",
	"top_up_charge":             "a copy of the pack's price, and counters of attempts at Stripe",
	"unfolded_call.fold":        "a state",
	"usage_day.day":             "identifies the row",
	"key_day.day":               "identifies the row",
	"member_day.day":            "identifies the row",
	"usage_segment.calls":       "only pages of calls read it",
	"usage_record":              "versions before segments wrote it",
	"billing_migrations":        "versions",
}

// The periods of accounts without a subscription begin at midnight and are compared with their days. A folded call counts in its day.
const toFold = "account_id = 'user_bob' AND id IN (SELECT hold_id FROM unfolded_call)"

// only are the rows of which a column counts.
var only = map[string]string{
	"hold.amount":                   "state = 'open'",
	"hold.cost":                     "state <> 'open' AND cost > 0",
	"hold.owed":                     "state <> 'open'",
	"hold.overage":                  "overage > 0",
	"hold.used_input_tokens":        toFold,
	"hold.used_cached_input_tokens": toFold,
	"hold.used_output_tokens":       toFold,
	"hold.used_reasoning_tokens":    toFold,
	"usage_segment.charged":         "charged > 0",
	"key_day.spent":                 "day = (SELECT MAX(day) FROM key_day)",
	"member_day.spent":              "day = (SELECT MAX(day) FROM member_day)",
	"reversal.amount":               "amount > 0",
	"purchase.total":                "clawed > 0",
}

// Whoever edits a number of the ledger, whichever it is, has the auditor notice it.
func TestEachDamageIsNoticed(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.busy()
		place := s.place
		place.Beside = true
		auditor := store.New(databasetest.Open(t, place, database.Migrations{})) // it remembers nothing
		audit := func() []ledger.Violation {
			found, err := auditor.Violations(t.Context(), 100)
			require.NoError(t, err)
			return found
		}
		require.Empty(t, audit())
		seen, unnoticed := map[string]bool{}, []string{}
		for _, column := range s.numbers() {
			table, name, _ := strings.Cut(column, ".")
			why, whole := unaudited[table]
			if reason := unaudited[column]; reason != "" {
				why = reason
			}
			seen[table], seen[column] = true, true
			if whole || why != "" || strings.HasSuffix(name, "_time") {
				continue
			}
			s.damage(table, name, func() {
				if len(audit()) == 0 {
					unnoticed = append(unnoticed, column)
				}
			})
			require.Empty(t, audit(), "%s is repaired", column)
		}
		require.Empty(t, unnoticed, "no rule recomputes them")
		for name := range unaudited {
			require.True(t, seen[name] || name == "billing_migrations", "%s is a column or a table", name)
		}
	})
}

// numbers are the columns of the database that have numbers.
func (s *subscriber) numbers() (all []string) {
	s.t.Helper()
	query := `SELECT m.name || '.' || c.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c WHERE m.type = 'table' AND c.type = 'BIGINT'`
	if s.db.Dialect() == database.Postgres {
		query = `SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = current_schema() AND data_type = 'bigint'`
	}
	rows, err := s.db.Read().QueryContext(s.t.Context(), query)
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, rows.Close()) }()
	for rows.Next() {
		var column string
		require.NoError(s.t, rows.Scan(&column))
		all = append(all, column)
	}
	require.NoError(s.t, rows.Err())
	slices.Sort(all)
	require.Greater(s.t, len(all), 100)
	return all
}

// damage changes one row by one, up or down, and repairs it afterwards.
func (s *subscriber) damage(table, column string, then func()) {
	s.t.Helper()
	row, id := "_rowid_", "CAST($1 AS INTEGER)"
	if s.db.Dialect() == database.Postgres {
		row, id = "ctid", "CAST($1 AS tid)" // an update changes it
	}
	where := only[table+"."+column]
	switch {
	case where != "":
	case strings.HasPrefix(column, "period_"):
		where = "id = 'user_bob'"
	case table == "usage_day":
		where = "account_id = 'user_bob'"
	default:
		where = "1 = 1"
	}
	var at string
	query := fmt.Sprintf("SELECT CAST(%s AS TEXT) FROM %s WHERE %s LIMIT 1", row, table, where)
	require.NoError(s.t, s.db.Read().QueryRowContext(s.t.Context(), query).Scan(&at), "%s.%s: the ledger has no such row", table, column)
	edit := func(by int) error {
		return s.db.Write(s.t.Context(), alice, func(ctx context.Context, tx database.Tx) error {
			change := fmt.Sprintf("UPDATE %s SET %s = %[2]s + %d WHERE %s = %s RETURNING CAST(%[4]s AS TEXT)", table, column, by, row, id)
			return tx.QueryRowContext(ctx, change, at).Scan(&at)
		})
	}
	by := 1
	if err := edit(by); err != nil { // a constraint
		by = -1
		require.NoError(s.t, edit(by), "%s.%s: %s", table, column, err)
	}
	then()
	require.NoError(s.t, edit(-by))
}

// busy makes a ledger that has all kinds of rows: calls that are open, settled, swept, folded and deleted, limits, overage, charges and claw-backs.
func (s *subscriber) busy() {
	s.t.Helper()
	t := s.t
	s.allow(1_000_000_000)
	s.invoice(0, "paid")
	s.sub(0, "active")
	_, err := s.SetLimit(t.Context(), ledger.SpendLimit{AccountID: alice, Subject: ledger.MemberSubject("ann"), Period: ledger.PeriodMonth, Amount: 900_000_000})
	require.NoError(t, err)
	call := func(id string, input int64) ledger.Hold {
		h, err := s.Reserve(t.Context(), ledger.Reservation{
			RequestID: id, AccountID: alice, UserID: "ann", APIKeyID: "key_1", KeyLimit: ledger.KeyLimit{Amount: 900_000_000, Period: 240 * time.Hour},
			Model: "embed", InputTokens: input,
		})
		require.NoError(t, err)
		return h
	}
	free := func(id string) { // of an account whose period begins at midnight
		h, err := s.Reserve(t.Context(), ledger.Reservation{RequestID: id, AccountID: bob, Model: "plain", InputTokens: 5, MaxOutputTokens: 1})
		require.NoError(t, err)
		_, err = s.Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: 5, CachedInput: 2, Output: 1, Reasoning: 1}, Outcome: ledger.OutcomeCompleted})
		require.NoError(t, err)
	}
	fold := func() {
		_, err := s.Fold(t.Context(), always)
		require.NoError(t, err)
	}
	s.settle(call("beyond", 25_000_000), 25_000_000)
	fold()
	s.clock.Set(s.month(1))
	s.sub(1, "active")
	s.invoice(1, "paid")
	s.clock.Add(time.Hour)
	_, err = s.ChargeOverage(t.Context(), alice)
	require.NoError(t, err)
	s.settle(call("deleted", 10), 10)
	fold()
	s.clock.Add(3 * 24 * time.Hour)
	require.NoError(t, s.Prune(t.Context(), 0, always))
	s.settle(call("folded", 300), 300)
	free("folded")
	fold()
	s.settle(call("unfolded", 1300), 1300)
	free("unfolded")
	swept := call("swept", 40)
	_, err = s.Checkpoint(t.Context(), swept.ID, ledger.Usage{Input: 30}, 0)
	require.NoError(t, err)
	s.clock.Add(2 * lease)
	_, err = s.Sweep(t.Context())
	require.NoError(t, err)
	s.write(mirror.CheckoutSession, fmt.Sprintf(`{"id":"cs_1","object":"checkout.session","customer":"cus_1","mode":"payment","status":"complete","payment_status":"paid",
		"payment_intent":"pi_1","amount_total":500,"created":%d,"line_items":{"data":[{"quantity":1,"price":{"id":"price_pack","object":"price"}}]}}`, s.clock.Now().Unix()))
	call("open", 400)
	s.write(mirror.Refund, fmt.Sprintf(`{"id":"re_1","object":"refund","status":"succeeded","payment_intent":"pi_1","amount":250,"created":%d}`, s.clock.Now().Unix()))
}
