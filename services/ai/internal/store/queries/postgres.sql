-- name: LockErasure :exec
-- The erasure of a user waits for the responses that are being written for the user, and they wait for it.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/ai/erasure/' || CAST(sqlc.arg(digest) AS TEXT), 0));

-- name: LockErasureShared :exec
SELECT pg_advisory_xact_lock_shared(hashtextextended(current_schema() || '/ai/erasure/' || CAST(sqlc.arg(digest) AS TEXT), 0));

-- name: LockStarting :exec
-- The responses of an account that begin at once are counted one after another.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/ai/background/' || CAST(sqlc.arg(account_id) AS TEXT), 0));
