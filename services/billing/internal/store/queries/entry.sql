-- name: InsertEntry :exec
INSERT INTO entry (account_id, id, kind, debit, credit, amount, reference, create_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: ListEntriesBefore :many
SELECT * FROM entry WHERE account_id = sqlc.arg(account_id) AND id < sqlc.arg(before)
ORDER BY id DESC LIMIT CAST(sqlc.arg(most) AS BIGINT);
