-- name: Audit :many
-- The rules of the ledger, each as a row for what it is about: got is what is stored, want is what it should be, in two parts: billions
-- and the rest, because a sum may be beyond 64 bits. Rows whose want is not their got break a rule. One statement, so that it sees
-- one moment.
SELECT c.rule, c.subject, c.got, c.want_high, c.want_low FROM (
    SELECT
        CAST('an account''s balance is the sum of its entries and of what is not folded' AS TEXT) AS rule, a.id AS subject, a.balance AS got,
        CAST(COALESCE(e.high, 0) AS BIGINT) AS want_high, CAST(COALESCE(e.low, 0) AS BIGINT) AS want_low
    FROM account AS a
    LEFT JOIN (
        SELECT m.account_id, SUM(m.high) AS high, SUM(m.low) AS low FROM (
            SELECT
                account_id,
                CASE WHEN credit = 'customer:' || account_id THEN amount / 1000000000 ELSE -(amount / 1000000000) END AS high,
                CASE WHEN credit = 'customer:' || account_id THEN amount % 1000000000 ELSE -(amount % 1000000000) END AS low
            FROM entry
            UNION ALL
            SELECT account_id, -(charged / 1000000000) + overage / 1000000000, -(charged % 1000000000) + overage % 1000000000 FROM unfolded_call
            UNION ALL
            SELECT account_id, -(cost / 1000000000), -(cost % 1000000000) FROM hold WHERE fold = 1 AND state <> 'open' AND usage_id = ''
        ) AS m GROUP BY m.account_id
    ) AS e ON e.account_id = a.id
    UNION ALL
    SELECT
        'an account''s balance is what remains of its grants, less its debt', a.id, a.balance,
        CAST(COALESCE(g.high, 0) - a.debt / 1000000000 AS BIGINT), CAST(COALESCE(g.low, 0) - a.debt % 1000000000 AS BIGINT)
    FROM account AS a
    LEFT JOIN (
        SELECT account_id, SUM(remaining / 1000000000) AS high, SUM(remaining % 1000000000) AS low FROM credit_grant GROUP BY account_id
    ) AS g ON g.account_id = a.id
    UNION ALL
    SELECT
        'an account''s overage is the sum of its entries and of what is not folded', a.id, a.overage_total,
        CAST(COALESCE(e.high, 0) AS BIGINT), CAST(COALESCE(e.low, 0) AS BIGINT)
    FROM account AS a
    LEFT JOIN (
        SELECT m.account_id, SUM(m.high) AS high, SUM(m.low) AS low FROM (
            SELECT
                account_id,
                CASE WHEN debit = 'receivable:stripe' THEN amount / 1000000000 ELSE -(amount / 1000000000) END AS high,
                CASE WHEN debit = 'receivable:stripe' THEN amount % 1000000000 ELSE -(amount % 1000000000) END AS low
            FROM entry WHERE kind = 'adjustment' AND (debit = 'receivable:stripe' OR credit = 'receivable:stripe')
            UNION ALL
            SELECT account_id, overage / 1000000000, overage % 1000000000 FROM unfolded_call WHERE overage > 0
        ) AS m GROUP BY m.account_id
    ) AS e ON e.account_id = a.id
    UNION ALL
    SELECT
        'an account''s overage is the sum of its periods', a.id, a.overage_total,
        CAST(COALESCE(SUM(p.amount / 1000000000), 0) AS BIGINT), CAST(COALESCE(SUM(p.amount % 1000000000), 0) AS BIGINT)
    FROM account AS a LEFT JOIN overage_period AS p ON p.account_id = a.id
    GROUP BY a.id, a.overage_total
    UNION ALL
    SELECT
        'what is used of an account''s cap is the overage of the periods that share it', a.id, a.overage_used,
        CAST(COALESCE(SUM(p.amount / 1000000000), 0) AS BIGINT), CAST(COALESCE(SUM(p.amount % 1000000000), 0) AS BIGINT)
    FROM account AS a LEFT JOIN overage_period AS p ON p.account_id = a.id AND p.start_time >= a.overage_start_time
    GROUP BY a.id, a.overage_used
    UNION ALL
    SELECT
        'the charges of an account''s overage are the sum of their cents', b.account_id, b.charged,
        CAST(COALESCE(SUM(c.cents / 100), 0) AS BIGINT), CAST(COALESCE(SUM(c.cents % 100), 0) * 10000000 AS BIGINT)
    FROM overage_billing AS b LEFT JOIN overage_charge AS c ON c.account_id = b.account_id
    GROUP BY b.account_id, b.charged
    UNION ALL
    SELECT
        'what an account holds is the sum of its open holds', a.id, a.held,
        CAST(COALESCE(h.high, 0) AS BIGINT), CAST(COALESCE(h.low, 0) AS BIGINT)
    FROM account AS a
    LEFT JOIN (
        SELECT account_id, SUM(amount / 1000000000) AS high, SUM(amount % 1000000000) AS low
        FROM hold WHERE state = 'open' GROUP BY account_id
    ) AS h ON h.account_id = a.id
    UNION ALL
    -- A window of an account whose holds are not all limited, such as one that an older version has made, counts calls that these rules do not find.
    SELECT
        'what an API key holds in a window is the sum of its open holds', w.api_key_id, w.held,
        CAST(COALESCE(SUM(h.amount / 1000000000), 0) AS BIGINT), CAST(COALESCE(SUM(h.amount % 1000000000), 0) AS BIGINT)
    FROM key_window AS w JOIN account AS a ON a.id = w.account_id AND a.limited_up_to = 'all'
    LEFT JOIN hold AS h ON h.account_id = w.account_id AND h.api_key_id = w.api_key_id AND h.api_key_id <> '' AND h.limited AND h.state = 'open'
        AND h.create_time >= w.start_time AND h.create_time < w.end_time
    GROUP BY w.account_id, w.api_key_id, w.period, w.start_time, w.held
    UNION ALL
    SELECT
        'what an API key spent in a window is the cost of its holds', w.api_key_id, w.spent,
        CAST(COALESCE(SUM(h.cost / 1000000000), 0) AS BIGINT) + CAST((
            SELECT COALESCE(SUM(d.spent / 1000000000), 0) FROM key_day AS d WHERE d.account_id = w.account_id AND d.api_key_id = w.api_key_id
                AND d.day >= w.start_time / 86400000000 AND d.day * 86400000000 < w.end_time
        ) AS BIGINT),
        CAST(COALESCE(SUM(h.cost % 1000000000), 0) AS BIGINT) + CAST((
            SELECT COALESCE(SUM(d.spent % 1000000000), 0) FROM key_day AS d WHERE d.account_id = w.account_id AND d.api_key_id = w.api_key_id
                AND d.day >= w.start_time / 86400000000 AND d.day * 86400000000 < w.end_time
        ) AS BIGINT)
    FROM key_window AS w JOIN account AS a ON a.id = w.account_id AND a.limited_up_to = 'all'
    LEFT JOIN hold AS h ON h.account_id = w.account_id AND h.api_key_id = w.api_key_id AND h.api_key_id <> '' AND h.limited
        AND h.create_time >= w.start_time AND h.create_time < w.end_time
    WHERE w.spent < 8000000000000000000 -- at the bound it counts no more
        -- A window that shares a day of deleted holds with another cannot be compared.
        AND (w.start_time % 86400000000 = 0 AND w.end_time % 86400000000 = 0 OR NOT EXISTS (
            SELECT 1 FROM key_day AS d WHERE d.account_id = w.account_id AND d.api_key_id = w.api_key_id
                AND d.day >= w.start_time / 86400000000 AND d.day * 86400000000 < w.end_time
        ))
    GROUP BY w.account_id, w.api_key_id, w.period, w.start_time, w.spent
    UNION ALL
    SELECT
        'what a member holds in a window is the sum of its open holds', w.user_id, w.held,
        CAST(COALESCE(SUM(h.amount / 1000000000), 0) AS BIGINT), CAST(COALESCE(SUM(h.amount % 1000000000), 0) AS BIGINT)
    FROM member_window AS w JOIN account AS a ON a.id = w.account_id AND a.limited_up_to = 'all'
    LEFT JOIN hold AS h ON h.account_id = w.account_id AND h.user_id = w.user_id AND h.user_id <> '' AND h.limited AND h.state = 'open'
        AND h.create_time >= w.start_time AND h.create_time < w.end_time
    GROUP BY w.account_id, w.user_id, w.period, w.start_time, w.held
    UNION ALL
    SELECT
        'what a member spent in a window is the cost of its holds', w.user_id, w.spent,
        CAST(COALESCE(SUM(h.cost / 1000000000), 0) AS BIGINT) + CAST((
            SELECT COALESCE(SUM(d.spent / 1000000000), 0) FROM member_day AS d WHERE d.account_id = w.account_id AND d.user_id = w.user_id
                AND d.day >= w.start_time / 86400000000 AND d.day * 86400000000 < w.end_time
        ) AS BIGINT),
        CAST(COALESCE(SUM(h.cost % 1000000000), 0) AS BIGINT) + CAST((
            SELECT COALESCE(SUM(d.spent % 1000000000), 0) FROM member_day AS d WHERE d.account_id = w.account_id AND d.user_id = w.user_id
                AND d.day >= w.start_time / 86400000000 AND d.day * 86400000000 < w.end_time
        ) AS BIGINT)
    FROM member_window AS w JOIN account AS a ON a.id = w.account_id AND a.limited_up_to = 'all'
    LEFT JOIN hold AS h ON h.account_id = w.account_id AND h.user_id = w.user_id AND h.user_id <> '' AND h.limited
        AND h.create_time >= w.start_time AND h.create_time < w.end_time
    WHERE w.spent < 8000000000000000000 -- at the bound it counts no more
        -- A window that shares a day of deleted holds with another cannot be compared.
        AND (w.start_time % 86400000000 = 0 AND w.end_time % 86400000000 = 0 OR NOT EXISTS (
            SELECT 1 FROM member_day AS d WHERE d.account_id = w.account_id AND d.user_id = w.user_id
                AND d.day >= w.start_time / 86400000000 AND d.day * 86400000000 < w.end_time
        ))
    GROUP BY w.account_id, w.user_id, w.period, w.start_time, w.spent
    UNION ALL
    SELECT
        'a hold of an account with windows of limits is found by them', h.id, CAST(0 AS BIGINT), CAST(0 AS BIGINT), CAST(1 AS BIGINT)
    FROM hold AS h JOIN account AS a ON a.id = h.account_id
    WHERE NOT h.limited AND a.limited_up_to = 'all' AND (h.cost > 0 OR h.state = 'open')
    UNION ALL
    SELECT
        'the cost of a hold that has entries of its own is their sum', h.id, h.cost,
        CAST(COALESCE(e.high, 0) AS BIGINT), CAST(COALESCE(e.low, 0) AS BIGINT)
    FROM hold AS h
    LEFT JOIN (
        SELECT
            reference,
            SUM(CASE WHEN credit = 'revenue:usage' THEN amount / 1000000000 ELSE -(amount / 1000000000) END) AS high,
            SUM(CASE WHEN credit = 'revenue:usage' THEN amount % 1000000000 ELSE -(amount % 1000000000) END) AS low
        FROM entry WHERE kind IN ('usage', 'adjustment') AND reference NOT LIKE 'usage_%' -- not those of segments, which are many
            AND debit <> 'receivable:stripe' AND credit <> 'receivable:stripe'
        GROUP BY reference
    ) AS e ON e.reference = h.id
    WHERE h.usage_id <> '' OR h.fold = 3 OR h.state = 'swept' OR h.id IN (SELECT c.hold_id FROM unfolded_call AS c WHERE c.fold = 3)
    UNION ALL
    SELECT
        'a hold''s usage record has its cost', h.id, COALESCE(u.cost, 0),
        CAST(h.cost / 1000000000 AS BIGINT), CAST(h.cost % 1000000000 AS BIGINT)
    FROM hold AS h
    LEFT JOIN usage_record AS u ON u.account_id = h.account_id AND u.id = h.usage_id
    WHERE h.usage_id <> ''
    UNION ALL
    SELECT
        'a call that is to be folded has a closed hold of its charge', c.hold_id, c.charged,
        CAST(COALESCE(h.cost, -1) / 1000000000 AS BIGINT), CAST(COALESCE(h.cost, -1) % 1000000000 AS BIGINT)
    FROM unfolded_call AS c LEFT JOIN hold AS h ON h.id = c.hold_id AND h.state <> 'open' AND h.settle_time = c.close_time
    WHERE c.fold = 1 OR h.id IS NULL
    UNION ALL
    SELECT
        'a segment''s charge has an entry', s.id, s.charged,
        CAST(COALESCE(e.high, 0) AS BIGINT), CAST(COALESCE(e.low, 0) AS BIGINT)
    FROM usage_segment AS s
    LEFT JOIN (
        SELECT reference, SUM(amount / 1000000000) AS high, SUM(amount % 1000000000) AS low FROM entry WHERE kind = 'usage' GROUP BY reference
    ) AS e ON e.reference = s.id
    UNION ALL
    SELECT
        'a hold owes at most its cost', h.id, h.owed, CAST(h.cost / 1000000000 AS BIGINT), CAST(h.cost % 1000000000 AS BIGINT)
    FROM hold AS h WHERE h.owed > h.cost
    UNION ALL
    SELECT
        'an account''s debt covers what its holds owe', a.id, a.debt, CAST(h.high AS BIGINT), CAST(h.low AS BIGINT)
    FROM account AS a
    JOIN (
        SELECT account_id, SUM(owed / 1000000000) AS high, SUM(owed % 1000000000) AS low FROM hold WHERE owed > 0 GROUP BY account_id
    ) AS h ON h.account_id = a.id
    WHERE h.high > a.debt / 1000000000 OR (h.high - a.debt / 1000000000) * 1000000000 + h.low > a.debt % 1000000000
    UNION ALL
    SELECT
        'a period''s cost is the sum of its days', a.id, a.period_cost,
        CAST(COALESCE(u.high, 0) AS BIGINT), CAST(COALESCE(u.low, 0) AS BIGINT)
    FROM account AS a
    LEFT JOIN (
        SELECT r.account_id, SUM(r.cost / 1000000000) AS high, SUM(r.cost % 1000000000) AS low
        FROM (
            SELECT account_id, day, requests, cost FROM usage_day
            UNION ALL
            SELECT account_id, usage_time / 86400000000, 1, cost FROM hold
            WHERE fold <> 2 AND state <> 'open' AND usage_id = '' AND (used_input_tokens + used_output_tokens > 0 OR cost > 0)
            UNION ALL
            SELECT h.account_id, h.usage_time / 86400000000, 1, h.cost FROM unfolded_call AS c JOIN hold AS h ON h.id = c.hold_id
            WHERE h.used_input_tokens + h.used_output_tokens > 0 OR h.cost > 0
            UNION ALL
            SELECT r.account_id, r.settle_time / 86400000000, 1, r.cost
            FROM hold AS h JOIN usage_record AS r ON r.account_id = h.account_id AND r.id = h.usage_id
            WHERE h.fold <> 2 AND h.state <> 'open' AND h.usage_id <> ''
                AND r.input_tokens < 1000000000000000000 AND r.cached_input_tokens < 1000000000000000000 AND r.output_tokens < 1000000000000000000 AND r.reasoning_tokens < 1000000000000000000
        ) AS r JOIN account AS b ON b.id = r.account_id AND r.day * 86400000000 >= b.period_start_time
        GROUP BY r.account_id
    ) AS u ON u.account_id = a.id
    WHERE a.period_cost < 8000000000000000000 AND a.period_start_time % 86400000000 = 0
        AND NOT EXISTS (SELECT 1 FROM subscription AS s WHERE s.account_id = a.id AND s.access <> 'ended')
    UNION ALL
    SELECT
        'a period''s requests are those of its days', a.id, a.period_requests, CAST(0 AS BIGINT), COALESCE(u.requests, 0)
    FROM account AS a
    LEFT JOIN (
        SELECT r.account_id, CAST(SUM(r.requests) AS BIGINT) AS requests
        FROM (
            SELECT account_id, day, requests, cost FROM usage_day
            UNION ALL
            SELECT account_id, usage_time / 86400000000, 1, cost FROM hold
            WHERE fold <> 2 AND state <> 'open' AND usage_id = '' AND (used_input_tokens + used_output_tokens > 0 OR cost > 0)
            UNION ALL
            SELECT h.account_id, h.usage_time / 86400000000, 1, h.cost FROM unfolded_call AS c JOIN hold AS h ON h.id = c.hold_id
            WHERE h.used_input_tokens + h.used_output_tokens > 0 OR h.cost > 0
            UNION ALL
            SELECT r.account_id, r.settle_time / 86400000000, 1, r.cost
            FROM hold AS h JOIN usage_record AS r ON r.account_id = h.account_id AND r.id = h.usage_id
            WHERE h.fold <> 2 AND h.state <> 'open' AND h.usage_id <> ''
                AND r.input_tokens < 1000000000000000000 AND r.cached_input_tokens < 1000000000000000000 AND r.output_tokens < 1000000000000000000 AND r.reasoning_tokens < 1000000000000000000
        ) AS r JOIN account AS b ON b.id = r.account_id AND r.day * 86400000000 >= b.period_start_time
        GROUP BY r.account_id
    ) AS u ON u.account_id = a.id
    WHERE a.period_start_time % 86400000000 = 0
        AND NOT EXISTS (SELECT 1 FROM subscription AS s WHERE s.account_id = a.id AND s.access <> 'ended')
    UNION ALL
    SELECT
        'a grant has an entry of its amount', g.id, g.amount,
        CAST(COALESCE(e.high, 0) AS BIGINT), CAST(COALESCE(e.low, 0) AS BIGINT)
    FROM credit_grant AS g
    LEFT JOIN (
        SELECT reference, SUM(amount / 1000000000) AS high, SUM(amount % 1000000000) AS low FROM entry WHERE kind = 'grant' GROUP BY reference
    ) AS e ON e.reference = g.id
    WHERE g.source NOT LIKE 'refund:%'
    UNION ALL
    SELECT
        'an entry moves its account''s balance once', n.id, CAST(0 AS BIGINT),
        CAST(n.amount / 1000000000 AS BIGINT), CAST(n.amount % 1000000000 AS BIGINT)
    FROM entry AS n
    WHERE (n.debit = 'customer:' || n.account_id) = (n.credit = 'customer:' || n.account_id)
    UNION ALL
    SELECT
        'a purchase''s credit is that of its grant', p.payment_intent, p.credit,
        CAST(COALESCE(g.amount, 0) / 1000000000 AS BIGINT), CAST(COALESCE(g.amount, 0) % 1000000000 AS BIGINT)
    FROM purchase AS p LEFT JOIN credit_grant AS g ON g.account_id = p.account_id AND g.source = p.source
    WHERE p.changes = ''
    UNION ALL
    -- A change that was free of charge has a grant and no purchase.
    SELECT
        'what changes of a month have bought is at most the credit of their grants', c.id, c.credit,
        CAST(c.amount / 1000000000 AS BIGINT), CAST(c.amount % 1000000000 AS BIGINT)
    FROM (
        SELECT
            s.id, s.credit,
            CAST(COALESCE(SUM(CASE WHEN g.source NOT LIKE '%:return:%' THEN g.amount END), 0) AS BIGINT) AS amount
        FROM (
            SELECT account_id, changes AS id, CAST(SUM(credit) AS BIGINT) AS credit FROM purchase WHERE changes <> '' GROUP BY account_id, changes
        ) AS s
        LEFT JOIN credit_grant AS g ON g.account_id = s.account_id AND SUBSTR(g.source, 1, LENGTH(s.id) + 1) = s.id || ':'
        GROUP BY s.account_id, s.id, s.credit
    ) AS c WHERE c.credit > c.amount
    UNION ALL
    -- Credit that left a purchase's grants before they expired was taken back. Credit that left later may have expired. Grants that returned credit gave it back.
    SELECT
        'what was taken back of a purchase has left its grants', c.id, c.clawed,
        CAST(CASE WHEN c.clawed < c.early THEN c.early ELSE c.gone END / 1000000000 AS BIGINT),
        CAST(CASE WHEN c.clawed < c.early THEN c.early ELSE c.gone END % 1000000000 AS BIGINT)
    FROM (
        SELECT
            p.payment_intent AS id, p.clawed, p.credit,
            CAST(COALESCE(SUM(x.early), 0) - COALESCE(SUM(CASE WHEN g.source <> p.source THEN g.amount END), 0) AS BIGINT) AS early,
            CAST(COALESCE(SUM(x.gone), 0) - COALESCE(SUM(CASE WHEN g.source <> p.source THEN g.amount END), 0) AS BIGINT) AS gone
        FROM purchase AS p
        JOIN (
            SELECT payment_intent AS id, account_id, source FROM purchase
            UNION
            SELECT w.payment_intent, w.account_id, CASE WHEN w.source LIKE 'sub:%' THEN w.source || ':return:' ELSE 'return:' END || w.payment_intent
            FROM purchase AS w
            UNION
            SELECT w.payment_intent, w.account_id, CASE WHEN w.source LIKE 'sub:%' THEN w.source || ':return:' ELSE 'return:' END || r.id
            FROM purchase AS w JOIN reversal AS r ON r.payment_intent = w.payment AND w.payment <> ''
            UNION
            SELECT w.payment_intent, w.account_id, CASE WHEN w.source LIKE 'sub:%' THEN w.source || ':return:' ELSE 'return:' END || r.id
            FROM purchase AS w JOIN reversal AS r ON r.payment_intent = w.invoice AND w.invoice <> ''
            UNION -- what a dispute returned that was won again
            SELECT w.payment_intent, w.account_id, o.source
            FROM purchase AS w
            JOIN reversal AS r ON r.payment_intent <> '' AND r.payment_intent IN (w.payment, w.invoice)
            JOIN credit_grant AS o ON o.account_id = w.account_id
                AND o.source LIKE CASE WHEN w.source LIKE 'sub:%' THEN w.source || ':return:' ELSE 'return:' END || r.id || '#%'
        ) AS s ON s.id = p.payment_intent
        JOIN credit_grant AS g ON g.account_id = s.account_id AND g.source = s.source
        LEFT JOIN (
            SELECT e.reference, SUM(e.amount) AS gone, SUM(CASE WHEN e.create_time < o.expire_time THEN e.amount ELSE 0 END) AS early
            FROM (
                SELECT reference, create_time, CASE WHEN debit = 'expired:credit' THEN -amount ELSE amount END AS amount FROM entry WHERE kind = 'expiry'
            ) AS e JOIN credit_grant AS o ON o.id = e.reference
            GROUP BY e.reference
        ) AS x ON x.reference = g.id
        WHERE p.changes = ''
        GROUP BY p.payment_intent, p.clawed, p.credit
    ) AS c WHERE c.clawed < c.early OR c.clawed > c.gone
    UNION ALL
    SELECT
        'what was taken back of a month''s changes has left their grants', c.id, c.clawed,
        CAST(CASE WHEN c.clawed < c.early THEN c.early ELSE c.gone END / 1000000000 AS BIGINT),
        CAST(CASE WHEN c.clawed < c.early THEN c.early ELSE c.gone END % 1000000000 AS BIGINT)
    FROM (
        SELECT
            s.id, s.clawed,
            CAST(COALESCE(SUM(x.early), 0) - COALESCE(SUM(CASE WHEN g.source LIKE '%:return:%' THEN g.amount END), 0) AS BIGINT) AS early,
            CAST(COALESCE(SUM(x.gone), 0) - COALESCE(SUM(CASE WHEN g.source LIKE '%:return:%' THEN g.amount END), 0) AS BIGINT) AS gone
        FROM (
            SELECT account_id, changes AS id, CAST(SUM(clawed) AS BIGINT) AS clawed FROM purchase WHERE changes <> '' GROUP BY account_id, changes
        ) AS s
        JOIN credit_grant AS g ON g.account_id = s.account_id AND SUBSTR(g.source, 1, LENGTH(s.id) + 1) = s.id || ':'
        LEFT JOIN (
            SELECT e.reference, SUM(e.amount) AS gone, SUM(CASE WHEN e.create_time < o.expire_time THEN e.amount ELSE 0 END) AS early
            FROM (
                SELECT reference, create_time, CASE WHEN debit = 'expired:credit' THEN -amount ELSE amount END AS amount FROM entry WHERE kind = 'expiry'
            ) AS e JOIN credit_grant AS o ON o.id = e.reference
            GROUP BY e.reference
        ) AS x ON x.reference = g.id
        GROUP BY s.account_id, s.id, s.clawed
    ) AS c WHERE c.clawed < c.early OR c.clawed > c.gone
    UNION ALL
    -- Earlier versions returned nothing when the credit's time was over, and nothing when a dispute was won again.
    SELECT
        'what was taken back of a purchase, and what waits, is what its reversals take of its credit', c.id, c.clawed + c.waiting,
        CAST(c.target / 1000000000 AS BIGINT), CAST(c.target % 1000000000 AS BIGINT)
    FROM (
        SELECT
            b.id, b.clawed, b.waiting, b.remaining, b.undone,
            b.credit / b.total * b.reversed + b.credit % b.total * b.reversed / b.total AS target
        FROM (
            SELECT
                p.payment_intent AS id, p.credit, p.total, p.clawed, p.waiting, CAST(COALESCE(h.remaining, g.remaining) AS BIGINT) AS remaining,
                CASE WHEN COALESCE(r.part, 0) + COALESCE(i.part, 0) > p.total THEN p.total
                    ELSE CAST(COALESCE(r.part, 0) + COALESCE(i.part, 0) AS BIGINT) END AS reversed,
                COALESCE(r.undone, 0) + COALESCE(i.undone, 0) AS undone
            FROM purchase AS p
            JOIN credit_grant AS g ON g.account_id = p.account_id AND g.source = p.source
            LEFT JOIN (
                SELECT s.account_id, s.changes, SUM(o.remaining) AS remaining
                FROM (SELECT DISTINCT account_id, changes FROM purchase WHERE changes <> '') AS s
                JOIN credit_grant AS o ON o.account_id = s.account_id AND SUBSTR(o.source, 1, LENGTH(s.changes) + 1) = s.changes || ':'
                GROUP BY s.account_id, s.changes
            ) AS h ON h.account_id = p.account_id AND h.changes = p.changes
            LEFT JOIN (
                SELECT
                    n.payment_intent AS paid,
                    SUM(CASE WHEN n.amount > COALESCE(d.amount, 0) THEN n.amount - COALESCE(d.amount, 0) ELSE 0 END) AS part,
                    SUM(CASE WHEN n.amount = 0 AND n.id NOT LIKE 'payment:%' THEN 1 ELSE 0 END) AS undone
                FROM reversal AS n LEFT JOIN reversal AS d ON d.id = n.refund AND n.refund <> ''
                WHERE n.payment_intent <> '' GROUP BY n.payment_intent
            ) AS r ON r.paid = p.payment
            LEFT JOIN (
                SELECT
                    n.payment_intent AS paid,
                    SUM(CASE WHEN n.amount > COALESCE(d.amount, 0) THEN n.amount - COALESCE(d.amount, 0) ELSE 0 END) AS part,
                    SUM(CASE WHEN n.amount = 0 AND n.id NOT LIKE 'payment:%' THEN 1 ELSE 0 END) AS undone
                FROM reversal AS n LEFT JOIN reversal AS d ON d.id = n.refund AND n.refund <> ''
                WHERE n.payment_intent <> '' GROUP BY n.payment_intent
            ) AS i ON i.paid = p.invoice AND p.invoice <> p.payment
            WHERE p.total <= 2000000000 -- beyond it the product may be beyond 64 bits
        ) AS b
    ) AS c
    WHERE c.clawed + c.waiting > c.target AND c.undone = 0 OR c.clawed + c.waiting < c.target AND c.remaining > c.waiting
    UNION ALL
    SELECT
        'the cost of an account''s days, with that of calls that are not folded, is what its usage entries charge', a.id,
        a.cost, CAST(COALESCE(e.high, 0) AS BIGINT), CAST(COALESCE(e.low, 0) AS BIGINT)
    FROM (
        SELECT r.account_id AS id, CAST(SUM(r.cost / 1000000000) AS BIGINT) * 1000000000 + CAST(SUM(r.cost % 1000000000) AS BIGINT) AS cost
        FROM (
            SELECT account_id, cost FROM usage_day
            UNION ALL
            SELECT account_id, cost FROM hold WHERE fold <> 2 AND state <> 'open' AND usage_id = ''
            UNION ALL
            SELECT h.account_id, h.cost FROM unfolded_call AS c JOIN hold AS h ON h.id = c.hold_id
            UNION ALL
            SELECT r.account_id, r.cost FROM hold AS h JOIN usage_record AS r ON r.account_id = h.account_id AND r.id = h.usage_id
            WHERE h.fold <> 2 AND h.state <> 'open' AND h.usage_id <> ''
        ) AS r GROUP BY r.account_id
        HAVING SUM(r.cost / 1000000000) < 4000000000 -- sums that may have come to their bound cannot be compared
    ) AS a
    LEFT JOIN (
        SELECT m.account_id, SUM(m.high) AS high, SUM(m.low) AS low FROM (
            SELECT
                account_id,
                CASE WHEN credit = 'revenue:usage' THEN amount / 1000000000 ELSE -(amount / 1000000000) END AS high,
                CASE WHEN credit = 'revenue:usage' THEN amount % 1000000000 ELSE -(amount % 1000000000) END AS low
            FROM entry WHERE credit = 'revenue:usage' OR debit = 'revenue:usage'
            UNION ALL
            SELECT account_id, charged / 1000000000, charged % 1000000000 FROM unfolded_call
            UNION ALL
            SELECT account_id, cost / 1000000000, cost % 1000000000 FROM hold WHERE fold = 1 AND state <> 'open' AND usage_id = ''
        ) AS m GROUP BY m.account_id
    ) AS e ON e.account_id = a.id
    UNION ALL
    SELECT
        'a period''s tokens are those of its days', a.id,
        a.period_input_tokens + a.period_cached_input_tokens + a.period_output_tokens + a.period_reasoning_tokens,
        CAST(COALESCE(u.high, 0) AS BIGINT), CAST(COALESCE(u.low, 0) AS BIGINT)
    FROM account AS a
    LEFT JOIN (
        SELECT r.account_id, SUM(r.tokens / 1000000000) AS high, SUM(r.tokens % 1000000000) AS low
        FROM (
            SELECT account_id, day, input_tokens + cached_input_tokens + output_tokens + reasoning_tokens AS tokens FROM usage_day
            -- Without counts whose sum may be beyond 64 bits: those of the account are as large.
            WHERE input_tokens < 1000000000000000000 AND cached_input_tokens < 1000000000000000000 AND output_tokens < 1000000000000000000 AND reasoning_tokens < 1000000000000000000
            UNION ALL
            SELECT account_id, usage_time / 86400000000, used_input_tokens + used_cached_input_tokens + used_output_tokens + used_reasoning_tokens FROM hold
            WHERE fold <> 2 AND state <> 'open' AND usage_id = ''
                AND used_input_tokens < 1000000000000000000 AND used_cached_input_tokens < 1000000000000000000 AND used_output_tokens < 1000000000000000000 AND used_reasoning_tokens < 1000000000000000000
            UNION ALL
            SELECT h.account_id, h.usage_time / 86400000000, h.used_input_tokens + h.used_cached_input_tokens + h.used_output_tokens + h.used_reasoning_tokens
            FROM unfolded_call AS c JOIN hold AS h ON h.id = c.hold_id
            WHERE h.used_input_tokens < 1000000000000000000 AND h.used_cached_input_tokens < 1000000000000000000 AND h.used_output_tokens < 1000000000000000000 AND h.used_reasoning_tokens < 1000000000000000000
            UNION ALL
            SELECT r.account_id, r.settle_time / 86400000000, r.input_tokens + r.cached_input_tokens + r.output_tokens + r.reasoning_tokens
            FROM hold AS h JOIN usage_record AS r ON r.account_id = h.account_id AND r.id = h.usage_id
            WHERE h.fold <> 2 AND h.state <> 'open' AND h.usage_id <> ''
                AND r.input_tokens < 1000000000000000000 AND r.cached_input_tokens < 1000000000000000000 AND r.output_tokens < 1000000000000000000 AND r.reasoning_tokens < 1000000000000000000
        ) AS r JOIN account AS b ON b.id = r.account_id AND r.day * 86400000000 >= b.period_start_time
        GROUP BY r.account_id
    ) AS u ON u.account_id = a.id
    WHERE a.period_start_time % 86400000000 = 0 AND a.period_input_tokens < 1000000000000000000 AND a.period_cached_input_tokens < 1000000000000000000 AND a.period_output_tokens < 1000000000000000000 AND a.period_reasoning_tokens < 1000000000000000000
        AND NOT EXISTS (SELECT 1 FROM subscription AS s WHERE s.account_id = a.id AND s.access <> 'ended')
) AS c
WHERE c.want_high - c.got / 1000000000 + (c.want_low - c.got % 1000000000) / 1000000000 <> 0
    OR (c.want_low - c.got % 1000000000) % 1000000000 <> 0
LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: ListPayments :many
-- How closed holds were paid, by id. Those that versions before migration 4 closed may not say all of it: they have a usage_id if anything was used.
SELECT id, cost, owed, overage, paid_by FROM hold
WHERE id > sqlc.arg(after) AND state <> 'open' AND usage_id = '' ORDER BY id LIMIT CAST(sqlc.arg(most) AS BIGINT);
