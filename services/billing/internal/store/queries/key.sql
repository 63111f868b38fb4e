-- name: AddKeySpend :exec
UPDATE key_spend SET held = held + CAST(sqlc.arg(held) AS BIGINT), spent = spent + CAST(sqlc.arg(spent) AS BIGINT)
WHERE account_id = sqlc.arg(account_id) AND api_key_id = sqlc.arg(api_key_id) AND window_start = sqlc.arg(window_start);

-- name: GetKeySpend :one
SELECT held, spent FROM key_spend WHERE account_id = $1 AND api_key_id = $2 AND window_start = $3;

-- name: InsertKeySpend :exec
INSERT INTO key_spend (account_id, api_key_id, window_start, held, spent) VALUES ($1, $2, $3, 0, 0) ON CONFLICT DO NOTHING;

-- name: DeleteOldKeySpend :exec
DELETE FROM key_spend WHERE account_id = $1 AND api_key_id = $2 AND window_start < $3 AND held = 0;
