-- name: ListChangedOrganizations :many
SELECT DISTINCT organization_id FROM member_change WHERE organization_id > sqlc.arg(after)
ORDER BY organization_id LIMIT CAST(sqlc.arg(page_size) AS BIGINT);

-- name: ListMemberChanges :many
SELECT change_id FROM member_change WHERE organization_id = $1 ORDER BY change_id LIMIT CAST(sqlc.arg(page_size) AS BIGINT);

-- name: NextMemberReport :one
INSERT INTO member_report (organization_id, sequence) VALUES ($1, 1)
ON CONFLICT (organization_id) DO UPDATE SET sequence = member_report.sequence + 1
RETURNING sequence;

-- name: CountMembers :one
SELECT COUNT(*) FROM membership WHERE organization_id = $1 AND delete_time IS NULL;

-- name: DropMemberChange :exec
DELETE FROM member_change WHERE organization_id = $1 AND change_id = $2;
