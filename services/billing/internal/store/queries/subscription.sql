-- name: ListBilled :many
-- Objects of all customers of an account, newest first, behind the one with this time and id.
SELECT o.* FROM stripe_object AS o
JOIN stripe_customer AS c ON c.stripe_id = o.customer
WHERE c.account_id = sqlc.arg(account_id) AND o.kind = sqlc.arg(kind) AND o.sequence > 0 AND NOT o.deleted
  AND (o.create_time < sqlc.arg(before_time) OR o.create_time = sqlc.arg(before_time) AND o.id > sqlc.arg(after_id))
ORDER BY o.create_time DESC, o.id LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: GetSubscription :one
SELECT * FROM subscription WHERE account_id = $1;

-- name: PutSubscription :exec
INSERT INTO subscription (
    account_id, stripe_id, plan_id, version, billing_interval, status, access, seats, period_start_time, period_end_time, trial_end_time,
    cancel_time, next_time, change_plan_id, change_version, change_interval, change_seats, change_time
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
ON CONFLICT (account_id) DO UPDATE SET
    stripe_id = excluded.stripe_id, plan_id = excluded.plan_id, version = excluded.version, billing_interval = excluded.billing_interval,
    status = excluded.status, access = excluded.access, seats = excluded.seats, period_start_time = excluded.period_start_time,
    period_end_time = excluded.period_end_time, trial_end_time = excluded.trial_end_time, cancel_time = excluded.cancel_time,
    next_time = excluded.next_time, change_plan_id = excluded.change_plan_id, change_version = excluded.change_version,
    change_interval = excluded.change_interval, change_seats = excluded.change_seats, change_time = excluded.change_time;

-- name: ListDueSubscriptions :many
SELECT account_id FROM subscription WHERE next_time <= sqlc.arg(at_time) ORDER BY next_time LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: ListSold :many
-- The subscriptions at Stripe that are not over, by id, with what their accounts follow.
SELECT o.id, c.account_id, o.body, COALESCE(s.stripe_id, '') AS followed, COALESCE(s.plan_id, '') AS plan_id, CAST(COALESCE(s.version, 0) AS BIGINT) AS version
FROM stripe_object AS o
JOIN stripe_customer AS c ON c.stripe_id = o.customer
LEFT JOIN subscription AS s ON s.account_id = c.account_id AND s.access <> 'ended'
WHERE o.kind = 'subscription' AND o.id > sqlc.arg(after) AND o.sequence > 0 AND NOT o.deleted
    AND o.status NOT IN ('canceled', 'incomplete', 'incomplete_expired')
ORDER BY o.id LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: CountSubscribers :one
SELECT COUNT(*) FROM subscription WHERE plan_id = sqlc.arg(plan_id) AND version = sqlc.arg(version) AND access <> 'ended';

-- name: ListSubscribers :many
SELECT account_id FROM subscription
WHERE plan_id = sqlc.arg(plan_id) AND version = sqlc.arg(version) AND access <> 'ended' AND account_id > sqlc.arg(after)
ORDER BY account_id LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: SetPlan :exec
UPDATE account SET plan = $1 WHERE id = $2;

-- name: EndGrants :execrows
UPDATE credit_grant SET expire_time = sqlc.arg(at_time) WHERE account_id = sqlc.arg(account_id) AND expire_time > sqlc.arg(at_time)
AND SUBSTR(source, 1, LENGTH(CAST(sqlc.arg(source_prefix) AS TEXT))) = CAST(sqlc.arg(source_prefix) AS TEXT);

-- name: ListGrantsOf :many
-- The grants of a source, and those whose sources begin with it and a colon.
SELECT * FROM credit_grant WHERE account_id = sqlc.arg(account_id)
AND SUBSTR(source || ':', 1, LENGTH(CAST(sqlc.arg(source) AS TEXT)) + 1) = CAST(sqlc.arg(source) AS TEXT) || ':' ORDER BY create_time, id;

-- name: ExtendGrant :exec
UPDATE credit_grant SET expire_time = sqlc.arg(until) WHERE id = sqlc.arg(id) AND expire_time < sqlc.arg(until);

-- name: SumExpired :one
-- What has expired of a grant, or was taken back, less what came back. It reads all entries of the account: it is rarely asked.
SELECT CAST(COALESCE(SUM(CASE WHEN debit = 'expired:credit' THEN -amount ELSE amount END), 0) AS BIGINT) FROM entry
WHERE account_id = sqlc.arg(account_id) AND kind = 'expiry' AND reference = sqlc.arg(grant_id);

-- name: PostponeSubscription :exec
UPDATE subscription SET next_time = sqlc.arg(next_time) WHERE account_id = sqlc.arg(account_id) AND next_time <= sqlc.arg(now);

-- name: HasPurchase :one
SELECT EXISTS (SELECT 1 FROM purchase WHERE payment_intent = $1);

-- name: InsertPurchase :execrows
INSERT INTO purchase (payment_intent, account_id, source, changes, credit, total, payment, invoice) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (payment_intent) DO NOTHING;

-- name: ListPurchases :many
-- What a payment is for, by the payment or by the invoice. A process of an earlier version writes the payment into the key only.
SELECT * FROM purchase WHERE payment = $1 OR invoice = $1 OR payment_intent = $1 ORDER BY payment_intent;

-- name: ListPurchasesOf :many
-- What paid for the grants of a source, and for those whose sources begin with it and a colon.
SELECT * FROM purchase WHERE account_id = sqlc.arg(account_id)
AND SUBSTR(source || ':', 1, LENGTH(CAST(sqlc.arg(source) AS TEXT)) + 1) = CAST(sqlc.arg(source) AS TEXT) || ':' ORDER BY payment_intent;

-- name: DeletePurchase :exec
DELETE FROM purchase WHERE payment_intent = $1;

-- name: ListWaitingPurchases :many
SELECT * FROM purchase WHERE account_id = $1 AND waiting > 0 ORDER BY payment_intent;

-- name: ListReversedPurchases :many
SELECT * FROM purchase AS p WHERE p.account_id = $1 AND EXISTS (
    SELECT 1 FROM reversal AS r WHERE r.amount > 0 AND r.payment_intent <> '' AND r.payment_intent IN (p.payment, p.invoice, p.payment_intent)
) ORDER BY p.payment_intent;

-- name: SetClawed :exec
UPDATE purchase SET clawed = $1, waiting = $2 WHERE payment_intent = $3;
