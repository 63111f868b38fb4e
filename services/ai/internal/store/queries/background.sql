-- name: PutBackground :exec
INSERT INTO background_response (id, account_id, user_id, model, target, hold_id, request_id, terms, seen, create_time, poll_time, polls, missing_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, 0, 0)
ON CONFLICT (id) DO NOTHING;

-- name: GetBackground :one
SELECT * FROM background_response WHERE id = $1;

-- name: CountBackground :one
-- How many responses of an account run or are about to begin. One statement reads both tables, because one may move to the other meanwhile.
SELECT CAST((SELECT COUNT(*) FROM background_response r WHERE r.account_id = sqlc.arg(account_id))
    + (SELECT COUNT(*) FROM background_starting s WHERE s.account_id = sqlc.arg(account_id)) AS BIGINT) AS running;

-- name: ListBackground :many
SELECT * FROM background_response WHERE id > sqlc.arg(after_id)
ORDER BY id
LIMIT CAST(sqlc.arg(page_size) AS BIGINT);

-- name: PutStarting :exec
INSERT INTO background_starting (id, account_id, expire_time) VALUES ($1, $2, $3);

-- name: DeleteStarting :exec
DELETE FROM background_starting WHERE id = $1;

-- name: DeleteExpiredStarting :exec
DELETE FROM background_starting WHERE account_id = sqlc.arg(account_id) AND expire_time <= sqlc.arg(now);

-- name: ForgetStarting :exec
-- Accounts that begin nothing more have rows of processes that died. There are few rows at any time.
DELETE FROM background_starting WHERE expire_time <= sqlc.arg(now);

-- name: BackgroundBacklog :one
-- How many responses run, when the oldest of them began, and when the first of them is due; zeros for none.
SELECT COUNT(*) AS running, CAST(COALESCE(MIN(create_time), 0) AS BIGINT) AS oldest, CAST(COALESCE(MIN(poll_time), 0) AS BIGINT) AS due
FROM background_response;

-- name: ClaimBackground :many
-- The rows are left to this process until lease_time. The second condition is for a process that waited for another one's claim.
UPDATE background_response SET poll_time = sqlc.arg(lease_time), polls = polls + 1
WHERE background_response.id IN (
    SELECT d.id FROM background_response d
    WHERE d.poll_time <= sqlc.arg(now)
    ORDER BY d.poll_time, d.id
    LIMIT CAST(sqlc.arg(page_size) AS BIGINT)
) AND background_response.poll_time <= sqlc.arg(now)
RETURNING *;

-- name: PollBackgroundAgain :exec
UPDATE background_response SET poll_time = sqlc.arg(poll_time), missing_time = sqlc.arg(missing_time)
WHERE id = sqlc.arg(id);

-- name: NoteBackgroundSeen :exec
UPDATE background_response SET seen = sqlc.arg(seen)
WHERE id = sqlc.arg(id) AND seen < sqlc.arg(seen);

-- name: DeleteBackground :execrows
DELETE FROM background_response WHERE id = $1;
