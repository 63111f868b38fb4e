-- name: GetStanding :one
-- Everything that a decision about a verified session needs, in one round trip.
SELECT
    u.synced AS user_synced, u.banned, u.deprovisioned, u.verified, u.primary_email, u.delete_time AS user_deleted,
    o.synced AS organization_synced, o.delete_time AS organization_deleted,
    m.role, m.permissions, m.update_time AS member_updated, m.delete_time AS member_deleted,
    EXISTS (SELECT 1 FROM revocation r WHERE r.session_id = sqlc.arg(session_id) AND r.session_id <> '') AS session_revoked
FROM (SELECT CAST(sqlc.arg(user_id) AS TEXT) AS user_id, CAST(sqlc.arg(organization_id) AS TEXT) AS organization_id) q
LEFT JOIN app_user u ON u.id = q.user_id
LEFT JOIN organization o ON o.id = q.organization_id
LEFT JOIN membership m ON m.organization_id = q.organization_id AND m.user_id = q.user_id;

-- name: IntroduceUser :exec
INSERT INTO app_user (
    id, synced, primary_email, emails, first_name, last_name, image_url, external_id, public_metadata, banned, locked,
    create_time, update_time
) VALUES ($1, FALSE, $2, $3, $4, $5, '', '', $6, FALSE, FALSE, $7, $8)
ON CONFLICT (id) DO NOTHING;

-- name: IntroduceOrganization :exec
INSERT INTO organization (id, synced, name, slug, image_url, public_metadata, create_time, update_time)
VALUES ($1, FALSE, '', $2, '', $3, $4, $5)
ON CONFLICT (id) DO NOTHING;

-- name: PutUser :execrows
INSERT INTO app_user (
    id, synced, primary_email, emails, first_name, last_name, image_url, external_id, public_metadata, banned, locked,
    lock_expire_time, deprovisioned, create_time, update_time, event_time, verified
) VALUES ($1, TRUE, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (id) DO UPDATE SET
    synced = TRUE, primary_email = excluded.primary_email, emails = excluded.emails, first_name = excluded.first_name,
    last_name = excluded.last_name, image_url = excluded.image_url, external_id = excluded.external_id,
    public_metadata = excluded.public_metadata, banned = excluded.banned, locked = excluded.locked,
    lock_expire_time = excluded.lock_expire_time, deprovisioned = excluded.deprovisioned, verified = excluded.verified,
    create_time = excluded.create_time, update_time = excluded.update_time, event_time = excluded.event_time
WHERE app_user.delete_time IS NULL AND (app_user.synced = FALSE OR app_user.update_time < excluded.update_time
    OR (app_user.update_time = excluded.update_time AND app_user.event_time <= excluded.event_time));

-- name: TombstoneUser :execrows
INSERT INTO app_user (
    id, synced, primary_email, emails, first_name, last_name, image_url, external_id, public_metadata, banned, locked,
    create_time, update_time, delete_time
) VALUES (sqlc.arg(id), TRUE, '', sqlc.arg(empty_list), '', '', '', '', sqlc.arg(empty_object), FALSE, FALSE,
    sqlc.arg(at), sqlc.arg(at), sqlc.arg(at))
ON CONFLICT (id) DO UPDATE SET
    synced = TRUE, primary_email = '', emails = excluded.emails, first_name = '', last_name = '', image_url = '',
    external_id = '', verified = FALSE, public_metadata = excluded.public_metadata, update_time = excluded.update_time,
    delete_time = excluded.delete_time
WHERE app_user.delete_time IS NULL;

-- name: ListEmails :many
SELECT address FROM user_email WHERE user_id = $1;

-- name: ClearEmails :exec
DELETE FROM user_email WHERE user_id = $1;

-- name: AddEmail :exec
INSERT INTO user_email (address, user_id) VALUES ($1, $2) ON CONFLICT (address, user_id) DO NOTHING;

-- name: GetUserState :one
SELECT banned, deprovisioned, delete_time FROM app_user WHERE id = $1;

-- name: GetUser :one
SELECT * FROM app_user WHERE id = $1 AND delete_time IS NULL;

-- name: ListUsers :many
SELECT * FROM app_user
WHERE delete_time IS NULL AND create_time <= sqlc.arg(before_time)
  AND (create_time < sqlc.arg(before_time) OR id < sqlc.arg(before_id))
ORDER BY create_time DESC, id DESC
LIMIT CAST(sqlc.arg(page_size) AS BIGINT);

-- name: ListUsersByEmail :many
SELECT u.* FROM user_email e JOIN app_user u ON u.id = e.user_id
WHERE e.address = sqlc.arg(address) AND u.delete_time IS NULL AND u.create_time <= sqlc.arg(before_time)
  AND (u.create_time < sqlc.arg(before_time) OR u.id < sqlc.arg(before_id))
ORDER BY u.create_time DESC, u.id DESC
LIMIT CAST(sqlc.arg(page_size) AS BIGINT);

-- name: PutOrganization :execrows
INSERT INTO organization (id, synced, name, slug, image_url, public_metadata, create_time, update_time, event_time)
VALUES ($1, TRUE, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (id) DO UPDATE SET
    synced = TRUE, name = excluded.name, slug = excluded.slug, image_url = excluded.image_url,
    public_metadata = excluded.public_metadata, create_time = excluded.create_time, update_time = excluded.update_time,
    event_time = excluded.event_time
WHERE organization.delete_time IS NULL
  AND (organization.synced = FALSE OR organization.update_time < excluded.update_time
    OR (organization.update_time = excluded.update_time AND organization.event_time <= excluded.event_time));

-- name: TombstoneOrganization :execrows
INSERT INTO organization (id, synced, name, slug, image_url, public_metadata, create_time, update_time, delete_time)
VALUES (sqlc.arg(id), TRUE, '', '', '', sqlc.arg(empty_object), sqlc.arg(at), sqlc.arg(at), sqlc.arg(at))
ON CONFLICT (id) DO UPDATE SET
    synced = TRUE, name = '', slug = '', image_url = '', public_metadata = excluded.public_metadata,
    update_time = excluded.update_time, delete_time = excluded.delete_time
WHERE organization.delete_time IS NULL;

-- name: GetOrganization :one
SELECT * FROM organization WHERE id = $1 AND delete_time IS NULL;

-- name: ListOrganizations :many
SELECT * FROM organization
WHERE delete_time IS NULL AND create_time <= sqlc.arg(before_time)
  AND (create_time < sqlc.arg(before_time) OR id < sqlc.arg(before_id))
ORDER BY create_time DESC, id DESC
LIMIT CAST(sqlc.arg(page_size) AS BIGINT);

-- name: PutMembership :execrows
-- A deleted membership may come back, when the user joins again. Of two memberships with different ids the one that began later
-- counts. Otherwise the new state must be newer than the stored state and than the deletion.
INSERT INTO membership (organization_id, user_id, clerk_id, role, permissions, create_time, update_time, event_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (organization_id, user_id) DO UPDATE SET
    clerk_id = CASE WHEN excluded.clerk_id = '' THEN membership.clerk_id ELSE excluded.clerk_id END,
    role = excluded.role, permissions = excluded.permissions, create_time = excluded.create_time,
    update_time = excluded.update_time, event_time = excluded.event_time, delete_time = NULL
WHERE CASE
    WHEN membership.clerk_id IN ('', excluded.clerk_id) OR excluded.clerk_id = '' THEN
        (membership.update_time < excluded.update_time
            OR (membership.update_time = excluded.update_time AND membership.event_time <= excluded.event_time))
        AND (membership.delete_time IS NULL OR membership.delete_time < excluded.update_time)
    ELSE membership.create_time < excluded.create_time END;

-- name: IdentifyMembership :exec
-- Stores only the id of a membership that was known from a token: the rest of the row is newer.
UPDATE membership SET clerk_id = sqlc.arg(clerk_id), create_time = sqlc.arg(create_time)
WHERE organization_id = sqlc.arg(organization_id) AND user_id = sqlc.arg(user_id) AND membership.clerk_id = ''
  AND delete_time IS NULL;

-- name: NoteMembership :execrows
-- Stores what a token says about a membership, and keeps the time of joining. If the stored membership is deleted, the token belongs to another one.
INSERT INTO membership (organization_id, user_id, role, permissions, create_time, update_time)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (organization_id, user_id) DO UPDATE SET
    clerk_id = CASE WHEN membership.delete_time IS NULL THEN membership.clerk_id ELSE '' END,
    role = excluded.role, permissions = excluded.permissions, update_time = excluded.update_time, delete_time = NULL
WHERE membership.update_time <= excluded.update_time
  AND (membership.delete_time IS NULL OR membership.delete_time < excluded.update_time);

-- name: TombstoneMembership :execrows
-- Ends the stored membership if it may be the one that ended (same id, or no id), or if it began before that one.
INSERT INTO membership (organization_id, user_id, clerk_id, role, permissions, create_time, update_time, delete_time)
VALUES (sqlc.arg(organization_id), sqlc.arg(user_id), sqlc.arg(clerk_id), '', sqlc.arg(empty_list), sqlc.arg(create_time),
    sqlc.arg(at), sqlc.arg(at))
ON CONFLICT (organization_id, user_id) DO UPDATE SET
    clerk_id = CASE WHEN excluded.clerk_id = '' THEN membership.clerk_id ELSE excluded.clerk_id END,
    create_time = CASE WHEN excluded.clerk_id IN ('', membership.clerk_id) THEN membership.create_time
        ELSE excluded.create_time END,
    role = '', permissions = excluded.permissions, update_time = excluded.update_time, delete_time = excluded.delete_time
WHERE membership.update_time <= excluded.update_time AND CASE
    WHEN membership.clerk_id IN ('', excluded.clerk_id) OR excluded.clerk_id = '' THEN membership.delete_time IS NULL
    ELSE membership.create_time < sqlc.arg(joined) END;

-- name: DisownMembership :exec
-- The membership has ended, but a later token says that the user is a member: that is another membership, whose id is not known.
UPDATE membership SET clerk_id = ''
WHERE organization_id = sqlc.arg(organization_id) AND user_id = sqlc.arg(user_id) AND membership.clerk_id = sqlc.arg(clerk_id)
  AND delete_time IS NULL;

-- name: FindMembership :one
SELECT organization_id, user_id FROM membership WHERE clerk_id = $1 LIMIT 1;

-- name: AddEndedMembership :exec
INSERT INTO ended_membership (clerk_id, end_time, note_time) VALUES ($1, $2, $3) ON CONFLICT (clerk_id) DO NOTHING;

-- name: GetEndedMembership :one
SELECT * FROM ended_membership WHERE clerk_id = $1;

-- name: ForgetEndedMembership :exec
DELETE FROM ended_membership WHERE clerk_id = $1;

-- name: PruneEndedMemberships :exec
DELETE FROM ended_membership WHERE note_time < sqlc.arg(before);

-- name: TombstoneMembershipsOfUser :exec
UPDATE membership SET role = '', permissions = sqlc.arg(empty_list), update_time = sqlc.arg(at), delete_time = sqlc.arg(at)
WHERE user_id = sqlc.arg(user_id) AND delete_time IS NULL;

-- name: TombstoneMembershipsOfOrganization :exec
UPDATE membership SET role = '', permissions = sqlc.arg(empty_list), update_time = sqlc.arg(at), delete_time = sqlc.arg(at)
WHERE organization_id = sqlc.arg(organization_id) AND delete_time IS NULL;

-- name: ListMemberships :many
SELECT * FROM membership
WHERE delete_time IS NULL
  AND (organization_id, user_id) > (CAST(sqlc.arg(after_organization) AS TEXT), CAST(sqlc.arg(after_user) AS TEXT))
ORDER BY organization_id, user_id
LIMIT CAST(sqlc.arg(page_size) AS BIGINT);

-- name: ListMembershipsOfOrganization :many
SELECT * FROM membership
WHERE delete_time IS NULL AND organization_id = sqlc.arg(organization_id) AND user_id > sqlc.arg(after_user)
ORDER BY user_id
LIMIT CAST(sqlc.arg(page_size) AS BIGINT);

-- name: ListMembershipsOfUser :many
SELECT * FROM membership
WHERE delete_time IS NULL AND user_id = sqlc.arg(user_id) AND organization_id > sqlc.arg(after_organization)
ORDER BY organization_id
LIMIT CAST(sqlc.arg(page_size) AS BIGINT);

-- name: GetMembership :one
SELECT * FROM membership WHERE organization_id = $1 AND user_id = $2 AND delete_time IS NULL;

-- name: ListMemberIDs :many
SELECT user_id FROM membership WHERE organization_id = $1 AND delete_time IS NULL;
