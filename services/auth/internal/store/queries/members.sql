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

-- name: CountDeletedOrganizations :one
SELECT COUNT(*) FROM organization WHERE id = $1 AND delete_time IS NOT NULL;

-- name: NoteDeletedOrganization :exec
-- Its members' ends are noted by triggers. An organization without members has none.
INSERT INTO member_change (organization_id, change_id) VALUES ($1, 'deleted') ON CONFLICT (organization_id, change_id) DO NOTHING;

-- name: DropMemberChange :exec
DELETE FROM member_change WHERE organization_id = $1 AND change_id = $2;

-- name: EndMemberReport :exec
-- A report that another one has followed says nothing more.
UPDATE member_report SET deleted = sqlc.arg(deleted) WHERE organization_id = sqlc.arg(organization_id) AND sequence = sqlc.arg(sequence);

-- name: ListUnreportedDeletions :many
SELECT o.id FROM organization AS o LEFT JOIN member_report AS r ON r.organization_id = o.id
WHERE o.delete_time IS NOT NULL AND (r.deleted IS NULL OR NOT r.deleted) AND o.id > sqlc.arg(after)
ORDER BY o.id LIMIT CAST(sqlc.arg(page_size) AS BIGINT);
