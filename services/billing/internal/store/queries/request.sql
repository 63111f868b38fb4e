-- name: ListSegmentsDown :many
-- Segments from an id down to another, without those that begin too late: at most so many, up to the one with which they have enough calls,
-- and one more. The inner statements read no records.
SELECT s.account_id, s.id, s.records FROM usage_segment AS s
WHERE s.account_id = sqlc.arg(account_id) AND s.id IN (
    SELECT b.id FROM (
        SELECT c.id, SUM(c.calls) OVER (ORDER BY c.id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS calls_before
        FROM (
            SELECT a.id, a.calls FROM usage_segment AS a
            WHERE a.account_id = sqlc.arg(account_id) AND a.id <= sqlc.arg(from_id) AND a.id >= sqlc.arg(to_id) AND a.first_time < sqlc.arg(before)
            ORDER BY a.id DESC LIMIT CAST(sqlc.arg(most) AS BIGINT)
        ) AS c
    ) AS b
    WHERE COALESCE(b.calls_before, 0) < CAST(sqlc.arg(most_calls) AS BIGINT)
)
ORDER BY s.id DESC;

-- name: ListSegmentsUp :many
-- Segments from an id up to another, without those that begin too late. The inner statement reads no records.
SELECT s.account_id, s.id, s.records FROM usage_segment AS s
WHERE s.account_id = sqlc.arg(account_id) AND s.id IN (
    SELECT a.id FROM usage_segment AS a
    WHERE a.account_id = sqlc.arg(account_id) AND a.id >= sqlc.arg(from_id) AND a.id <= sqlc.arg(to_id) AND a.first_time < sqlc.arg(before)
    ORDER BY a.id LIMIT CAST(sqlc.arg(most) AS BIGINT)
)
ORDER BY s.id;

-- name: InsertRefusals :exec
-- A batch that comes again is there already.
INSERT INTO usage_segment (account_id, id, last_time, calls, charged, records, first_time) VALUES ($1, $2, $3, $4, 0, $5, $6)
ON CONFLICT (account_id, id) DO NOTHING;
