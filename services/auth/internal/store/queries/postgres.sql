-- Locks that last until the commit, for rows that may not exist yet. SQLite has one writer and does not need them.

-- name: LockRoles :exec
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/auth/roles', 0));

-- name: LockMembershipShared :exec
-- Always in this order: roles, organization, user.
SELECT pg_advisory_xact_lock_shared(hashtextextended(current_schema() || '/auth/roles', 0)),
    pg_advisory_xact_lock_shared(hashtextextended(current_schema() || '/auth/organization/' || CAST(sqlc.arg(organization_id) AS TEXT), 0)),
    pg_advisory_xact_lock_shared(hashtextextended(current_schema() || '/auth/user/' || CAST(sqlc.arg(user_id) AS TEXT), 0));

-- name: LockUser :exec
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/auth/user/' || CAST(sqlc.arg(user_id) AS TEXT), 0));

-- name: LockOrganization :exec
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/auth/organization/' || CAST(sqlc.arg(organization_id) AS TEXT), 0));

-- name: LockMembershipID :exec
-- Comes after LockMembershipShared.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/auth/membership/' || CAST(sqlc.arg(clerk_id) AS TEXT), 0));

-- name: LockKeys :exec
-- Locks the set of an account's API keys.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/auth/keys/' || CAST(sqlc.arg(account_id) AS TEXT), 0));
