-- name: InsertHold :execrows
-- A person who was erased is not named again.
INSERT INTO hold (
    id, account_id, request_id, fingerprint, user_id, api_key_id, key_window, model, input_price, cached_input_price, output_price,
    amount, output_tokens, state, create_time, lease_time,
    used_input_tokens, used_cached_input_tokens, used_output_tokens, used_reasoning_tokens
) VALUES (
    $1, $2, $3, $4,
    CASE WHEN EXISTS (SELECT 1 FROM erased_user AS e WHERE e.user_hash = sqlc.arg(user_hash)) THEN '' ELSE CAST(sqlc.arg(user_id) AS TEXT) END,
    $5, 0, $6, $7, $8, $9, $10, $11, 'open', $12, $13, $14, $15, $16, $17
)
ON CONFLICT (id) DO NOTHING;

-- name: DeleteHold :exec
DELETE FROM hold WHERE id = $1;

-- name: GetHold :one
SELECT * FROM hold WHERE id = $1;

-- name: CheckpointHold :one
-- Neither the usage nor the lease ever goes back.
UPDATE hold SET
    lease_time = CASE WHEN lease_time < CAST(sqlc.arg(lease_time) AS BIGINT) THEN CAST(sqlc.arg(lease_time) AS BIGINT) ELSE lease_time END,
    used_input_tokens = CASE WHEN used_input_tokens < CAST(sqlc.arg(input_tokens) AS BIGINT) THEN CAST(sqlc.arg(input_tokens) AS BIGINT) ELSE used_input_tokens END,
    used_cached_input_tokens = CASE WHEN used_cached_input_tokens < CAST(sqlc.arg(cached_input_tokens) AS BIGINT) THEN CAST(sqlc.arg(cached_input_tokens) AS BIGINT) ELSE used_cached_input_tokens END,
    used_output_tokens = CASE WHEN used_output_tokens < CAST(sqlc.arg(output_tokens) AS BIGINT) THEN CAST(sqlc.arg(output_tokens) AS BIGINT) ELSE used_output_tokens END,
    used_reasoning_tokens = CASE WHEN used_reasoning_tokens < CAST(sqlc.arg(reasoning_tokens) AS BIGINT) THEN CAST(sqlc.arg(reasoning_tokens) AS BIGINT) ELSE used_reasoning_tokens END
WHERE id = sqlc.arg(id) AND state = 'open'
RETURNING lease_time;

-- name: CloseHold :execrows
UPDATE hold SET
    state = sqlc.arg(state), cost = sqlc.arg(cost), balance_after = sqlc.arg(balance_after), paid_by = sqlc.arg(paid_by),
    owed = sqlc.arg(owed), usage_id = sqlc.arg(usage_id), settle_time = sqlc.arg(settle_time)
WHERE id = sqlc.arg(id) AND state = sqlc.arg(was) AND owed = sqlc.arg(was_owed) AND paid_by = sqlc.arg(was_paid_by);

-- name: SweepHold :execrows
-- Closes the hold only if nobody touched it since it was read.
UPDATE hold SET
    state = 'swept', cost = sqlc.arg(cost), balance_after = sqlc.arg(balance_after), paid_by = sqlc.arg(paid_by),
    owed = sqlc.arg(owed), usage_id = sqlc.arg(usage_id), settle_time = sqlc.arg(settle_time)
WHERE id = sqlc.arg(id) AND state = 'open' AND lease_time = sqlc.arg(lease_time)
    AND used_input_tokens = sqlc.arg(input_tokens) AND used_cached_input_tokens = sqlc.arg(cached_input_tokens)
    AND used_output_tokens = sqlc.arg(output_tokens) AND used_reasoning_tokens = sqlc.arg(reasoning_tokens);

-- name: ListExpiredHolds :many
SELECT * FROM hold
WHERE state = 'open' AND lease_time <= sqlc.arg(at_time) AND (lease_time, id) > (CAST(sqlc.arg(after_lease_time) AS BIGINT), CAST(sqlc.arg(after_id) AS TEXT))
ORDER BY lease_time, id LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: ListHoldsInDebt :many
SELECT id, owed, paid_by FROM hold WHERE account_id = $1 AND owed > 0 ORDER BY settle_time, id;

-- name: PayHold :exec
UPDATE hold SET owed = sqlc.arg(owed), paid_by = sqlc.arg(paid_by) WHERE id = sqlc.arg(id);

-- name: SumOpenHoldsBefore :one
SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM hold
WHERE account_id = sqlc.arg(account_id) AND state = 'open' AND create_time < sqlc.arg(before);
