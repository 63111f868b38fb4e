-- name: WatchOpenHolds :one
-- The number of open holds, and when the oldest one was made.
SELECT COUNT(*) AS holds, CAST(COALESCE(MIN(create_time), 0) AS BIGINT) AS oldest FROM hold WHERE fold <> 2 AND state = 'open';
