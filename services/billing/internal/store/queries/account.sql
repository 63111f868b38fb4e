-- name: GetAccount :one
SELECT * FROM account WHERE id = $1;

-- name: LockAccount :one
-- An update that changes nothing, because SQLite knows no FOR UPDATE.
UPDATE account SET held = held WHERE id = $1 RETURNING *;

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

-- name: SaveAccount :exec
UPDATE account SET
    balance = sqlc.arg(balance), held = sqlc.arg(held), debt = sqlc.arg(debt),
    period_start_time = sqlc.arg(period_start_time), period_end_time = sqlc.arg(period_end_time), due_time = sqlc.arg(due_time),
    period_requests = sqlc.arg(period_requests), period_input_tokens = sqlc.arg(period_input_tokens),
    period_cached_input_tokens = sqlc.arg(period_cached_input_tokens), period_output_tokens = sqlc.arg(period_output_tokens),
    period_reasoning_tokens = sqlc.arg(period_reasoning_tokens), period_cost = sqlc.arg(period_cost)
WHERE id = sqlc.arg(id);

-- name: HoldCredit :one
-- The one statement that promises money: it can't overspend however many ask at once.
UPDATE account SET held = held + CAST(sqlc.arg(amount) AS BIGINT)
WHERE id = sqlc.arg(id) AND due_time > CAST(sqlc.arg(at_time) AS BIGINT) AND period_start_time <= CAST(sqlc.arg(at_time) AS BIGINT)
    AND balance - held >= CAST(sqlc.arg(amount) AS BIGINT)
RETURNING plan, key_limited;

-- name: ReleaseCredit :exec
UPDATE account SET held = held - CAST(sqlc.arg(amount) AS BIGINT) WHERE id = sqlc.arg(id);

-- name: ChargeAccount :one
-- Less is held than the hold says only when the hold is closed already. A clock that is behind must not put usage of a past
-- period into the sums of the present one. No sum leaves its bound.
UPDATE account SET
    balance = balance - CAST(sqlc.arg(cost) AS BIGINT),
    held = held - CAST(sqlc.arg(amount) AS BIGINT),
    period_requests = period_requests + CAST(sqlc.arg(requests) AS BIGINT),
    period_input_tokens = period_input_tokens + CAST(sqlc.arg(input_tokens) AS BIGINT),
    period_cached_input_tokens = period_cached_input_tokens + CAST(sqlc.arg(cached_input_tokens) AS BIGINT),
    period_output_tokens = period_output_tokens + CAST(sqlc.arg(output_tokens) AS BIGINT),
    period_reasoning_tokens = period_reasoning_tokens + CAST(sqlc.arg(reasoning_tokens) AS BIGINT),
    period_cost = period_cost + CAST(sqlc.arg(cost) AS BIGINT)
WHERE id = sqlc.arg(id) AND due_time > CAST(sqlc.arg(at_time) AS BIGINT) AND period_start_time <= CAST(sqlc.arg(at_time) AS BIGINT)
    AND held >= CAST(sqlc.arg(amount) AS BIGINT)
    AND period_requests <= 8000000000000000000 - CAST(sqlc.arg(requests) AS BIGINT)
    AND period_input_tokens <= 8000000000000000000 - CAST(sqlc.arg(input_tokens) AS BIGINT)
    AND period_cached_input_tokens <= 8000000000000000000 - CAST(sqlc.arg(cached_input_tokens) AS BIGINT)
    AND period_output_tokens <= 8000000000000000000 - CAST(sqlc.arg(output_tokens) AS BIGINT)
    AND period_reasoning_tokens <= 8000000000000000000 - CAST(sqlc.arg(reasoning_tokens) AS BIGINT)
    AND period_cost <= 8000000000000000000 - CAST(sqlc.arg(cost) AS BIGINT)
RETURNING balance, key_limited;

-- name: LimitKeys :exec
-- From here on the calls of the account's keys look for the windows of their limits.
UPDATE account SET key_limited = TRUE WHERE id = $1;
