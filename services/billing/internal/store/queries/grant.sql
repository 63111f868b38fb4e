-- name: InsertGrant :execrows
INSERT INTO credit_grant (id, account_id, source, amount, remaining, create_time, expire_time, paid_before)
VALUES ($1, $2, $3, $4, $5, $6, $7, 0)
ON CONFLICT (account_id, source) DO NOTHING;

-- name: GetGrantBySource :one
SELECT * FROM credit_grant WHERE account_id = $1 AND source = $2;

-- name: ListGrants :many
SELECT * FROM credit_grant WHERE account_id = $1 ORDER BY expire_time, create_time, id;

-- name: GetGrant :one
SELECT * FROM credit_grant WHERE id = $1;

-- name: AddPaidBefore :exec
-- Adds what a grant paid for a hold that is deleted, or for debt of no hold. What is not known stays so.
UPDATE credit_grant SET paid_before = paid_before + CAST(sqlc.arg(amount) AS BIGINT) WHERE id = sqlc.arg(id);
