-- name: AddApiKey :exec
INSERT INTO api_keys (
    id, hash, prefix, name, account_id, organization_id, user_id, role, scopes, models, spend_limit_nano_usd,
    spend_period_seconds, requests_per_minute, create_time, expire_time
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15);

-- name: GetApiKeyByHash :one
SELECT * FROM api_keys WHERE hash = $1;

-- name: ListApiKeys :many
SELECT * FROM api_keys
WHERE account_id = sqlc.arg(account_id) AND create_time <= sqlc.arg(before_time)
  AND (create_time < sqlc.arg(before_time) OR id < sqlc.arg(before_id))
ORDER BY create_time DESC, id DESC
LIMIT CAST(sqlc.arg(page_size) AS BIGINT);

-- name: RevokeApiKey :execrows
UPDATE api_keys SET revoke_time = sqlc.arg(at)
WHERE id = sqlc.arg(id) AND account_id = sqlc.arg(account_id) AND revoke_time IS NULL;

-- name: HasApiKey :one
SELECT EXISTS (SELECT 1 FROM api_keys WHERE id = $1 AND account_id = $2);

-- name: CountLiveApiKeys :one
SELECT count(*) FROM api_keys WHERE account_id = $1 AND revoke_time IS NULL;

-- name: TouchApiKey :exec
UPDATE api_keys SET last_use_time = sqlc.arg(at)
WHERE id = sqlc.arg(id) AND (last_use_time IS NULL OR last_use_time < sqlc.arg(at));

-- name: RehashApiKey :exec
UPDATE api_keys SET hash = sqlc.arg(hash) WHERE id = sqlc.arg(id);

-- name: GetApiKey :one
SELECT * FROM api_keys WHERE id = $1 AND account_id = $2;
