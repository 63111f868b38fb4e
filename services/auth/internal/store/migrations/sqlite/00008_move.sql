-- Moves the data of the tables with plural names. Their times are texts such as 2026-11-23 12:00:00.000123+00:00, with up to
-- six digits of a second and always in UTC. The seconds and the fraction are converted apart, because SQLite's functions
-- keep milliseconds only. Times outside the years 1 to 9999 are kept at the bound, where two names
-- of a role may meet. The table jobs is replaced by job_lease of platform/job.

-- +goose Up
INSERT INTO app_user (
    id, synced, primary_email, emails, first_name, last_name, image_url, external_id, public_metadata, banned,
    deprovisioned, locked, lock_expire_time, create_time, update_time, event_time, delete_time
)
SELECT
    id, synced, primary_email, emails, first_name, last_name, image_url, external_id, public_metadata, banned,
    deprovisioned, locked,
    CASE WHEN lock_expire_time GLOB '-*' THEN -62135596800000000 WHEN lock_expire_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(lock_expire_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(lock_expire_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END,
    CASE WHEN create_time GLOB '-*' THEN -62135596800000000 WHEN create_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(create_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(create_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END,
    CASE WHEN update_time GLOB '-*' THEN -62135596800000000 WHEN update_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(update_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(update_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END,
    CASE WHEN event_time GLOB '-*' THEN -62135596800000000 WHEN event_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(event_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(event_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END,
    CASE WHEN delete_time GLOB '-*' THEN -62135596800000000 WHEN delete_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(delete_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(delete_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END
FROM users;

INSERT INTO user_email (
    address, user_id
)
SELECT
    address, user_id
FROM user_emails;

INSERT INTO organization (
    id, synced, name, slug, image_url, public_metadata, create_time, update_time, event_time, delete_time
)
SELECT
    id, synced, name, slug, image_url, public_metadata,
    CASE WHEN create_time GLOB '-*' THEN -62135596800000000 WHEN create_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(create_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(create_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END,
    CASE WHEN update_time GLOB '-*' THEN -62135596800000000 WHEN update_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(update_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(update_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END,
    CASE WHEN event_time GLOB '-*' THEN -62135596800000000 WHEN event_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(event_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(event_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END,
    CASE WHEN delete_time GLOB '-*' THEN -62135596800000000 WHEN delete_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(delete_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(delete_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END
FROM organizations;

INSERT INTO membership (
    organization_id, user_id, clerk_id, role, permissions, create_time, update_time, event_time, delete_time
)
SELECT
    organization_id, user_id, clerk_id, role, permissions,
    CASE WHEN create_time GLOB '-*' THEN -62135596800000000 WHEN create_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(create_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(create_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END,
    CASE WHEN update_time GLOB '-*' THEN -62135596800000000 WHEN update_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(update_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(update_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END,
    CASE WHEN event_time GLOB '-*' THEN -62135596800000000 WHEN event_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(event_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(event_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END,
    CASE WHEN delete_time GLOB '-*' THEN -62135596800000000 WHEN delete_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(delete_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(delete_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END
FROM memberships;

INSERT INTO ended_membership (
    clerk_id, end_time, note_time
)
SELECT
    clerk_id,
    CASE WHEN end_time GLOB '-*' THEN -62135596800000000 WHEN end_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(end_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(end_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END,
    CASE WHEN note_time GLOB '-*' THEN -62135596800000000 WHEN note_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(note_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(note_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END
FROM ended_memberships;

INSERT INTO role (
    id, name, permissions, update_time, event_time, delete_time
)
SELECT
    id, name, permissions,
    CASE WHEN update_time GLOB '-*' THEN -62135596800000000 WHEN update_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(update_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(update_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END,
    CASE WHEN event_time GLOB '-*' THEN -62135596800000000 WHEN event_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(event_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(event_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END,
    CASE WHEN delete_time GLOB '-*' THEN -62135596800000000 WHEN delete_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(delete_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(delete_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END
FROM roles;

INSERT INTO role_name (
    role_id, since_time, name
)
SELECT
    role_id,
    CASE WHEN since_time GLOB '-*' THEN -62135596800000000 WHEN since_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(since_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(since_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END,
    name
FROM role_names
WHERE TRUE
ON CONFLICT (role_id, since_time) DO NOTHING;

INSERT INTO api_key (
    id, hash, prefix, name, account_id, organization_id, user_id, parent_id, role, scopes, models,
    spend_limit_nano_usd, spend_period_seconds, requests_per_minute, create_time, expire_time, last_use_time,
    revoke_time
)
SELECT
    id, hash, prefix, name, account_id, organization_id, user_id, parent_id, role, scopes, models,
    spend_limit_nano_usd, spend_period_seconds, requests_per_minute,
    CASE WHEN create_time GLOB '-*' THEN -62135596800000000 WHEN create_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(create_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(create_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END,
    CASE WHEN expire_time GLOB '-*' THEN -62135596800000000 WHEN expire_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(expire_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(expire_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END,
    CASE WHEN last_use_time GLOB '-*' THEN -62135596800000000 WHEN last_use_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(last_use_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(last_use_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END,
    CASE WHEN revoke_time GLOB '-*' THEN -62135596800000000 WHEN revoke_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(revoke_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(revoke_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END
FROM api_keys;

INSERT INTO revocation (
    revision, user_id, session_id, api_key_id, create_time
)
SELECT
    revision, user_id, session_id, api_key_id,
    CASE WHEN create_time GLOB '-*' THEN -62135596800000000 WHEN create_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(create_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(create_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END
FROM revocations;

INSERT INTO erasure (
    user_id, request_time, complete_time
)
SELECT
    user_id,
    CASE WHEN request_time GLOB '-*' THEN -62135596800000000 WHEN request_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(request_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(request_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END,
    CASE WHEN complete_time GLOB '-*' THEN -62135596800000000 WHEN complete_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(complete_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(complete_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END
FROM erasures;

INSERT INTO erasure_confirmation (
    user_id, service, confirm_time
)
SELECT
    user_id, service,
    CASE WHEN confirm_time GLOB '-*' THEN -62135596800000000 WHEN confirm_time GLOB '?????-*' THEN 253402300799999999
        ELSE CAST(strftime('%s', substr(confirm_time, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(ltrim(replace(substr(confirm_time, 20), '+00:00', ''), '.') || '000000', 1, 6) AS INTEGER) END
FROM erasure_confirmations;

DROP TABLE user_emails;
DROP TABLE users;
DROP TABLE organizations;
DROP TABLE memberships;
DROP TABLE ended_memberships;
DROP TABLE role_names;
DROP TABLE roles;
DROP TABLE api_keys;
DROP TABLE revocations;
DROP TABLE erasure_confirmations;
DROP TABLE erasures;
DROP TABLE jobs;

-- This migration cannot be undone: restore a backup from before the upgrade.
