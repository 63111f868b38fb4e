-- name: InsertUsage :exec
INSERT INTO usage_record (
    id, hold_id, account_id, day, model, user_id, api_key_id, input_tokens, cached_input_tokens, output_tokens,
    reasoning_tokens, cost, outcome, estimated, provider_request_id, settle_time
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16);

-- name: GetUsage :one
SELECT * FROM usage_record WHERE account_id = $1 AND id = $2;

-- name: DeleteUsage :exec
DELETE FROM usage_record WHERE account_id = $1 AND id = $2;

-- name: SumUsage :many
SELECT
    day, model,
    COUNT(*) AS requests,
    CAST(SUM(input_tokens) AS BIGINT) AS input_tokens,
    CAST(SUM(cached_input_tokens) AS BIGINT) AS cached_input_tokens,
    CAST(SUM(output_tokens) AS BIGINT) AS output_tokens,
    CAST(SUM(reasoning_tokens) AS BIGINT) AS reasoning_tokens,
    CAST(SUM(cost) AS BIGINT) AS cost
FROM usage_record
WHERE account_id = sqlc.arg(account_id) AND id >= sqlc.arg(first_id) AND id < sqlc.arg(end_id)
    AND (CAST(sqlc.arg(model) AS TEXT) = '' OR model = sqlc.arg(model))
    AND (CAST(sqlc.arg(user_id) AS TEXT) = '' OR user_id = sqlc.arg(user_id))
GROUP BY day, model;
