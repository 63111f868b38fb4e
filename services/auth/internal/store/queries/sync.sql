-- name: MembershipIsOver :one
-- A deleted user is never a member, and a deleted organization has no members, whatever a late event says.
SELECT EXISTS (SELECT 1 FROM app_user WHERE app_user.id = sqlc.arg(user_id) AND app_user.delete_time IS NOT NULL)
    OR EXISTS (SELECT 1 FROM organization WHERE organization.id = sqlc.arg(organization_id) AND organization.delete_time IS NOT NULL);

-- name: GetMembershipRow :one
-- Returns tombstones, too.
SELECT * FROM membership WHERE organization_id = $1 AND user_id = $2;

-- name: ReplaceMembership :execrows
-- Writes if the row is still as it was read, whichever state is newer.
UPDATE membership SET
    clerk_id = CASE WHEN CAST(sqlc.arg(clerk_id) AS TEXT) = '' THEN membership.clerk_id ELSE CAST(sqlc.arg(clerk_id) AS TEXT) END,
    role = sqlc.arg(role), permissions = sqlc.arg(permissions), create_time = sqlc.arg(create_time),
    update_time = sqlc.arg(update_time), event_time = sqlc.arg(event_time), delete_time = NULL
WHERE organization_id = sqlc.arg(organization_id) AND user_id = sqlc.arg(user_id) AND membership.update_time = sqlc.arg(was)
  AND NOT (membership.update_time = sqlc.arg(update_time) AND membership.event_time > sqlc.arg(event_time));

-- name: MoveEndOfMembership :exec
-- If a membership ended twice, the later end counts: it keeps away events from between the two.
UPDATE membership SET update_time = sqlc.arg(at), delete_time = sqlc.arg(at)
WHERE organization_id = sqlc.arg(organization_id) AND user_id = sqlc.arg(user_id) AND delete_time < sqlc.arg(at)
  AND (membership.clerk_id IN ('', sqlc.arg(clerk_id)) OR CAST(sqlc.arg(clerk_id) AS TEXT) = '');

-- name: ReplaceUser :execrows
-- Writes if the row is still as it was read, whichever state is newer.
UPDATE app_user SET
    synced = TRUE, primary_email = sqlc.arg(primary_email), emails = sqlc.arg(emails), first_name = sqlc.arg(first_name),
    last_name = sqlc.arg(last_name), image_url = sqlc.arg(image_url), external_id = sqlc.arg(external_id),
    public_metadata = sqlc.arg(public_metadata), banned = sqlc.arg(banned), locked = sqlc.arg(locked),
    lock_expire_time = sqlc.arg(lock_expire_time), deprovisioned = sqlc.arg(deprovisioned),
    create_time = sqlc.arg(create_time), update_time = sqlc.arg(update_time), event_time = sqlc.arg(event_time),
    verified = sqlc.arg(verified)
WHERE id = sqlc.arg(id) AND delete_time IS NULL AND app_user.update_time = sqlc.arg(was)
  AND NOT (app_user.update_time = sqlc.arg(update_time) AND app_user.event_time > sqlc.arg(event_time));

-- name: ReplaceOrganization :execrows
UPDATE organization SET
    synced = TRUE, name = sqlc.arg(name), slug = sqlc.arg(slug), image_url = sqlc.arg(image_url),
    public_metadata = sqlc.arg(public_metadata), create_time = sqlc.arg(create_time), update_time = sqlc.arg(update_time),
    event_time = sqlc.arg(event_time)
WHERE id = sqlc.arg(id) AND delete_time IS NULL AND organization.update_time = sqlc.arg(was)
  AND NOT (organization.update_time = sqlc.arg(update_time) AND organization.event_time > sqlc.arg(event_time));

-- name: ReplaceRole :execrows
UPDATE role SET name = sqlc.arg(name), permissions = sqlc.arg(permissions), update_time = sqlc.arg(update_time),
    event_time = sqlc.arg(event_time)
WHERE id = sqlc.arg(id) AND delete_time IS NULL AND role.update_time = sqlc.arg(was)
  AND NOT (role.update_time = sqlc.arg(update_time) AND role.event_time > sqlc.arg(event_time));

-- name: PutRole :execrows
INSERT INTO role (id, name, permissions, update_time, event_time) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, permissions = excluded.permissions, update_time = excluded.update_time,
    event_time = excluded.event_time
WHERE role.delete_time IS NULL AND (role.update_time < excluded.update_time
    OR (role.update_time = excluded.update_time AND role.event_time <= excluded.event_time));

-- name: TombstoneRole :execrows
INSERT INTO role (id, name, permissions, update_time, delete_time)
VALUES (sqlc.arg(id), '', sqlc.arg(empty_list), sqlc.arg(at), sqlc.arg(at))
ON CONFLICT (id) DO UPDATE SET name = '', permissions = excluded.permissions, update_time = excluded.update_time,
    delete_time = excluded.delete_time
WHERE role.delete_time IS NULL;

-- name: GetRole :one
SELECT * FROM role WHERE id = $1 AND delete_time IS NULL;

-- name: ListRoles :many
SELECT * FROM role WHERE delete_time IS NULL ORDER BY id;

-- name: AddRoleName :exec
INSERT INTO role_name (role_id, since_time, name) VALUES ($1, $2, $3)
ON CONFLICT (role_id, since_time) DO UPDATE SET name = excluded.name;

-- name: ForgetLaterRoleNames :exec
-- Deletes names that the role never had: reconciliation has undone the change that set them.
DELETE FROM role_name WHERE role_id = sqlc.arg(role_id) AND since_time > sqlc.arg(after);

-- name: GetRoleNamed :one
-- The role that had a name at a time: of several roles, the one that took it last. If no role had it then, the first role that took it later.
SELECT r.* FROM role_name n JOIN role r ON r.id = n.role_id
WHERE n.name = sqlc.arg(name) AND r.delete_time IS NULL
ORDER BY (CASE WHEN n.since_time <= sqlc.arg(at) THEN 0 ELSE 1 END),
    (CASE WHEN n.since_time <= sqlc.arg(at) THEN n.since_time END) DESC, n.since_time, r.id
LIMIT 1;

-- name: GiveRoleToMembers :exec
-- Updates all members with any name of the role, unless another role had taken that name before they got it.
UPDATE membership SET role = sqlc.arg(name), permissions = sqlc.arg(permissions)
WHERE delete_time IS NULL AND membership.update_time <= sqlc.arg(update_time)
  AND (role <> sqlc.arg(name) OR permissions <> sqlc.arg(permissions))
  AND role IN (
    SELECT n.name FROM role_name n
    WHERE n.role_id = sqlc.arg(id) AND NOT EXISTS (
        SELECT 1 FROM role_name o
        WHERE o.name = n.name AND o.role_id <> n.role_id AND o.since_time > n.since_time
          AND o.since_time <= membership.update_time));

-- name: ListLostMemberships :many
-- Memberships of deleted organizations or users, and of organizations that were never known if the membership is older than a time.
SELECT m.* FROM membership m
LEFT JOIN organization o ON o.id = m.organization_id
LEFT JOIN app_user u ON u.id = m.user_id
WHERE m.delete_time IS NULL
  AND (o.delete_time IS NOT NULL OR u.delete_time IS NOT NULL
    OR (o.id IS NULL AND m.update_time < sqlc.arg(before)))
  AND (m.organization_id, m.user_id) > (CAST(sqlc.arg(after_organization) AS TEXT), CAST(sqlc.arg(after_user) AS TEXT))
ORDER BY m.organization_id, m.user_id
LIMIT CAST(sqlc.arg(page_size) AS BIGINT);

-- name: RevokePersonalAPIKeys :many
-- A key of an organization belongs to the organization. It is not revoked: it is refused until an admin takes it over.
UPDATE api_key SET revoke_time = sqlc.arg(at)
WHERE user_id = sqlc.arg(user_id) AND organization_id = '' AND revoke_time IS NULL
RETURNING id;

-- name: ForgetAPIKeysOfUser :exec
-- The names were written by the user.
UPDATE api_key SET name = '' WHERE user_id = $1;

-- name: ListAPIKeysOfUser :many
SELECT * FROM api_key WHERE user_id = $1 ORDER BY create_time DESC, id DESC;

-- name: ListUserIDs :many
SELECT id FROM app_user WHERE delete_time IS NULL AND id > sqlc.arg(after) ORDER BY id
LIMIT CAST(sqlc.arg(page_size) AS BIGINT);

-- name: ListOrganizationIDs :many
SELECT id FROM organization WHERE delete_time IS NULL AND id > sqlc.arg(after) ORDER BY id
LIMIT CAST(sqlc.arg(page_size) AS BIGINT);

-- name: BeginErasure :execrows
INSERT INTO erasure (user_id, request_time) VALUES ($1, $2) ON CONFLICT (user_id) DO NOTHING;

-- name: RestartErasure :execrows
UPDATE erasure SET request_time = sqlc.arg(at), complete_time = NULL
WHERE user_id = sqlc.arg(user_id) AND complete_time IS NOT NULL;

-- name: ForgetConfirmations :exec
DELETE FROM erasure_confirmation WHERE user_id = $1;

-- name: ConfirmErasure :exec
INSERT INTO erasure_confirmation (user_id, service, confirm_time) VALUES ($1, $2, $3)
ON CONFLICT (user_id, service) DO NOTHING;

-- name: IsUserDeleted :one
SELECT EXISTS (SELECT 1 FROM app_user WHERE id = $1 AND delete_time IS NOT NULL);

-- name: CompleteErasure :exec
UPDATE erasure SET complete_time = sqlc.arg(at) WHERE user_id = sqlc.arg(user_id) AND complete_time IS NULL;

-- name: GetErasure :one
SELECT * FROM erasure WHERE user_id = $1;

-- name: ListConfirmations :many
SELECT * FROM erasure_confirmation WHERE user_id = $1 ORDER BY service;

-- name: ListErasures :many
SELECT e.user_id, e.request_time, e.complete_time, c.service
FROM (
    SELECT * FROM erasure
    WHERE erasure.request_time <= sqlc.arg(before_time)
      AND (erasure.request_time < sqlc.arg(before_time) OR erasure.user_id < sqlc.arg(before_id))
    ORDER BY erasure.request_time DESC, erasure.user_id DESC
    LIMIT CAST(sqlc.arg(page_size) AS BIGINT)
) e
LEFT JOIN erasure_confirmation c ON c.user_id = e.user_id
ORDER BY e.request_time DESC, e.user_id DESC, c.service;

-- name: ListOpenErasures :many
SELECT user_id, request_time FROM erasure WHERE complete_time IS NULL ORDER BY request_time
LIMIT CAST(sqlc.arg(page_size) AS BIGINT);
