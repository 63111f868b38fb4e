-- name: GetHold :one
SELECT * FROM hold WHERE id = $1;

-- name: ListExpiredHolds :many
SELECT * FROM hold
WHERE state = 'open' AND lease_time <= sqlc.arg(at_time) AND (lease_time, id) > (CAST(sqlc.arg(after_lease_time) AS BIGINT), CAST(sqlc.arg(after_id) AS TEXT))
ORDER BY lease_time, id LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: ListHoldsInDebt :many
SELECT id, owed, paid_by FROM hold WHERE account_id = $1 AND owed > 0 ORDER BY settle_time, id;

-- name: PayHold :exec
UPDATE hold SET owed = sqlc.arg(owed), paid_by = sqlc.arg(paid_by) WHERE id = sqlc.arg(id);

-- name: SumOpenHoldsBefore :one
SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM hold
WHERE account_id = sqlc.arg(account_id) AND state = 'open' AND create_time < sqlc.arg(before);
