-- name: GetShare :one
SELECT COUNT(*) FROM person_share WHERE share = $1 AND account_id = $2;

-- name: CountShares :one
-- Those of an account, and those of a person.
SELECT COUNT(*) FROM person_share WHERE share = sqlc.arg(share) AND (account_id = sqlc.arg(account_id) OR person = sqlc.arg(person));

-- name: TakeShare :execrows
INSERT INTO person_share (share, person, account_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: EraseShares :exec
UPDATE person_share SET person = sqlc.arg(user_hash) WHERE person = sqlc.arg(user_id);

-- name: CountCardsSince :one
SELECT COUNT(*) FROM stripe_object AS o JOIN stripe_customer AS c ON c.stripe_id = o.customer
WHERE c.account_id = sqlc.arg(account_id) AND o.kind = 'payment_method' AND o.sequence > 0 AND NOT o.deleted AND o.create_time > sqlc.arg(since);

-- name: CountCards :one
SELECT COUNT(*) FROM stripe_object AS o JOIN stripe_customer AS c ON c.stripe_id = o.customer
WHERE c.account_id = $1 AND o.kind = 'payment_method' AND o.sequence > 0 AND NOT o.deleted;
