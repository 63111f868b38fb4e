-- name: InsertErasedUser :exec
INSERT INTO erased_user (user_hash, erase_time) VALUES ($1, $2) ON CONFLICT (user_hash) DO NOTHING;

-- name: DropCustomerTurn :exec
UPDATE customer SET next_time = 9223372036854775807 WHERE account_id = $1 AND stripe_id = '';

-- name: InsertErasedCustomer :exec
INSERT INTO erased_customer (stripe_id) VALUES ($1) ON CONFLICT (stripe_id) DO NOTHING;

-- name: InsertErasedCustomerOf :exec
INSERT INTO erased_customer (stripe_id)
SELECT CAST(sqlc.arg(stripe_id) AS TEXT) FROM erased_user WHERE user_hash = sqlc.arg(account_hash)
ON CONFLICT (stripe_id) DO NOTHING;

-- name: IsErasedCustomer :one
SELECT COUNT(*) FROM erased_customer WHERE stripe_id = $1;

-- name: IsErasedUser :one
SELECT COUNT(*) FROM erased_user WHERE user_hash = $1;
