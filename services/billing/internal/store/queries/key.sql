-- name: InsertKeyWindow :exec
-- From the holds that were made in it, and from those that are deleted by now, whole days at a time. Sums are split at a billion,
-- because they may be beyond 64 bits.
INSERT INTO key_window (account_id, api_key_id, period, start_time, end_time, held, spent)
SELECT
    CAST(sqlc.arg(account_id) AS TEXT), CAST(sqlc.arg(api_key_id) AS TEXT), CAST(sqlc.arg(period) AS BIGINT),
    CAST(sqlc.arg(start_time) AS BIGINT), CAST(sqlc.arg(end_time) AS BIGINT),
    CAST(COALESCE(SUM(s.held), 0) AS BIGINT),
    CAST(CASE
        WHEN SUM(s.spent / 1000000000) >= 8000000000 - 1 THEN 8000000000000000000
        ELSE COALESCE(SUM(s.spent / 1000000000) * 1000000000 + SUM(s.spent % 1000000000), 0)
    END AS BIGINT)
FROM (
    SELECT CASE WHEN h.state = 'open' THEN h.amount ELSE 0 END AS held, h.cost AS spent
    FROM hold AS h
    WHERE h.account_id = sqlc.arg(account_id) AND h.api_key_id = sqlc.arg(api_key_id) AND h.api_key_id <> '' AND h.limited
        AND h.create_time >= CAST(sqlc.arg(start_time) AS BIGINT) AND h.create_time < CAST(sqlc.arg(end_time) AS BIGINT)
    UNION ALL
    SELECT 0, d.spent
    FROM key_day AS d
    WHERE d.account_id = sqlc.arg(account_id) AND d.api_key_id = sqlc.arg(api_key_id)
        AND d.day >= CAST(sqlc.arg(start_time) AS BIGINT) / 86400000000 AND d.day * 86400000000 < CAST(sqlc.arg(end_time) AS BIGINT)
) AS s
WHERE TRUE
ON CONFLICT DO NOTHING;

-- name: AddKeyDay :exec
INSERT INTO key_day (account_id, api_key_id, day, spent) VALUES ($1, $2, $3, $4)
ON CONFLICT (account_id, api_key_id, day) DO UPDATE SET spent = CASE
    WHEN key_day.spent > 8000000000000000000 - excluded.spent THEN 8000000000000000000 ELSE key_day.spent + excluded.spent
END;

-- name: DeleteKeyDays :execrows
DELETE FROM key_day WHERE day < $1;

-- name: DeleteKeyWindows :execrows
DELETE FROM key_window WHERE (account_id, api_key_id, period, start_time) IN (
    SELECT w.account_id, w.api_key_id, w.period, w.start_time FROM key_window AS w
    WHERE w.end_time <= sqlc.arg(ended) ORDER BY w.end_time LIMIT CAST(sqlc.arg(most) AS BIGINT)
);

-- name: DeleteKeyWindow :exec
DELETE FROM key_window WHERE account_id = $1 AND api_key_id = $2 AND period = $3 AND start_time = $4;

-- name: LimitKeyWindows :exec
-- The limit of a key's windows has changed.
UPDATE key_window SET amount = sqlc.arg(amount) WHERE account_id = sqlc.arg(account_id) AND api_key_id = sqlc.arg(api_key_id) AND period = sqlc.arg(period);
