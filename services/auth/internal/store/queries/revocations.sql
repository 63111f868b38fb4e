-- name: NextRevision :one
UPDATE revocation_head SET revision = revision + 1 WHERE id = 1 RETURNING revision;

-- name: GetRevision :one
SELECT revision FROM revocation_head WHERE id = 1;

-- name: AddRevocation :exec
INSERT INTO revocation (revision, user_id, session_id, api_key_id, create_time) VALUES ($1, $2, $3, $4, $5);

-- name: ListRevocations :many
SELECT * FROM revocation WHERE revision > sqlc.arg(after) ORDER BY revision LIMIT CAST(sqlc.arg(page_size) AS BIGINT);

-- name: PruneRevocations :exec
DELETE FROM revocation WHERE create_time < sqlc.arg(before);
