-- name: ListUnfoldedCalls :many
SELECT close_time, hold_id, user_id, fold, charged, record, overage FROM unfolded_call
WHERE account_id = sqlc.arg(account_id) ORDER BY close_time, hold_id LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: DeleteUnfoldedCalls :execrows
-- Those up to one.
DELETE FROM unfolded_call
WHERE account_id = sqlc.arg(account_id) AND (close_time, hold_id) <= (CAST(sqlc.arg(close_time) AS BIGINT), CAST(sqlc.arg(hold_id) AS TEXT));

-- name: DeleteUnfoldedCall :execrows
DELETE FROM unfolded_call WHERE account_id = $1 AND close_time = $2 AND hold_id = $3;
