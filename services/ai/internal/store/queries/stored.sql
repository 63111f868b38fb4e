-- name: PutResponse :execrows
-- A response that is known keeps its times and its owner; the response of another account is left alone.
INSERT INTO stored_response (id, account_id, user_id, model, target, tokens, create_time, delete_time, retry_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)
ON CONFLICT (id) DO UPDATE SET tokens = CASE WHEN excluded.tokens > stored_response.tokens THEN excluded.tokens ELSE stored_response.tokens END
WHERE stored_response.account_id = excluded.account_id;

-- name: PutItem :exec
INSERT INTO stored_item (id, response_id) VALUES ($1, $2)
ON CONFLICT (id) DO NOTHING;

-- name: GetResponse :one
SELECT * FROM stored_response
WHERE id = sqlc.arg(id) AND account_id = sqlc.arg(account_id) AND delete_time > sqlc.arg(now);

-- name: GetItem :one
SELECT r.* FROM stored_item i JOIN stored_response r ON r.id = i.response_id
WHERE i.id = sqlc.arg(id) AND r.account_id = sqlc.arg(account_id) AND r.delete_time > sqlc.arg(now);

-- name: DeleteItems :exec
DELETE FROM stored_item WHERE response_id = $1;

-- name: DeleteResponse :exec
DELETE FROM stored_response WHERE id = $1;

-- name: MarkResponsesOfUser :exec
UPDATE stored_response SET delete_time = 0 WHERE user_id = $1;

-- name: ListResponsesOfUser :many
SELECT * FROM stored_response
WHERE user_id = sqlc.arg(user_id) AND id > sqlc.arg(after_id)
ORDER BY id
LIMIT CAST(sqlc.arg(page_size) AS BIGINT);

-- name: ClaimDueResponses :many
-- The rows are left to this process until retry_time.
UPDATE stored_response SET retry_time = sqlc.arg(retry_time)
WHERE stored_response.id IN (
    SELECT d.id FROM stored_response d
    WHERE d.delete_time <= sqlc.arg(now) AND d.retry_time <= sqlc.arg(now)
    ORDER BY d.delete_time, d.id
    LIMIT CAST(sqlc.arg(page_size) AS BIGINT)
)
RETURNING *;

-- name: PutErasedUser :exec
INSERT INTO erased_user (digest, erase_time) VALUES ($1, $2)
ON CONFLICT (digest) DO UPDATE SET erase_time = excluded.erase_time;

-- name: IsErasedUser :one
SELECT EXISTS (SELECT 1 FROM erased_user WHERE digest = $1);

-- name: DeleteErasedUsers :exec
DELETE FROM erased_user WHERE erase_time <= sqlc.arg(before);
