-- name: GetAccount :one
SELECT * FROM account WHERE id = $1;

-- name: InsertAccount :execrows
-- A person who was erased gets no new account.
INSERT INTO account (
    id, plan, balance, held, debt, create_time, period_start_time, period_end_time, due_time, period_requests,
    period_input_tokens, period_cached_input_tokens, period_output_tokens, period_reasoning_tokens, period_cost
)
SELECT
    CAST(sqlc.arg(id) AS TEXT), CAST(sqlc.arg(plan) AS TEXT), 0, 0, 0, CAST(sqlc.arg(create_time) AS BIGINT),
    CAST(sqlc.arg(period_start_time) AS BIGINT), CAST(sqlc.arg(period_end_time) AS BIGINT), CAST(sqlc.arg(due_time) AS BIGINT), 0, 0, 0, 0, 0, 0
WHERE NOT EXISTS (SELECT 1 FROM erased_user AS e WHERE e.user_hash = sqlc.arg(id_hash))
ON CONFLICT (id) DO NOTHING;

-- name: LimitKeys :exec
-- From here on the calls of the account's keys look for the windows of their limits.
UPDATE account SET key_limited = TRUE WHERE id = $1;

-- name: SetLimitedUpTo :exec
UPDATE account SET limited_up_to = sqlc.arg(up_to) WHERE id = sqlc.arg(id);

-- name: HasCalls :many
-- A row if the account has had a call whose cost or hold a window of a limit may count.
SELECT 1
WHERE EXISTS (SELECT 1 FROM usage_day AS d WHERE d.account_id = sqlc.arg(account_id))
    OR EXISTS (SELECT 1 FROM unfolded_call AS c WHERE c.account_id = sqlc.arg(account_id))
    OR EXISTS (SELECT 1 FROM hold AS h WHERE h.account_id = sqlc.arg(account_id) AND h.fold <> 2);
