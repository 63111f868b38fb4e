-- name: GetTopUp :one
SELECT * FROM top_up WHERE account_id = $1;

-- name: PutTopUp :exec
INSERT INTO top_up (account_id, pack_id, threshold, monthly_cap, state, set_time, next_time)
VALUES (sqlc.arg(account_id), sqlc.arg(pack_id), sqlc.arg(threshold), sqlc.arg(monthly_cap), sqlc.arg(state), sqlc.arg(set_time), sqlc.arg(set_time))
ON CONFLICT (account_id) DO UPDATE SET
    pack_id = excluded.pack_id, threshold = excluded.threshold, monthly_cap = excluded.monthly_cap, state = excluded.state, declines = 0,
    set_time = excluded.set_time, next_time = excluded.next_time;

-- name: LastTopUpCharge :one
SELECT CAST(COALESCE(MAX(create_time), 0) AS BIGINT) AS create_time FROM top_up_charge WHERE account_id = $1;

-- name: SetTopUpNext :exec
UPDATE top_up SET next_time = sqlc.arg(next_time) WHERE account_id = sqlc.arg(account_id) AND next_time < sqlc.arg(next_time);

-- name: ListDueTopUps :many
SELECT t.account_id FROM top_up AS t JOIN account AS a ON a.id = t.account_id
WHERE t.state = 'on' AND t.next_time <= sqlc.arg(at_time) AND a.balance <= t.threshold
ORDER BY t.next_time, t.account_id LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: ClaimTopUp :execrows
-- It locks the row: of several processes, one begins a purchase, and the next may begin after next_time.
UPDATE top_up SET next_time = sqlc.arg(next_time)
WHERE account_id = sqlc.arg(account_id) AND state = 'on' AND next_time <= sqlc.arg(at_time) AND set_time = sqlc.arg(set_time);

-- name: SumTopUps :one
SELECT CAST(COALESCE(SUM(cents), 0) AS BIGINT) AS cents FROM top_up_charge
WHERE account_id = sqlc.arg(account_id) AND create_time >= sqlc.arg(since) AND state IN ('new', 'closing', 'paid');

-- name: InsertTopUpCharge :execrows
INSERT INTO top_up_charge (id, account_id, pack_id, price, cents, state, create_time, next_time)
VALUES (sqlc.arg(id), sqlc.arg(account_id), sqlc.arg(pack_id), sqlc.arg(price), sqlc.arg(cents), 'new', sqlc.arg(create_time), sqlc.arg(create_time))
ON CONFLICT DO NOTHING;

-- name: ListOpenTopUpCharges :many
SELECT * FROM top_up_charge
WHERE state IN ('new', 'closing') AND next_time <= sqlc.arg(at_time) ORDER BY next_time, id LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: GetTopUpCharge :one
SELECT * FROM top_up_charge WHERE id = $1;

-- name: ListTopUpCharges :many
SELECT * FROM top_up_charge WHERE account_id = sqlc.arg(account_id) ORDER BY create_time DESC, id DESC LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: SaveTopUpCharge :execrows
-- An attempt that another process has overtaken writes nothing.
UPDATE top_up_charge SET
    state = sqlc.arg(state), verdict = sqlc.arg(verdict), next_time = sqlc.arg(next_time), attempts = sqlc.arg(attempts),
    spent_keys = sqlc.arg(spent_keys), customer_id = sqlc.arg(customer_id), invoice_id = sqlc.arg(invoice_id), item_id = sqlc.arg(item_id),
    problem = sqlc.arg(problem)
WHERE id = sqlc.arg(id) AND state IN ('new', 'closing') AND attempts <= sqlc.arg(attempts);

-- name: CountTopUpDecline :exec
-- The third decline in a row turns it off; some turn it off at once.
UPDATE top_up SET
    declines = declines + 1,
    state = CASE
        WHEN state <> 'on' THEN state
        WHEN CAST(sqlc.arg(verdict) AS TEXT) <> 'declined' THEN CAST(sqlc.arg(verdict) AS TEXT)
        WHEN declines >= 2 THEN 'declined'
        ELSE state
    END
WHERE account_id = sqlc.arg(account_id) AND set_time <= sqlc.arg(create_time);

-- name: ClearTopUpDeclines :exec
UPDATE top_up SET declines = 0 WHERE account_id = $1;

-- name: LockTopUp :exec
UPDATE top_up SET declines = declines WHERE account_id = $1;

-- name: EndTopUp :exec
UPDATE top_up SET state = 'off' WHERE account_id = $1 AND state = 'on';

-- name: StopTopUp :one
UPDATE top_up SET state = 'disputed' WHERE account_id = sqlc.arg(account_id) AND state = 'on' AND set_time <= sqlc.arg(at_time) RETURNING set_time;

-- name: RefuseTopUp :one
-- A refund of an automatic purchase turns it off, or the card would be charged again.
UPDATE top_up SET state = 'off' WHERE top_up.account_id = sqlc.arg(account_id) AND top_up.state = 'on' AND top_up.set_time <= sqlc.arg(at_time) AND EXISTS (
    SELECT 1 FROM purchase AS p WHERE p.account_id = top_up.account_id AND SUBSTR(p.source, 1, 6) = 'topup:'
    AND (p.payment = sqlc.arg(paid) OR p.invoice = sqlc.arg(paid) OR p.payment_intent = sqlc.arg(paid))
) RETURNING set_time;

-- name: DropTopUp :exec
DELETE FROM top_up WHERE account_id = $1;

-- name: TopUpRefusalsBegin :one
-- From when on purchases that Stripe refused for another reason than the card belong together: since the setting was made and after the last one that was
-- paid or declined.
SELECT CAST(MAX(b.at_time) AS BIGINT) FROM (
    SELECT t.set_time AS at_time FROM top_up AS t WHERE t.account_id = sqlc.arg(account_id)
    UNION ALL
    SELECT d.create_time + 1 FROM top_up_charge AS d WHERE d.account_id = sqlc.arg(account_id) AND d.state IN ('paid', 'declined')
    UNION ALL
    SELECT 0
) AS b;

-- name: FirstTopUpRefusal :one
-- When the latest series began of purchases that Stripe refused for the same problem: there was none in the pause before it. 0 for none.
SELECT CAST(COALESCE(MAX(c.create_time), 0) AS BIGINT) FROM top_up_charge AS c
WHERE c.account_id = sqlc.arg(account_id) AND c.state = 'canceled' AND c.problem = sqlc.arg(problem) AND c.create_time >= sqlc.arg(since)
    AND NOT EXISTS (
        SELECT 1 FROM top_up_charge AS p
        WHERE p.account_id = c.account_id AND p.state = 'canceled' AND p.problem = c.problem AND p.create_time >= sqlc.arg(since)
            AND p.create_time < c.create_time AND p.create_time >= c.create_time - CAST(sqlc.arg(pause) AS BIGINT)
    );
