-- name: ListSegmentsDown :many
-- Segments from an id down to another, without those that begin too late. The inner statement reads an index only.
SELECT s.account_id, s.id, s.records FROM usage_segment AS s
WHERE s.account_id = sqlc.arg(account_id) AND s.id IN (
    SELECT c.id FROM usage_segment AS c
    WHERE c.account_id = sqlc.arg(account_id) AND c.id <= sqlc.arg(from_id) AND c.id >= sqlc.arg(to_id) AND c.first_time < sqlc.arg(before)
    ORDER BY c.id DESC LIMIT CAST(sqlc.arg(most) AS BIGINT)
)
ORDER BY s.id DESC;

-- name: ListSegmentsUp :many
SELECT account_id, id, records FROM usage_segment
WHERE account_id = sqlc.arg(account_id) AND id >= sqlc.arg(from_id) ORDER BY id LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: InsertRefusals :exec
-- A batch that comes again is there already.
INSERT INTO usage_segment (account_id, id, last_time, calls, charged, records, first_time) VALUES ($1, $2, $3, $4, 0, $5, $6)
ON CONFLICT (account_id, id) DO NOTHING;
