-- name: WatchOpenHolds :one
-- The number of open holds, when the oldest one was made, and when the first lease ends; zeros for none.
SELECT COUNT(*) AS holds, CAST(COALESCE(MIN(create_time), 0) AS BIGINT) AS oldest, CAST(COALESCE(MIN(lease_time), 0) AS BIGINT) AS lease
FROM hold WHERE fold <> 2 AND state = 'open';
