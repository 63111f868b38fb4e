-- name: InsertCustomer :exec
INSERT INTO customer (account_id, next_time) VALUES ($1, 9223372036854775807) ON CONFLICT (account_id) DO NOTHING;

-- name: GetCustomerRow :one
SELECT * FROM customer WHERE account_id = $1;

-- name: BeginCustomer :exec
-- Counts an attempt, before Stripe is called.
UPDATE customer SET
    attempts = attempts + 1,
    first_time = CASE WHEN first_time = 0 THEN CAST(sqlc.arg(at_time) AS BIGINT) ELSE first_time END
WHERE account_id = sqlc.arg(account_id) AND stripe_id = '';

-- name: SpendCustomerKey :exec
UPDATE customer SET spent_keys = spent_keys + 1 WHERE account_id = $1;

-- name: SaveCustomer :exec
UPDATE customer SET stripe_id = sqlc.arg(stripe_id) WHERE account_id = sqlc.arg(account_id) AND stripe_id = '';

-- name: DropCustomer :exec
-- Stripe has deleted it: the next checkout makes another one, under another key.
UPDATE customer SET stripe_id = '', attempts = 0, first_time = 0, spent_keys = spent_keys + 1 WHERE stripe_id = $1;

-- name: GetCustomer :one
SELECT stripe_id FROM customer WHERE account_id = $1;

-- name: InsertStripeCustomer :exec
INSERT INTO stripe_customer (stripe_id, account_id) VALUES ($1, $2) ON CONFLICT (stripe_id) DO NOTHING;

-- name: GetAccountOfCustomer :one
SELECT account_id FROM stripe_customer WHERE stripe_id = $1;

-- name: ListCustomersOfAccount :many
SELECT stripe_id FROM stripe_customer WHERE account_id = $1 ORDER BY stripe_id;
