-- name: GetCallKey :one
SELECT * FROM call_key WHERE id = $1;

-- name: PutCallKey :execrows
-- It replaces only the row that the caller has seen.
INSERT INTO call_key (id, request_digest, request_id, create_time)
VALUES (sqlc.arg(id), sqlc.arg(request_digest), sqlc.arg(request_id), sqlc.arg(create_time))
ON CONFLICT (id) DO UPDATE SET request_digest = excluded.request_digest, request_id = excluded.request_id, create_time = excluded.create_time
WHERE call_key.request_id = CAST(sqlc.arg(seen_request_id) AS TEXT);

-- name: DeleteCallKeys :execrows
DELETE FROM call_key WHERE id IN (
    SELECT k.id FROM call_key AS k WHERE k.create_time <= sqlc.arg(before) ORDER BY k.create_time LIMIT CAST(sqlc.arg(most) AS BIGINT)
);
