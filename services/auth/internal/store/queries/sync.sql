-- name: MembershipIsOver :one
-- Whoever is gone can't be a member, whatever a late event says.
SELECT EXISTS (SELECT 1 FROM users WHERE users.id = sqlc.arg(user_id) AND users.delete_time IS NOT NULL)
    OR EXISTS (SELECT 1 FROM organizations WHERE organizations.id = sqlc.arg(organization_id) AND organizations.delete_time IS NOT NULL);

-- name: GetMembershipRow :one
-- Tombstones included.
SELECT * FROM memberships WHERE organization_id = $1 AND user_id = $2;

-- name: ReplaceMembership :execrows
-- Guarded by what was read, instead of by whose news is newer.
UPDATE memberships SET
    role = sqlc.arg(role), permissions = sqlc.arg(permissions), create_time = sqlc.arg(create_time),
    update_time = sqlc.arg(update_time), delete_time = NULL
WHERE organization_id = sqlc.arg(organization_id) AND user_id = sqlc.arg(user_id) AND update_time = sqlc.arg(was);

-- name: PutRole :execrows
INSERT INTO roles (id, name, permissions, update_time) VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, permissions = excluded.permissions, update_time = excluded.update_time
WHERE roles.delete_time IS NULL AND roles.update_time <= excluded.update_time;

-- name: TombstoneRole :execrows
INSERT INTO roles (id, name, permissions, update_time, delete_time)
VALUES (sqlc.arg(id), '', sqlc.arg(empty_list), sqlc.arg(at), sqlc.arg(at))
ON CONFLICT (id) DO UPDATE SET name = '', permissions = excluded.permissions, update_time = excluded.update_time,
    delete_time = excluded.delete_time
WHERE roles.delete_time IS NULL;

-- name: GetRoleByName :one
SELECT * FROM roles WHERE name = $1 AND delete_time IS NULL ORDER BY update_time DESC, id LIMIT 1;

-- name: SetPermissionsOfRole :exec
UPDATE memberships SET permissions = sqlc.arg(permissions)
WHERE role = sqlc.arg(role) AND delete_time IS NULL AND permissions <> sqlc.arg(permissions);

-- name: RevokeApiKeysOfUser :many
UPDATE api_keys SET revoke_time = sqlc.arg(at) WHERE user_id = sqlc.arg(user_id) AND revoke_time IS NULL
RETURNING id;

-- name: ForgetApiKeysOfUser :exec
-- The names are what the person wrote.
UPDATE api_keys SET name = '' WHERE user_id = $1;

-- name: ListApiKeysOfUser :many
SELECT * FROM api_keys WHERE user_id = $1 ORDER BY create_time DESC, id DESC;

-- name: ListUserIDs :many
SELECT id FROM users WHERE delete_time IS NULL AND id > sqlc.arg(after) ORDER BY id
LIMIT CAST(sqlc.arg(page_size) AS BIGINT);

-- name: ListOrganizationIDs :many
SELECT id FROM organizations WHERE delete_time IS NULL AND id > sqlc.arg(after) ORDER BY id
LIMIT CAST(sqlc.arg(page_size) AS BIGINT);

-- name: BeginErasure :execrows
INSERT INTO erasures (user_id, request_time) VALUES ($1, $2) ON CONFLICT (user_id) DO NOTHING;

-- name: RestartErasure :execrows
UPDATE erasures SET request_time = sqlc.arg(at), complete_time = NULL
WHERE user_id = sqlc.arg(user_id) AND complete_time IS NOT NULL;

-- name: ForgetConfirmations :exec
DELETE FROM erasure_confirmations WHERE user_id = $1;

-- name: ConfirmErasure :exec
INSERT INTO erasure_confirmations (user_id, service, confirm_time) VALUES ($1, $2, $3)
ON CONFLICT (user_id, service) DO NOTHING;

-- name: CompleteErasure :exec
UPDATE erasures SET complete_time = sqlc.arg(at) WHERE user_id = sqlc.arg(user_id) AND complete_time IS NULL;

-- name: GetErasure :one
SELECT * FROM erasures WHERE user_id = $1;

-- name: ListConfirmations :many
SELECT * FROM erasure_confirmations WHERE user_id = $1 ORDER BY service;

-- name: ListErasures :many
SELECT e.user_id, e.request_time, e.complete_time, c.service
FROM (
    SELECT * FROM erasures
    WHERE erasures.request_time <= sqlc.arg(before_time)
      AND (erasures.request_time < sqlc.arg(before_time) OR erasures.user_id < sqlc.arg(before_id))
    ORDER BY erasures.request_time DESC, erasures.user_id DESC
    LIMIT CAST(sqlc.arg(page_size) AS BIGINT)
) e
LEFT JOIN erasure_confirmations c ON c.user_id = e.user_id
ORDER BY e.request_time DESC, e.user_id DESC, c.service;

-- name: ListOpenErasures :many
SELECT user_id, request_time FROM erasures WHERE complete_time IS NULL ORDER BY request_time
LIMIT CAST(sqlc.arg(page_size) AS BIGINT);

-- name: AcquireJob :execrows
UPDATE jobs SET holder = sqlc.arg(holder), lease_expire_time = sqlc.arg(expire_time)
WHERE name = sqlc.arg(name) AND lease_expire_time <= sqlc.arg(now)
  AND (done_time IS NULL OR done_time <= sqlc.arg(done_before));

-- name: GetJob :one
SELECT * FROM jobs WHERE name = $1;

-- name: SaveJob :execrows
UPDATE jobs SET progress = sqlc.arg(progress), lease_expire_time = sqlc.arg(expire_time)
WHERE name = sqlc.arg(name) AND holder = sqlc.arg(holder);

-- name: ReleaseJob :exec
UPDATE jobs SET holder = '', lease_expire_time = sqlc.arg(now)
WHERE name = sqlc.arg(name) AND holder = sqlc.arg(holder);

-- name: FinishJob :exec
UPDATE jobs SET holder = '', lease_expire_time = sqlc.arg(now), done_time = sqlc.arg(now), progress = sqlc.arg(empty_object)
WHERE name = sqlc.arg(name) AND holder = sqlc.arg(holder);
