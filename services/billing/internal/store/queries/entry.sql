-- name: ListEntriesBefore :many
SELECT * FROM entry WHERE account_id = sqlc.arg(account_id) AND id < sqlc.arg(before)
ORDER BY id DESC LIMIT CAST(sqlc.arg(most) AS BIGINT);
