-- name: PutReversal :exec
INSERT INTO reversal (id, payment_intent, amount) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET payment_intent = excluded.payment_intent, amount = excluded.amount;

-- name: ListReversals :many
SELECT id, amount FROM reversal WHERE payment_intent = $1 ORDER BY id;
