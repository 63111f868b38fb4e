-- name: PutReversal :exec
INSERT INTO reversal (id, payment_intent, amount, refund) VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE SET payment_intent = excluded.payment_intent, amount = excluded.amount, refund = excluded.refund;

-- name: ListReversals :many
-- A credit note that has made a refund counts what is beyond the refund.
SELECT r.id, CAST(r.amount - COALESCE(d.amount, 0) AS BIGINT) AS amount FROM reversal AS r
LEFT JOIN reversal AS d ON d.id = r.refund AND r.refund <> ''
WHERE r.payment_intent IN (sqlc.arg(payment), sqlc.arg(invoice)) AND r.payment_intent <> '' ORDER BY r.id;
