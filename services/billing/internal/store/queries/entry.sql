-- name: ListEntriesBefore :many
SELECT sqlc.embed(entry), COALESCE(credit_grant.source, '') AS grant_source
FROM entry LEFT JOIN credit_grant ON credit_grant.id = entry.reference
WHERE entry.account_id = sqlc.arg(account_id) AND entry.id < sqlc.arg(before)
ORDER BY entry.id DESC LIMIT CAST(sqlc.arg(most) AS BIGINT);
