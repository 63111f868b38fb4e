-- name: GetUsage :one
SELECT * FROM usage_record WHERE account_id = $1 AND id = $2;

-- name: DeleteUsage :exec
DELETE FROM usage_record WHERE account_id = $1 AND id = $2;

-- name: SumUsage :many
-- Each sum in two parts, of billions and of what is left, because it may be beyond 64 bits.
SELECT
    day, model,
    COUNT(*) AS requests,
    CAST(SUM(input_tokens / 1000000000) AS BIGINT) AS input_tokens_high, CAST(SUM(input_tokens % 1000000000) AS BIGINT) AS input_tokens_low,
    CAST(SUM(cached_input_tokens / 1000000000) AS BIGINT) AS cached_input_tokens_high,
    CAST(SUM(cached_input_tokens % 1000000000) AS BIGINT) AS cached_input_tokens_low,
    CAST(SUM(output_tokens / 1000000000) AS BIGINT) AS output_tokens_high, CAST(SUM(output_tokens % 1000000000) AS BIGINT) AS output_tokens_low,
    CAST(SUM(reasoning_tokens / 1000000000) AS BIGINT) AS reasoning_tokens_high,
    CAST(SUM(reasoning_tokens % 1000000000) AS BIGINT) AS reasoning_tokens_low,
    CAST(SUM(cost / 1000000000) AS BIGINT) AS cost_high, CAST(SUM(cost % 1000000000) AS BIGINT) AS cost_low
FROM usage_record
WHERE account_id = sqlc.arg(account_id) AND id >= sqlc.arg(first_id) AND id < sqlc.arg(end_id)
    AND (CAST(sqlc.arg(model) AS TEXT) = '' OR model = sqlc.arg(model))
    AND (CAST(sqlc.arg(user_id) AS TEXT) = '' OR user_id = sqlc.arg(user_id))
GROUP BY day, model;

-- name: ListUsageOfUser :many
-- There is no index on user_id: exports are rare, and every call would pay for it.
SELECT * FROM usage_record
WHERE user_id = sqlc.arg(user_id)
    AND (account_id > sqlc.arg(after_account_id) OR (account_id = sqlc.arg(after_account_id) AND id > sqlc.arg(after_id)))
ORDER BY account_id, id
LIMIT sqlc.arg(page_size);
