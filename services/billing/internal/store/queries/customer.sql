-- name: InsertCustomer :exec
INSERT INTO customer (account_id, next_time) VALUES ($1, $2) ON CONFLICT (account_id) DO NOTHING;

-- name: ListMissingCustomers :many
SELECT account_id, attempts, spent_keys, first_time FROM customer WHERE stripe_id = '' AND next_time <= sqlc.arg(at_time)
ORDER BY next_time LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: LeaseCustomer :execrows
-- Of many replicas one gets the row; should it die, another tries again at next_time.
UPDATE customer SET
    attempts = attempts + 1, next_time = sqlc.arg(next_time),
    first_time = CASE WHEN first_time = 0 THEN CAST(sqlc.arg(at_time) AS BIGINT) ELSE first_time END
WHERE account_id = sqlc.arg(account_id) AND stripe_id = '' AND attempts = sqlc.arg(attempts);

-- name: SpendCustomerKey :exec
UPDATE customer SET spent_keys = spent_keys + 1 WHERE account_id = $1;

-- name: SaveCustomer :exec
UPDATE customer SET stripe_id = sqlc.arg(stripe_id) WHERE account_id = sqlc.arg(account_id) AND stripe_id = '';

-- name: GetCustomer :one
SELECT stripe_id FROM customer WHERE account_id = $1;
