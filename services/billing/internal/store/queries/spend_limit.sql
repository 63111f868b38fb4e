-- name: PutSpendLimit :one
INSERT INTO spend_limit (account_id, subject_kind, subject_id, period, id, amount, create_time, update_time)
VALUES (sqlc.arg(account_id), sqlc.arg(subject_kind), sqlc.arg(subject_id), sqlc.arg(period), sqlc.arg(id), sqlc.arg(amount), sqlc.arg(now), sqlc.arg(now))
ON CONFLICT (account_id, subject_kind, subject_id, period) DO UPDATE SET amount = excluded.amount, update_time = excluded.update_time
RETURNING *;

-- name: CountSpendLimits :one
SELECT COUNT(*) FROM spend_limit WHERE account_id = $1;

-- name: GetSpendLimit :one
SELECT * FROM spend_limit WHERE account_id = $1 AND id = $2;

-- name: DeleteSpendLimit :one
DELETE FROM spend_limit WHERE account_id = $1 AND id = $2 RETURNING *;

-- name: DeleteSpendLimitsOfUser :exec
DELETE FROM spend_limit WHERE subject_kind = 'member' AND subject_id = $1;

-- name: ListSpendLimits :many
-- After a limit, in the order of the key. An empty kind means both, and an empty subject all.
SELECT * FROM spend_limit
WHERE account_id = sqlc.arg(account_id)
    AND (subject_kind, subject_id, period) > (CAST(sqlc.arg(after_kind) AS TEXT), CAST(sqlc.arg(after_subject_id) AS TEXT), CAST(sqlc.arg(after_period) AS BIGINT))
    AND (CAST(sqlc.arg(only_kind) AS TEXT) = '' OR subject_kind = sqlc.arg(only_kind))
    AND (CAST(sqlc.arg(only_subject_id) AS TEXT) = '' OR subject_id = sqlc.arg(only_subject_id) OR subject_id = CAST(sqlc.arg(or_subject_id) AS TEXT))
ORDER BY subject_kind, subject_id, period LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: SetSpendLimited :exec
UPDATE account SET spend_limited = sqlc.arg(limited) WHERE id = sqlc.arg(id);
