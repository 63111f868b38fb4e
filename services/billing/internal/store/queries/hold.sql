-- name: GetHold :one
SELECT * FROM hold WHERE id = $1;

-- name: AnyHold :many
SELECT id FROM hold LIMIT 1;

-- name: ListExpiredHolds :many
SELECT * FROM hold
WHERE fold <> 2 AND state = 'open' AND lease_time <= sqlc.arg(at_time) AND (lease_time, id) > (CAST(sqlc.arg(after_lease_time) AS BIGINT), CAST(sqlc.arg(after_id) AS TEXT))
ORDER BY lease_time, id LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: ListHoldsInDebt :many
SELECT id, owed, paid_by FROM hold WHERE account_id = $1 AND owed > 0 ORDER BY settle_time, id;

-- name: PayHold :exec
UPDATE hold SET owed = sqlc.arg(owed), paid_by = sqlc.arg(paid_by) WHERE id = sqlc.arg(id);

-- name: SumOpenHoldsBefore :one
SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM hold
WHERE account_id = sqlc.arg(account_id) AND fold <> 2 AND state = 'open' AND create_time < sqlc.arg(before);

-- name: ListClosedHolds :many
-- What is to be folded of an account of holds that an older version has closed.
SELECT * FROM hold WHERE account_id = sqlc.arg(account_id) AND fold <> 2 AND state <> 'open' LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: ListAccountsToFold :many
SELECT account_id FROM unfolded_call AS c WHERE c.account_id > sqlc.arg(after)
UNION
SELECT account_id FROM hold AS h WHERE h.fold <> 2 AND h.state <> 'open' AND h.account_id > sqlc.arg(after)
ORDER BY account_id LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: ListHoldsToDelete :many
-- A page along the key; those that may be deleted are told by the caller.
SELECT id, account_id, api_key_id, create_time, settle_time, state, owed, cost, fold FROM hold
WHERE id > sqlc.arg(after) ORDER BY id LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: DeleteFoldedHold :one
-- Only if it is still as it was: settled for a long time, folded, and paid.
DELETE FROM hold
WHERE id = sqlc.arg(id) AND fold = 2 AND state <> 'open' AND owed = 0 AND settle_time < sqlc.arg(before) AND NOT EXISTS (
    SELECT 1 FROM unfolded_call AS c WHERE c.account_id = hold.account_id AND c.close_time = hold.settle_time AND c.hold_id = hold.id
)
RETURNING account_id, user_id, api_key_id, create_time, cost, paid_by;

-- name: EndOfHoldPage :many
-- The last hold of a page along the key.
SELECT id FROM hold WHERE id > sqlc.arg(after) ORDER BY id LIMIT 1 OFFSET CAST(sqlc.arg(skip) AS BIGINT);

-- name: LimitHolds :exec
-- Puts a page of the account's holds into the indexes of limits.
UPDATE hold SET limited = TRUE WHERE account_id = sqlc.arg(account_id) AND NOT limited AND id > sqlc.arg(after) AND id <= sqlc.arg(last);

-- name: LimitHold :exec
UPDATE hold SET limited = TRUE WHERE id = $1;

-- name: LimitLastHolds :exec
UPDATE hold SET limited = TRUE WHERE account_id = sqlc.arg(account_id) AND NOT limited AND id > sqlc.arg(after);
