-- name: Audit :many
-- The rules of the ledger, each as the rows that break it: got is what stands, want is what should. One statement, so that it
-- sees one moment.
SELECT CAST('an account''s balance is the sum of its entries' AS TEXT) AS rule, a.id AS subject, a.balance AS got, CAST(COALESCE(e.total, 0) AS BIGINT) AS want
FROM account AS a
LEFT JOIN (
    SELECT account_id, SUM(CASE WHEN credit = 'customer:' || account_id THEN amount ELSE -amount END) AS total
    FROM entry GROUP BY account_id
) AS e ON e.account_id = a.id
WHERE a.balance <> COALESCE(e.total, 0)
UNION ALL
SELECT 'an account''s balance is what remains of its grants, less its debt', a.id, a.balance, CAST(COALESCE(g.total, 0) - a.debt AS BIGINT)
FROM account AS a
LEFT JOIN (SELECT account_id, SUM(remaining) AS total FROM credit_grant GROUP BY account_id) AS g ON g.account_id = a.id
WHERE a.balance <> COALESCE(g.total, 0) - a.debt
UNION ALL
SELECT 'what an account holds is the sum of its open holds', a.id, a.held, CAST(COALESCE(h.total, 0) AS BIGINT)
FROM account AS a
LEFT JOIN (SELECT account_id, SUM(amount) AS total FROM hold WHERE state = 'open' GROUP BY account_id) AS h ON h.account_id = a.id
WHERE a.held <> COALESCE(h.total, 0)
UNION ALL
SELECT 'what an API key holds is the sum of its open holds', k.api_key_id, k.held, CAST(COALESCE(h.total, 0) AS BIGINT)
FROM key_spend AS k
LEFT JOIN (
    SELECT account_id, api_key_id, key_window, SUM(amount) AS total FROM hold WHERE state = 'open'
    GROUP BY account_id, api_key_id, key_window
) AS h ON h.account_id = k.account_id AND h.api_key_id = k.api_key_id AND h.key_window = k.window_start
WHERE k.held <> COALESCE(h.total, 0)
UNION ALL
SELECT 'what an API key spent is the cost of its holds', k.api_key_id, k.spent, CAST(COALESCE(h.total, 0) AS BIGINT)
FROM key_spend AS k
LEFT JOIN (
    SELECT account_id, api_key_id, key_window, SUM(cost) AS total FROM hold GROUP BY account_id, api_key_id, key_window
) AS h ON h.account_id = k.account_id AND h.api_key_id = k.api_key_id AND h.key_window = k.window_start
WHERE k.spent <> COALESCE(h.total, 0)
UNION ALL
SELECT 'a hold''s cost is the sum of its entries', h.id, h.cost, CAST(COALESCE(e.total, 0) AS BIGINT)
FROM hold AS h
LEFT JOIN (
    SELECT reference, SUM(CASE WHEN credit = 'revenue:usage' THEN amount ELSE -amount END) AS total
    FROM entry WHERE kind IN ('usage', 'adjustment') GROUP BY reference
) AS e ON e.reference = h.id
WHERE h.cost <> COALESCE(e.total, 0)
UNION ALL
SELECT 'a hold''s usage record has its cost', h.id, COALESCE(u.cost, 0), h.cost
FROM hold AS h
LEFT JOIN usage_record AS u ON u.hold_id = h.id
WHERE h.cost <> COALESCE(u.cost, 0)
UNION ALL
SELECT 'a period''s cost is the sum of its usage records', a.id, a.period_cost, CAST(COALESCE(u.total, 0) AS BIGINT)
FROM account AS a
LEFT JOIN (
    SELECT r.account_id, SUM(r.cost) AS total
    FROM usage_record AS r JOIN account AS b ON b.id = r.account_id AND r.settle_time >= b.period_start_time
    GROUP BY r.account_id
) AS u ON u.account_id = a.id
WHERE a.period_cost <> COALESCE(u.total, 0)
UNION ALL
SELECT 'a period''s requests are its usage records', a.id, a.period_requests, COALESCE(u.requests, 0)
FROM account AS a
LEFT JOIN (
    SELECT r.account_id, COUNT(*) AS requests
    FROM usage_record AS r JOIN account AS b ON b.id = r.account_id AND r.settle_time >= b.period_start_time
    GROUP BY r.account_id
) AS u ON u.account_id = a.id
WHERE a.period_requests <> COALESCE(u.requests, 0)
UNION ALL
SELECT 'a grant has an entry of its amount', g.id, CAST(COALESCE(e.total, 0) AS BIGINT), g.amount
FROM credit_grant AS g
LEFT JOIN (SELECT reference, SUM(amount) AS total FROM entry WHERE kind = 'grant' GROUP BY reference) AS e ON e.reference = g.id
WHERE g.amount <> COALESCE(e.total, 0) AND g.source NOT LIKE 'refund:%'
UNION ALL
SELECT 'an entry moves its account''s balance once', id, CAST(0 AS BIGINT), amount
FROM entry
WHERE (debit = 'customer:' || account_id) = (credit = 'customer:' || account_id)
LIMIT CAST(sqlc.arg(most) AS BIGINT);
