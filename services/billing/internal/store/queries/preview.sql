-- name: PutPreview :exec
INSERT INTO subscription_preview (account_id, preview) VALUES ($1, $2) ON CONFLICT (account_id) DO UPDATE SET preview = excluded.preview;

-- name: GetPreview :one
SELECT preview FROM subscription_preview WHERE account_id = $1;

-- name: DropPreview :exec
DELETE FROM subscription_preview WHERE account_id = $1;
