-- name: PutReversal :exec
INSERT INTO reversal (id, payment_intent, amount, refund) VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE SET payment_intent = excluded.payment_intent, amount = excluded.amount, refund = excluded.refund;

-- name: ListReversals :many
-- A credit note that has made a refund counts what is beyond the refund. The time is that of the object at Stripe, 0 if it is not stored.
SELECT r.id, r.refund, CAST(r.amount - COALESCE(d.amount, 0) AS BIGINT) AS amount, CAST(COALESCE(o.create_time, 0) AS BIGINT) AS create_time FROM reversal AS r
LEFT JOIN reversal AS d ON d.id = r.refund AND r.refund <> ''
LEFT JOIN stripe_object AS o ON o.id = r.id AND o.kind IN ('refund', 'dispute', 'credit_note')
WHERE r.payment_intent IN (sqlc.arg(payment), sqlc.arg(invoice)) AND r.payment_intent <> '' ORDER BY r.id;
