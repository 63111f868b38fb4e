-- name: PutReplacement :exec
INSERT INTO replaced_schedule (account_id, subscription, schedule, price, quantity, check_time) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (account_id) DO UPDATE SET
    subscription = excluded.subscription, schedule = excluded.schedule, price = excluded.price, quantity = excluded.quantity,
    check_time = excluded.check_time;

-- name: GetReplacement :one
SELECT * FROM replaced_schedule WHERE account_id = $1;

-- name: DropReplacement :exec
DELETE FROM replaced_schedule WHERE account_id = $1;

-- name: ListDueReplacements :many
SELECT account_id FROM replaced_schedule WHERE check_time <= sqlc.arg(at_time) ORDER BY check_time LIMIT CAST(sqlc.arg(most) AS BIGINT);
