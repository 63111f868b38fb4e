-- name: GetUsage :one
SELECT * FROM usage_record WHERE account_id = $1 AND id = $2;

-- name: DeleteUsage :exec
DELETE FROM usage_record WHERE account_id = $1 AND id = $2;

-- name: SumUsage :many
-- The daily sums, and what is not folded yet of the holds that an older version has closed. Each sum is in two parts, of billions and of the
-- rest, because it may be beyond 64 bits. At most so many rows; the caller sorts them and asks for one too many to learn of more.
SELECT
    CAST(day AS BIGINT) AS day, CAST(model AS TEXT) AS model, CAST(user_id AS TEXT) AS user_id, CAST(api_key_id AS TEXT) AS api_key_id,
    CAST(SUM(requests) AS BIGINT) AS requests,
    CAST(COALESCE(SUM(input_tokens / 1000000000), 0) AS BIGINT) AS input_tokens_high, CAST(COALESCE(SUM(input_tokens % 1000000000), 0) AS BIGINT) AS input_tokens_low,
    CAST(COALESCE(SUM(cached_input_tokens / 1000000000), 0) AS BIGINT) AS cached_input_tokens_high, CAST(COALESCE(SUM(cached_input_tokens % 1000000000), 0) AS BIGINT) AS cached_input_tokens_low,
    CAST(COALESCE(SUM(output_tokens / 1000000000), 0) AS BIGINT) AS output_tokens_high, CAST(COALESCE(SUM(output_tokens % 1000000000), 0) AS BIGINT) AS output_tokens_low,
    CAST(COALESCE(SUM(reasoning_tokens / 1000000000), 0) AS BIGINT) AS reasoning_tokens_high, CAST(COALESCE(SUM(reasoning_tokens % 1000000000), 0) AS BIGINT) AS reasoning_tokens_low,
    CAST(COALESCE(SUM(cost / 1000000000), 0) AS BIGINT) AS cost_high, CAST(COALESCE(SUM(cost % 1000000000), 0) AS BIGINT) AS cost_low
FROM (
    SELECT
        day,
        CASE WHEN CAST(sqlc.arg(by_model) AS BOOLEAN) THEN model ELSE '' END AS model,
        CASE WHEN CAST(sqlc.arg(by_user) AS BOOLEAN) THEN user_id ELSE '' END AS user_id,
        CASE WHEN CAST(sqlc.arg(by_api_key) AS BOOLEAN) THEN api_key_id ELSE '' END AS api_key_id,
        requests, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cost
    FROM (
    SELECT d.day, d.model, d.user_id, d.api_key_id, d.requests, d.input_tokens, d.cached_input_tokens, d.output_tokens, d.reasoning_tokens, d.cost
    FROM usage_day AS d
    WHERE d.account_id = sqlc.arg(account_id) AND d.day >= sqlc.arg(first_day) AND d.day < sqlc.arg(end_day)
    UNION ALL
    SELECT
        h.usage_time / 86400000000, h.model, h.user_id, h.api_key_id, CAST(1 AS BIGINT), h.used_input_tokens, h.used_cached_input_tokens, h.used_output_tokens,
        h.used_reasoning_tokens, h.cost
    FROM hold AS h
    WHERE h.account_id = sqlc.arg(account_id) AND h.fold <> 2 AND h.state <> 'open' AND h.usage_id = ''
        AND h.usage_time >= CAST(sqlc.arg(first_day) AS BIGINT) * 86400000000
        AND h.usage_time < CAST(sqlc.arg(end_day) AS BIGINT) * 86400000000 AND h.used_input_tokens + h.used_output_tokens > 0
    UNION ALL
    SELECT
        r.settle_time / 86400000000, r.model, r.user_id, r.api_key_id, CAST(1 AS BIGINT), r.input_tokens, r.cached_input_tokens, r.output_tokens,
        r.reasoning_tokens, r.cost
    FROM hold AS h JOIN usage_record AS r ON r.account_id = h.account_id AND r.id = h.usage_id
    WHERE h.account_id = sqlc.arg(account_id) AND h.fold <> 2 AND h.state <> 'open' AND h.usage_id <> ''
        AND r.settle_time >= CAST(sqlc.arg(first_day) AS BIGINT) * 86400000000 AND r.settle_time < CAST(sqlc.arg(end_day) AS BIGINT) * 86400000000
) AS u
    WHERE (CAST(sqlc.arg(model) AS TEXT) = '' OR u.model = sqlc.arg(model))
        AND (CAST(sqlc.arg(user_id) AS TEXT) = '' OR u.user_id = sqlc.arg(user_id))
        AND (CAST(sqlc.arg(api_key_id) AS TEXT) = '' OR u.api_key_id = sqlc.arg(api_key_id))
) AS g
GROUP BY day, model, user_id, api_key_id
HAVING SUM(requests) > 0
LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: AddUsageDay :exec
-- Adds to a daily sum; what is taken away is negative. A sum stops at its bounds.
INSERT INTO usage_day (
    account_id, day, model, user_id, api_key_id, requests, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cost
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (account_id, day, model, user_id, api_key_id) DO UPDATE SET
    requests = usage_day.requests + excluded.requests,
    input_tokens = CASE WHEN usage_day.input_tokens > 8000000000000000000 - excluded.input_tokens THEN 8000000000000000000 ELSE usage_day.input_tokens + excluded.input_tokens END,
    cached_input_tokens = CASE WHEN usage_day.cached_input_tokens > 8000000000000000000 - excluded.cached_input_tokens THEN 8000000000000000000 ELSE usage_day.cached_input_tokens + excluded.cached_input_tokens END,
    output_tokens = CASE WHEN usage_day.output_tokens > 8000000000000000000 - excluded.output_tokens THEN 8000000000000000000 ELSE usage_day.output_tokens + excluded.output_tokens END,
    reasoning_tokens = CASE WHEN usage_day.reasoning_tokens > 8000000000000000000 - excluded.reasoning_tokens THEN 8000000000000000000 ELSE usage_day.reasoning_tokens + excluded.reasoning_tokens END,
    cost = CASE WHEN usage_day.cost > 8000000000000000000 - excluded.cost THEN 8000000000000000000 ELSE usage_day.cost + excluded.cost END;

-- name: InsertSegment :exec
INSERT INTO usage_segment (account_id, id, last_time, calls, charged, records, first_time) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: GetSegment :one
SELECT * FROM usage_segment WHERE account_id = $1 AND id = $2;

-- name: RewriteSegment :exec
UPDATE usage_segment SET calls = sqlc.arg(calls), records = sqlc.arg(records) WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id);

-- name: ListSegments :many
SELECT * FROM usage_segment WHERE account_id > sqlc.arg(after_account_id) OR (account_id = sqlc.arg(after_account_id) AND id > sqlc.arg(after_id))
ORDER BY account_id, id LIMIT sqlc.arg(page_size);

-- name: ListSegmentsOfAccount :many
SELECT * FROM usage_segment WHERE account_id = sqlc.arg(account_id) AND id > sqlc.arg(after_id) ORDER BY id LIMIT sqlc.arg(page_size);

-- name: DeleteSegments :execrows
DELETE FROM usage_segment WHERE (account_id, id) IN (
    SELECT s.account_id, s.id FROM usage_segment AS s WHERE s.last_time < sqlc.arg(before) ORDER BY s.last_time LIMIT CAST(sqlc.arg(most) AS BIGINT)
);

-- name: DeleteUsageRecords :execrows
DELETE FROM usage_record WHERE (account_id, id) IN (
    SELECT r.account_id, r.id FROM usage_record AS r WHERE r.settle_time < sqlc.arg(before) ORDER BY r.settle_time LIMIT CAST(sqlc.arg(most) AS BIGINT)
);

-- name: ListAccountsOfUser :many
SELECT DISTINCT account_id FROM usage_day WHERE user_id = $1;

-- name: ListDaysOfUser :many
SELECT * FROM usage_day WHERE account_id = $1 AND user_id = $2;

-- name: DeleteDaysOfUser :exec
DELETE FROM usage_day WHERE account_id = $1 AND user_id = $2;

-- name: ListUsageOfUser :many
-- There is no index on user_id: exports are rare, and every call would pay for it.
SELECT * FROM usage_record
WHERE user_id = sqlc.arg(user_id)
    AND (account_id > sqlc.arg(after_account_id) OR (account_id = sqlc.arg(after_account_id) AND id > sqlc.arg(after_id)))
ORDER BY account_id, id
LIMIT sqlc.arg(page_size);
