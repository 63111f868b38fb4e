package store

import "github.com/trivet-dev/trivet/platform/database"

// statements are those that a batch runs for many rows at once. They are written here, because sqlc knows no lists of variable length.
type statements struct {
	accounts, grants, erased          *selects
	limits, keyWindows, memberWindows *selects
	// unfolded reads the calls of an account that wait to be folded.
	unfolded string

	openAccounts, insertGrants                         *bulk
	insertHolds, insertEntries, foldHolds, insertCalls *bulk
	closeHolds, extendHolds, saveAccounts, saveGrants  *bulk
	saveKeyWindows, saveMemberWindows                  *bulk
	moveOverage                                        *bulk
}

const (
	accountColumns = `id, plan, balance, held, debt, create_time, period_start_time, period_end_time, due_time, period_requests,
		period_input_tokens, period_cached_input_tokens, period_output_tokens, period_reasoning_tokens, period_cost, key_limited, spend_limited, overage_cap, overage_used,
		overage_total, overage_close_time, overage_start_time, overage_end_time, limited_up_to`
	grantColumns = `id, account_id, source, amount, remaining, create_time, expire_time`
)

func newStatements(dialect database.Dialect) *statements {
	lock := ""
	if dialect == database.Postgres {
		lock = " ORDER BY id FOR UPDATE" // one order everywhere, so that transactions do not wait for each other in a circle
	}
	return &statements{
		unfolded: parameters(dialect, "SELECT hold_id, user_id, record FROM unfolded_call WHERE account_id = ?"),
		accounts: newSelects(dialect, "SELECT "+accountColumns+" FROM account WHERE id IN (", ")"+lock),
		grants:   newSelects(dialect, "SELECT "+grantColumns+" FROM credit_grant WHERE remaining > 0 AND account_id IN (", ")"),
		erased:   newSelects(dialect, "SELECT user_hash FROM erased_user WHERE user_hash IN (", ")"),
		limits: newTuples(dialect, 3, `SELECT account_id, subject_kind, subject_id, period, id, amount, create_time, update_time FROM spend_limit
			WHERE (account_id, subject_kind, subject_id) IN (VALUES `, ") ORDER BY period"),
		keyWindows:    selectWindows(dialect, "key_window", "api_key_id"),
		memberWindows: selectWindows(dialect, "member_window", "user_id"),
		// A person who was erased gets no new account.
		openAccounts: newBulk(dialect, `INSERT INTO account (
			plan, create_time, id, balance, held, debt, period_start_time, period_end_time, due_time, period_requests,
			period_input_tokens, period_cached_input_tokens, period_output_tokens, period_reasoning_tokens, period_cost,
			overage_cap, overage_used, overage_total, overage_close_time, overage_start_time, overage_end_time)
			SELECT v.column2, v.column3, v.column4, v.column5, v.column6, v.column7, v.column8, v.column9, v.column10, v.column11, v.column12,
			v.column13, v.column14, v.column15, v.column16, v.column17, v.column18, v.column19, v.column20, v.column21, v.column22 FROM (VALUES `,
			row(dialect, "TEXT", "TEXT", "BIGINT", "TEXT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT",
				"BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT"),
			`) AS v WHERE NOT EXISTS (SELECT 1 FROM erased_user AS e WHERE e.user_hash = v.column1) ON CONFLICT (id) DO NOTHING`),
		insertGrants: newBulk(dialect, "INSERT INTO credit_grant (id, account_id, source, amount, remaining, create_time, expire_time, paid_before) VALUES ",
			"(?, ?, ?, ?, ?, ?, ?, 0)", " ON CONFLICT (account_id, source) DO NOTHING"),
		insertHolds: newBulk(dialect, `INSERT INTO hold (
			id, account_id, request_id, fingerprint, user_id, api_key_id, key_window, model, input_price, cached_input_price, output_price,
			amount, output_tokens, state, create_time, lease_time,
			used_input_tokens, used_cached_input_tokens, used_output_tokens, used_reasoning_tokens, limited) VALUES `,
			"(?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, 'open', ?, ?, ?, ?, ?, ?, ?)", " ON CONFLICT (id) DO NOTHING"),
		insertEntries: newBulk(dialect, "INSERT INTO entry (account_id, id, kind, debit, credit, amount, reference, create_time) VALUES ",
			"(?, ?, ?, ?, ?, ?, ?, ?)", ""),
		closeHolds: newBulk(dialect, `UPDATE hold SET state = v.column3, cost = v.column4, balance_after = v.column5, paid_by = v.column6,
			owed = v.column7, settle_time = v.column8, usage_id = '', used_input_tokens = v.column9, used_cached_input_tokens = v.column10,
			used_output_tokens = v.column11, used_reasoning_tokens = v.column12, outcome = v.column13, estimated = v.column14,
			provider_request_id = v.column15, usage_time = v.column16, fold = v.column17,
			target = v.column18, served_model = v.column19, latency = v.column20, first_byte = v.column21, error_code = v.column22,
			http_request_id = v.column23, overage = v.column24, overage_start_time = v.column25, details = v.column26 FROM (VALUES `,
			row(dialect, "TEXT", "TEXT", "TEXT", "BIGINT", "BIGINT", "TEXT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT",
				"TEXT", "BOOLEAN", "TEXT", "BIGINT", "BIGINT", "TEXT", "TEXT", "BIGINT", "BIGINT", "TEXT", "TEXT", "BIGINT", "BIGINT", "TEXT"),
			") AS v WHERE hold.id = v.column1 AND hold.state = v.column2"),
		insertCalls: newBulk(dialect, "INSERT INTO unfolded_call (account_id, close_time, hold_id, user_id, fold, charged, record, overage) VALUES ",
			"(?, ?, ?, ?, ?, ?, ?, ?)", ""),
		moveOverage: newBulk(dialect, "INSERT INTO overage_period (account_id, start_time, end_time, amount) VALUES ", "(?, ?, ?, ?)",
			" ON CONFLICT (account_id, start_time) DO UPDATE SET amount = overage_period.amount + excluded.amount"),
		foldHolds: newBulk(dialect, "UPDATE hold SET fold = 2, segment = v.column2 FROM (VALUES ", row(dialect, "TEXT", "TEXT"),
			") AS v WHERE hold.id = v.column1"),
		extendHolds: newBulk(dialect, `UPDATE hold SET lease_time = v.column2, used_input_tokens = v.column3, used_cached_input_tokens = v.column4,
			used_output_tokens = v.column5, used_reasoning_tokens = v.column6, used_cost = v.column7 FROM (VALUES `,
			row(dialect, "TEXT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT"),
			") AS v WHERE hold.id = v.column1 AND hold.state = 'open'"),
		saveAccounts: newBulk(dialect, `UPDATE account SET balance = v.column2, held = v.column3, debt = v.column4,
			period_start_time = v.column5, period_end_time = v.column6, due_time = v.column7, period_requests = v.column8,
			period_input_tokens = v.column9, period_cached_input_tokens = v.column10, period_output_tokens = v.column11,
			period_reasoning_tokens = v.column12, period_cost = v.column13, overage_cap = v.column14,
			overage_used = v.column15, overage_total = v.column16, overage_close_time = v.column17, overage_start_time = v.column18,
			overage_end_time = v.column19 FROM (VALUES `,
			row(dialect, "TEXT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT",
				"BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT"),
			`) AS v WHERE account.id = v.column1 AND account.balance = v.column20 AND account.held = v.column21 AND account.debt = v.column22
			AND account.due_time = v.column23 AND account.period_cost = v.column24 AND account.overage_total = v.column25`),
		saveGrants: newBulk(dialect, "UPDATE credit_grant SET remaining = v.column2 FROM (VALUES ", row(dialect, "TEXT", "BIGINT", "BIGINT"),
			") AS v WHERE credit_grant.id = v.column1 AND credit_grant.remaining = v.column3"),
		saveKeyWindows:    saveWindows(dialect, "key_window", "api_key_id"),
		saveMemberWindows: saveWindows(dialect, "member_window", "user_id"),
	}
}

// The names of tables and columns are constants.

func selectWindows(dialect database.Dialect, table, subject string) *selects {
	return newTuples(dialect, 2, "SELECT account_id, "+subject+", period, start_time, end_time, held, spent, amount FROM "+table+
		" WHERE (account_id, "+subject+") IN (VALUES ", ")")
}

func saveWindows(dialect database.Dialect, table, subject string) *bulk {
	return newBulk(dialect, "UPDATE "+table+" AS w SET held = v.column5, spent = v.column6, amount = v.column7 FROM (VALUES ",
		row(dialect, "TEXT", "TEXT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT"),
		") AS v WHERE w.account_id = v.column1 AND w."+subject+` = v.column2 AND w.period = v.column3
		AND w.start_time = v.column4 AND w.held = v.column8 AND w.spent = v.column9`)
}

// row is a row of VALUES. PostgreSQL needs the types of parameters that stand in no column; SQLite would convert each value for nothing.
func row(dialect database.Dialect, types ...string) string {
	text := "("
	for i, t := range types {
		if i > 0 {
			text += ", "
		}
		if dialect == database.SQLite {
			text += "?"
			continue
		}
		text += "CAST(? AS " + t + ")"
	}
	return text + ")"
}
