-- name: AddAPIKey :exec
INSERT INTO api_key (
    id, hash, prefix, name, account_id, organization_id, user_id, role, scopes, models, spend_limit_nano_usd,
    spend_period_seconds, requests_per_minute, create_time, expire_time, parent_id, requests_per_day, tokens_per_minute,
    concurrent_streams
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19);

-- name: UpdateAPIKey :exec
UPDATE api_key
SET name = sqlc.arg(name), requests_per_minute = sqlc.arg(requests_per_minute), requests_per_day = sqlc.arg(requests_per_day),
    tokens_per_minute = sqlc.arg(tokens_per_minute), concurrent_streams = sqlc.arg(concurrent_streams)
WHERE id = sqlc.arg(id) AND account_id = sqlc.arg(account_id);

-- name: GetAPIKeyByHash :one
SELECT * FROM api_key WHERE hash = $1;

-- name: ListAPIKeys :many
SELECT * FROM api_key
WHERE account_id = sqlc.arg(account_id) AND create_time <= sqlc.arg(before_time)
  AND (create_time < sqlc.arg(before_time) OR id < sqlc.arg(before_id))
ORDER BY create_time DESC, id DESC
LIMIT CAST(sqlc.arg(page_size) AS BIGINT);

-- name: RevokeAPIKeyTree :many
-- The key and every key that descends from it.
WITH RECURSIVE tree (id) AS (
    SELECT k.id FROM api_key k WHERE k.id = $1 AND k.account_id = $2
    UNION ALL
    SELECT c.id FROM api_key c JOIN tree t ON c.parent_id = t.id
)
UPDATE api_key SET revoke_time = $3
WHERE api_key.revoke_time IS NULL AND api_key.id IN (SELECT tree.id FROM tree)
RETURNING api_key.id;

-- name: TakeOverAPIKeyTree :many
WITH RECURSIVE tree (id) AS (
    SELECT k.id FROM api_key k WHERE k.id = $1 AND k.account_id = $2
    UNION ALL
    SELECT c.id FROM api_key c JOIN tree t ON c.parent_id = t.id
)
UPDATE api_key SET user_id = $3, role = $4
WHERE api_key.revoke_time IS NULL AND api_key.id IN (SELECT tree.id FROM tree)
RETURNING api_key.id;

-- name: CapAPIKeyTree :many
-- Lowers the limits of the keys that descend from a key to the limits of that key. 0 means no limit.
WITH RECURSIVE tree (id) AS (
    SELECT k.id FROM api_key k WHERE k.id = sqlc.arg(id) AND k.account_id = sqlc.arg(account_id)
    UNION ALL
    SELECT c.id FROM api_key c JOIN tree t ON c.parent_id = t.id
)
UPDATE api_key
SET requests_per_minute = CASE
        WHEN CAST(sqlc.arg(requests_per_minute) AS INTEGER) > 0 AND requests_per_minute > CAST(sqlc.arg(requests_per_minute) AS INTEGER)
        THEN CAST(sqlc.arg(requests_per_minute) AS INTEGER) ELSE requests_per_minute END,
    requests_per_day = CASE
        WHEN CAST(sqlc.arg(requests_per_day) AS INTEGER) > 0 AND requests_per_day > CAST(sqlc.arg(requests_per_day) AS INTEGER)
        THEN CAST(sqlc.arg(requests_per_day) AS INTEGER) ELSE requests_per_day END,
    tokens_per_minute = CASE
        WHEN CAST(sqlc.arg(tokens_per_minute) AS INTEGER) > 0 AND tokens_per_minute > CAST(sqlc.arg(tokens_per_minute) AS INTEGER)
        THEN CAST(sqlc.arg(tokens_per_minute) AS INTEGER) ELSE tokens_per_minute END,
    concurrent_streams = CASE
        WHEN CAST(sqlc.arg(concurrent_streams) AS INTEGER) > 0 AND concurrent_streams > CAST(sqlc.arg(concurrent_streams) AS INTEGER)
        THEN CAST(sqlc.arg(concurrent_streams) AS INTEGER) ELSE concurrent_streams END
WHERE api_key.revoke_time IS NULL AND api_key.id IN (SELECT tree.id FROM tree)
RETURNING api_key.id;

-- name: ListAPIKeyAncestors :many
-- The parent of a key, its parent, and so on.
WITH RECURSIVE above (id, depth) AS (
    SELECT k.parent_id, 1 FROM api_key k WHERE k.id = sqlc.arg(id) AND k.parent_id <> ''
    UNION ALL
    SELECT k.parent_id, above.depth + 1 FROM api_key k JOIN above ON k.id = above.id WHERE k.parent_id <> ''
)
SELECT api_key.* FROM above JOIN api_key ON api_key.id = above.id ORDER BY above.depth;

-- name: HasAPIKey :one
SELECT EXISTS (SELECT 1 FROM api_key WHERE id = $1 AND account_id = $2);

-- name: CountLiveAPIKeys :one
-- An expired key cannot become valid again.
SELECT count(*) FROM api_key
WHERE account_id = sqlc.arg(account_id) AND revoke_time IS NULL AND (expire_time IS NULL OR expire_time > sqlc.arg(now));

-- name: TouchAPIKey :exec
UPDATE api_key SET last_use_time = sqlc.arg(at)
WHERE id = sqlc.arg(id) AND (last_use_time IS NULL OR last_use_time < sqlc.arg(at));

-- name: RehashAPIKey :exec
UPDATE api_key SET hash = sqlc.arg(hash) WHERE id = sqlc.arg(id);

-- name: GetAPIKey :one
SELECT * FROM api_key WHERE id = $1 AND account_id = $2;

-- name: GetCreationKey :one
SELECT * FROM creation_key WHERE id = $1;

-- name: AddCreationKey :exec
INSERT INTO creation_key (id, request_digest, api_key_id, create_time) VALUES ($1, $2, $3, $4);

-- name: DeleteCreationKeys :exec
DELETE FROM creation_key WHERE create_time <= sqlc.arg(before);
