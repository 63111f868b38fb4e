-- name: InsertCustomer :exec
INSERT INTO customer (account_id, next_time) VALUES ($1, $2) ON CONFLICT (account_id) DO NOTHING;

-- name: ListMissingCustomers :many
SELECT account_id, attempts FROM customer WHERE stripe_id = '' AND next_time <= sqlc.arg(at_time)
ORDER BY next_time LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: LeaseCustomer :execrows
-- Of many replicas one gets the row; when it dies the others may try again at next_time.
UPDATE customer SET attempts = attempts + 1, next_time = sqlc.arg(next_time)
WHERE account_id = sqlc.arg(account_id) AND stripe_id = '' AND attempts = sqlc.arg(attempts);

-- name: SetCustomer :execrows
UPDATE customer SET stripe_id = sqlc.arg(stripe_id) WHERE account_id = sqlc.arg(account_id) AND stripe_id = '';

-- name: GetCustomer :one
SELECT stripe_id FROM customer WHERE account_id = $1;
