-- name: ListKeyWindows :many
SELECT period, start_time, end_time, held, spent FROM key_window WHERE account_id = $1 AND api_key_id = $2;

-- name: InsertKeyWindow :exec
-- Sums are split at a billion, because they may be beyond 64 bits.
INSERT INTO key_window (account_id, api_key_id, period, start_time, end_time, held, spent)
SELECT
    CAST(sqlc.arg(account_id) AS TEXT), CAST(sqlc.arg(api_key_id) AS TEXT), CAST(sqlc.arg(period) AS BIGINT),
    CAST(sqlc.arg(start_time) AS BIGINT), CAST(sqlc.arg(end_time) AS BIGINT),
    CAST(COALESCE(SUM(CASE WHEN h.state = 'open' THEN h.amount ELSE 0 END), 0) AS BIGINT),
    CAST(CASE
        WHEN SUM(h.cost / 1000000000) >= 8000000000 - 1 THEN 8000000000000000000
        ELSE COALESCE(SUM(h.cost / 1000000000) * 1000000000 + SUM(h.cost % 1000000000), 0)
    END AS BIGINT)
FROM hold AS h
WHERE h.account_id = sqlc.arg(account_id) AND h.api_key_id = sqlc.arg(api_key_id) AND h.api_key_id <> ''
    AND h.create_time >= CAST(sqlc.arg(start_time) AS BIGINT) AND h.create_time < CAST(sqlc.arg(end_time) AS BIGINT)
ON CONFLICT DO NOTHING;

-- name: DeleteKeyWindows :execrows
DELETE FROM key_window WHERE (account_id, api_key_id, period, start_time) IN (
    SELECT w.account_id, w.api_key_id, w.period, w.start_time FROM key_window AS w
    WHERE w.end_time <= sqlc.arg(ended) ORDER BY w.end_time LIMIT CAST(sqlc.arg(most) AS BIGINT)
);
