package store_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/services/billing/internal/customers"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// More rows than a page, of two people in turn, in many accounts: one person goes, the sums stay.
func TestEraseUser(t *testing.T) {
	const rows = 12_345
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) {
		require.NoError(t, db.Write(t.Context(), "x", func(ctx context.Context, tx database.Tx) error {
			_, err := tx.ExecContext(ctx, `
				WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
				INSERT INTO usage_record (account_id, id, hold_id, day, model, user_id, api_key_id, input_tokens, cached_input_tokens, output_tokens,
					reasoning_tokens, cost, outcome, estimated, provider_request_id, settle_time)
				SELECT 'account_' || (i % 7), 'id_' || i, 'hold_' || i, '2026-11-23', 'm', CASE WHEN i % 2 = 0 THEN 'user_gone' ELSE 'user_stays' END,
					'', 1, 0, 1, 0, 3, 'completed', false, '', 1
				FROM n`, rows)
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `
				INSERT INTO hold (id, account_id, request_id, fingerprint, user_id, api_key_id, key_window, model, input_price, cached_input_price,
					output_price, amount, output_tokens, state, create_time, lease_time, used_input_tokens, used_cached_input_tokens,
					used_output_tokens, used_reasoning_tokens, cost)
				SELECT hold_id, account_id, 'r', 'f', user_id, '', 0, model, 1, 1, 1, 0, 0, CASE WHEN cost % 2 = 0 THEN 'open' ELSE 'swept' END,
					1, 1, 0, 0, 0, 0, cost
				FROM usage_record`)
			return err
		}))
		s := store.New(db)
		require.NoError(t, s.EraseUser(t.Context(), "user_gone"))
		require.NoError(t, s.EraseUser(t.Context(), "user_gone"), "a repetition does no harm")
		require.Error(t, s.EraseUser(t.Context(), ""), "an empty id is not everybody")

		for _, table := range []string{"usage_record", "hold"} {
			count := func(user string) (n, cost int) {
				row := db.Read().QueryRowContext(t.Context(), "SELECT COUNT(*), COALESCE(SUM(cost), 0) FROM "+table+" WHERE user_id = $1", user)
				require.NoError(t, row.Scan(&n, &cost))
				return n, cost
			}
			n, cost := count("user_gone")
			require.Zero(t, n, table)
			require.Zero(t, cost, table)
			n, cost = count("")
			require.Equal(t, rows/2, n, table)
			require.Equal(t, rows/2*3, cost, "what was used and charged stays")
			n, _ = count("user_stays")
			require.Equal(t, rows-rows/2, n, "others are untouched")
		}
		require.Empty(t, mentions(t, db, "user_gone"))
	})
}

// Calls that wait to be folded while their person is erased, and one that ends afterwards.
func TestErasureOfWaitingCalls(t *testing.T) {
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) {
		s := store.New(db)
		now := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
		decide := func(fn func(ctx context.Context, tx ledger.Tx) error) {
			require.NoError(t, s.Write(t.Context(), "org", fn))
		}
		decide(func(ctx context.Context, tx ledger.Tx) error {
			_, err := tx.InsertAccount(ctx, ledger.Account{ID: "org", Plan: "free", CreateTime: now, PeriodStart: now, PeriodEnd: now.Add(time.Hour), Due: now.Add(time.Hour)})
			return err
		})
		hold := func(id, user string) ledger.Hold {
			h := ledger.Hold{ID: id, AccountID: "org", UserID: user, Model: "m", State: ledger.StateOpen, CreateTime: now, LeaseTime: now}
			decide(func(ctx context.Context, tx ledger.Tx) error { _, err := tx.InsertHold(ctx, h); return err })
			return h
		}
		settle := func(h ledger.Hold) {
			decide(func(ctx context.Context, tx ledger.Tx) error {
				h, err := tx.OpenHold(ctx, h)
				if err != nil {
					return err
				}
				h.State, h.Used, h.SettleTime, h.UsageTime = ledger.StateSettled, ledger.Usage{Input: 1}, now, now
				return tx.CloseHold(ctx, h, ledger.StateOpen)
			})
		}
		waiting, late, marked := hold("h1", "user_gone"), hold("h2", "user_gone"), hold("h3", "user_marked")
		settle(waiting)
		settle(marked)
		require.NotEmpty(t, mentions(t, db, "user_gone"))
		require.NoError(t, s.EraseUser(t.Context(), "user_gone"))
		require.Empty(t, mentions(t, db, "user_gone"))
		settle(late)
		require.Empty(t, mentions(t, db, "user_gone"), "this process remembers the person of the hold")

		// An erasure that has begun.
		require.NoError(t, db.Write(t.Context(), "x", func(ctx context.Context, tx database.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO erased_user (user_hash, erase_time) VALUES ($1, 1)", fmt.Sprintf("%x", sha256.Sum256([]byte("user_marked"))))
			return err
		}))
		name := func(time.Time) string { return "name" }
		n, err := s.Fold(t.Context(), []string{"org"}, 10, ledger.Folding{SegmentID: name, EntryID: name})
		require.NoError(t, err)
		require.Equal(t, 3, n)
		require.Equal(t, []string{"hold.user_id"}, mentions(t, db, "user_marked"), "a fold names nobody who is erased")
	})
}

// A person with an account of their own, a customer at Stripe, mirrored objects, and events that are done, dead and waiting.
func TestErasureReachesTheMirrorAndTheInbox(t *testing.T) {
	const gone = "user_gone"
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) {
		require.NoError(t, database.Migrate(t.Context(), db, inbox.Migrations()))
		s := store.New(db)
		now := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
		open := func(account string) {
			require.NoError(t, s.Write(t.Context(), account, func(ctx context.Context, tx ledger.Tx) error {
				_, err := tx.InsertAccount(ctx, ledger.Account{ID: account, Plan: "free", CreateTime: now, PeriodStart: now, PeriodEnd: now.Add(time.Hour), Due: now.Add(time.Hour)})
				return err
			}))
		}
		object := func(kind mirror.Kind, id, customer, user string) mirror.Object {
			o, err := mirror.Parse(kind, fmt.Appendf(nil,
				`{"id":%q,"object":%q,"customer":%q,"created":1800000000,"metadata":{"trivet_account":%q},"lines":{"data":[{"metadata":{"for":%[4]q}}]}}`,
				id, kind, customer, user))
			require.NoError(t, err)
			o.Sequence = 1
			return o
		}
		put := func(o mirror.Object) {
			sequence, err := s.TakeSequence(t.Context(), o.Kind, o.ID)
			require.NoError(t, err)
			o.Sequence = sequence
			written, err := s.WriteObject(t.Context(), o, nil)
			require.NoError(t, err)
			require.True(t, written)
		}
		open(gone)
		open("user_stays")
		for _, account := range []string{gone, "user_stays", "user_late"} {
			_, err := s.BeginCustomer(t.Context(), customers.Begin{AccountID: account, Time: now})
			require.NoError(t, err)
		}
		require.NoError(t, s.SaveCustomer(t.Context(), gone, "cus_earlier"))
		put(object(mirror.Customer, "cus_earlier", "", gone))
		put(object(mirror.Invoice, "in_earlier", "cus_earlier", gone))
		require.NoError(t, db.Write(t.Context(), "x", func(ctx context.Context, tx database.Tx) error { return s.DropCustomer(ctx, tx, "cus_earlier") }))
		require.NoError(t, s.SaveCustomer(t.Context(), gone, "cus_gone"))
		require.NoError(t, s.SaveCustomer(t.Context(), "user_stays", "cus_stays"))
		put(object(mirror.Customer, "cus_gone", "", gone))
		put(object(mirror.Invoice, "in_gone", "cus_gone", gone))
		put(object(mirror.Customer, "cus_stays", "", "user_stays"))
		for i, subject := range []string{"cus_gone", "in_gone", "cus_stays"} {
			for j, state := range []inbox.State{inbox.Dead, inbox.Done} {
				require.NoError(t, db.Write(t.Context(), subject, func(ctx context.Context, tx database.Tx) error {
					return event(ctx, tx, fmt.Sprintf("evt_%d_%d", i, j), subject, state)
				}))
			}
		}
		require.NoError(t, s.EraseUser(t.Context(), gone))

		// The account is the one that paid: accounting keeps its id, and with it that of its customer.
		own := []string{"account.id", "customer.account_id", "stripe_customer.account_id"}
		require.Subset(t, own, mentions(t, db, gone))
		require.Subset(t, []string{"stripe_object.id", "stripe_object.customer", "stripe_object.body", "inbox_event.subject", "customer.stripe_id", "erased_customer.stripe_id", "stripe_customer.stripe_id"},
			mentions(t, db, "cus_gone"))
		require.Contains(t, mentions(t, db, "cus_stays"), "inbox_payload.payload", "others keep theirs")
		require.Contains(t, mentions(t, db, `"trivet_account":"user_stays"`), "stripe_object.body")

		// What is fetched and listed later brings nothing back, and does not stay different forever.
		put(object(mirror.Customer, "cus_gone", "", gone))
		adopted, err := s.AdoptObject(t.Context(), object(mirror.Subscription, "sub_gone", "cus_gone", gone), nil)
		require.NoError(t, err)
		require.True(t, adopted)
		require.Subset(t, own, mentions(t, db, gone))
		m := mirror.New(mirror.Options{Store: s, Now: time.Now})
		_, changes, err := m.Compare(t.Context(), mirror.Subscription, object(mirror.Subscription, "sub_gone", "cus_gone", gone).Body, now)
		require.NoError(t, err)
		require.Equal(t, []mirror.Change{{Kind: mirror.Subscription, ID: "sub_gone", Outcome: mirror.Same}}, changes)

		// A customer that is made at Stripe while the person is erased.
		open("user_late")
		require.NoError(t, s.EraseUser(t.Context(), "user_late"))
		require.NoError(t, s.SaveCustomer(t.Context(), "user_late", "cus_late"))
		put(object(mirror.Customer, "cus_late", "", "user_late"))
		require.Subset(t, own, mentions(t, db, "user_late"))
	})
}

func event(ctx context.Context, tx database.Tx, id, subject string, state inbox.State) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO inbox_event (id, source, type, subject, state, ready, attempts, last_error, put_time, due_time)
		VALUES ($1, 'stripe', 'customer.updated', $2, $3, false, 1, '', 1, 0)`, id, subject, string(state))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO inbox_payload (seq, payload) SELECT seq, $2 FROM inbox_event WHERE id = $1`, id, []byte(`{"id":"`+subject+`"}`))
	return err
}

// mentions lists the columns, as table.column, in which a text occurs.
func mentions(t *testing.T, db *database.DB, text string) (columns []string) {
	t.Helper()
	list := `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`
	if db.Dialect() == database.Postgres {
		list = `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()`
	}
	for _, table := range texts(t, db, list) {
		for _, row := range rows(t, db, "SELECT * FROM "+table[""]) {
			for column, value := range row {
				if name := table[""] + "." + column; strings.Contains(value, text) && !slices.Contains(columns, name) {
					columns = append(columns, name)
				}
			}
		}
	}
	return columns
}

// texts reads the first column of each row, under the key "".
func texts(t *testing.T, db *database.DB, query string) (all []map[string]string) {
	t.Helper()
	for _, row := range rows(t, db, query) {
		for _, value := range row {
			all = append(all, map[string]string{"": value})
		}
	}
	return all
}

func rows(t *testing.T, db *database.DB, query string) (all []map[string]string) {
	t.Helper()
	found, err := db.Read().QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer found.Close()
	names, err := found.Columns()
	require.NoError(t, err)
	for found.Next() {
		values, targets := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			targets[i] = &values[i]
		}
		require.NoError(t, found.Scan(targets...))
		row := map[string]string{}
		for i, value := range values {
			if raw, ok := value.([]byte); ok {
				value = string(raw)
			}
			row[names[i]] = fmt.Sprint(value)
		}
		all = append(all, row)
	}
	require.NoError(t, found.Err())
	return all
}
