-- name: InsertGrant :execrows
INSERT INTO credit_grant (id, account_id, source, amount, remaining, create_time, expire_time)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (account_id, source) DO NOTHING;

-- name: GetGrantBySource :one
SELECT * FROM credit_grant WHERE account_id = $1 AND source = $2;

-- name: ListLiveGrants :many
-- Those with something left, in the order in which they burn.
SELECT * FROM credit_grant WHERE account_id = $1 AND remaining > 0 ORDER BY expire_time, create_time, id;

-- name: ListGrants :many
SELECT * FROM credit_grant WHERE account_id = $1 ORDER BY expire_time, create_time, id;

-- name: SetGrantRemaining :exec
UPDATE credit_grant SET remaining = $1 WHERE id = $2;

-- name: BurnFirstGrant :one
-- Takes the cost from the grant that burns first, if that covers it alone, nothing of the account is due, and its sums have room. A hold
-- is paid from credit that was good when it was made.
UPDATE credit_grant SET remaining = remaining - CAST(sqlc.arg(cost) AS BIGINT)
WHERE remaining >= CAST(sqlc.arg(cost) AS BIGINT) AND id = (
    SELECT g.id FROM credit_grant AS g
    WHERE g.account_id = sqlc.arg(account_id) AND g.remaining > 0 AND g.expire_time > CAST(sqlc.arg(good_at) AS BIGINT)
    ORDER BY g.expire_time, g.create_time, g.id
    LIMIT 1
) AND EXISTS (SELECT 1 FROM account AS a WHERE a.id = sqlc.arg(account_id) AND a.due_time > CAST(sqlc.arg(at_time) AS BIGINT)
    AND a.period_start_time <= CAST(sqlc.arg(at_time) AS BIGINT)
    AND a.period_requests <= 8000000000000000000 - CAST(sqlc.arg(requests) AS BIGINT)
    AND a.period_input_tokens <= 8000000000000000000 - CAST(sqlc.arg(input_tokens) AS BIGINT)
    AND a.period_cached_input_tokens <= 8000000000000000000 - CAST(sqlc.arg(cached_input_tokens) AS BIGINT)
    AND a.period_output_tokens <= 8000000000000000000 - CAST(sqlc.arg(output_tokens) AS BIGINT)
    AND a.period_reasoning_tokens <= 8000000000000000000 - CAST(sqlc.arg(reasoning_tokens) AS BIGINT)
    AND a.period_cost <= 8000000000000000000 - CAST(sqlc.arg(cost) AS BIGINT))
RETURNING id;

-- name: GetGrant :one
SELECT * FROM credit_grant WHERE id = $1;
