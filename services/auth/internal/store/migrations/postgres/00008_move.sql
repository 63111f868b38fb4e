-- Moves the data of the tables with plural names, in one transaction with the locks: a process of the previous version that
-- still runs writes before the move or not at all. Afterwards it reads through views, so that it can go on verifying
-- credentials until it is replaced, and its writes fail. A later migration drops the views. Times outside the years 1 to
-- 9999 are kept at the bound, where two names of a role may meet. The table jobs is replaced by job_lease of platform/job.

-- +goose Up
LOCK TABLE
    users, user_emails, organizations, memberships, ended_memberships, roles, role_names, api_keys, revocations,
    erasures, erasure_confirmations
IN ACCESS EXCLUSIVE MODE;

INSERT INTO app_user (
    id, synced, primary_email, emails, first_name, last_name, image_url, external_id, public_metadata, banned,
    deprovisioned, locked, lock_expire_time, create_time, update_time, event_time, delete_time
)
SELECT
    id, synced, primary_email, emails, first_name, last_name, image_url, external_id, public_metadata, banned,
    deprovisioned, locked,
    CASE WHEN lock_expire_time < '0001-01-01' THEN -62135596800000000 WHEN lock_expire_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM lock_expire_time) * 1000000 AS BIGINT) END,
    CASE WHEN create_time < '0001-01-01' THEN -62135596800000000 WHEN create_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM create_time) * 1000000 AS BIGINT) END,
    CASE WHEN update_time < '0001-01-01' THEN -62135596800000000 WHEN update_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM update_time) * 1000000 AS BIGINT) END,
    CASE WHEN event_time < '0001-01-01' THEN -62135596800000000 WHEN event_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM event_time) * 1000000 AS BIGINT) END,
    CASE WHEN delete_time < '0001-01-01' THEN -62135596800000000 WHEN delete_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM delete_time) * 1000000 AS BIGINT) END
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
    CASE WHEN create_time < '0001-01-01' THEN -62135596800000000 WHEN create_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM create_time) * 1000000 AS BIGINT) END,
    CASE WHEN update_time < '0001-01-01' THEN -62135596800000000 WHEN update_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM update_time) * 1000000 AS BIGINT) END,
    CASE WHEN event_time < '0001-01-01' THEN -62135596800000000 WHEN event_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM event_time) * 1000000 AS BIGINT) END,
    CASE WHEN delete_time < '0001-01-01' THEN -62135596800000000 WHEN delete_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM delete_time) * 1000000 AS BIGINT) END
FROM organizations;

INSERT INTO membership (
    organization_id, user_id, clerk_id, role, permissions, create_time, update_time, event_time, delete_time
)
SELECT
    organization_id, user_id, clerk_id, role, permissions,
    CASE WHEN create_time < '0001-01-01' THEN -62135596800000000 WHEN create_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM create_time) * 1000000 AS BIGINT) END,
    CASE WHEN update_time < '0001-01-01' THEN -62135596800000000 WHEN update_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM update_time) * 1000000 AS BIGINT) END,
    CASE WHEN event_time < '0001-01-01' THEN -62135596800000000 WHEN event_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM event_time) * 1000000 AS BIGINT) END,
    CASE WHEN delete_time < '0001-01-01' THEN -62135596800000000 WHEN delete_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM delete_time) * 1000000 AS BIGINT) END
FROM memberships;

INSERT INTO ended_membership (
    clerk_id, end_time, note_time
)
SELECT
    clerk_id,
    CASE WHEN end_time < '0001-01-01' THEN -62135596800000000 WHEN end_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM end_time) * 1000000 AS BIGINT) END,
    CASE WHEN note_time < '0001-01-01' THEN -62135596800000000 WHEN note_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM note_time) * 1000000 AS BIGINT) END
FROM ended_memberships;

INSERT INTO role (
    id, name, permissions, update_time, event_time, delete_time
)
SELECT
    id, name, permissions,
    CASE WHEN update_time < '0001-01-01' THEN -62135596800000000 WHEN update_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM update_time) * 1000000 AS BIGINT) END,
    CASE WHEN event_time < '0001-01-01' THEN -62135596800000000 WHEN event_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM event_time) * 1000000 AS BIGINT) END,
    CASE WHEN delete_time < '0001-01-01' THEN -62135596800000000 WHEN delete_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM delete_time) * 1000000 AS BIGINT) END
FROM roles;

INSERT INTO role_name (
    role_id, since_time, name
)
SELECT
    role_id,
    CASE WHEN since_time < '0001-01-01' THEN -62135596800000000 WHEN since_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM since_time) * 1000000 AS BIGINT) END,
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
    CASE WHEN create_time < '0001-01-01' THEN -62135596800000000 WHEN create_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM create_time) * 1000000 AS BIGINT) END,
    CASE WHEN expire_time < '0001-01-01' THEN -62135596800000000 WHEN expire_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM expire_time) * 1000000 AS BIGINT) END,
    CASE WHEN last_use_time < '0001-01-01' THEN -62135596800000000 WHEN last_use_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM last_use_time) * 1000000 AS BIGINT) END,
    CASE WHEN revoke_time < '0001-01-01' THEN -62135596800000000 WHEN revoke_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM revoke_time) * 1000000 AS BIGINT) END
FROM api_keys;

INSERT INTO revocation (
    revision, user_id, session_id, api_key_id, create_time
)
SELECT
    revision, user_id, session_id, api_key_id,
    CASE WHEN create_time < '0001-01-01' THEN -62135596800000000 WHEN create_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM create_time) * 1000000 AS BIGINT) END
FROM revocations;

INSERT INTO erasure (
    user_id, request_time, complete_time
)
SELECT
    user_id,
    CASE WHEN request_time < '0001-01-01' THEN -62135596800000000 WHEN request_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM request_time) * 1000000 AS BIGINT) END,
    CASE WHEN complete_time < '0001-01-01' THEN -62135596800000000 WHEN complete_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM complete_time) * 1000000 AS BIGINT) END
FROM erasures;

INSERT INTO erasure_confirmation (
    user_id, service, confirm_time
)
SELECT
    user_id, service,
    CASE WHEN confirm_time < '0001-01-01' THEN -62135596800000000 WHEN confirm_time >= '10000-01-01' THEN 253402300799999999
        ELSE CAST(EXTRACT(EPOCH FROM confirm_time) * 1000000 AS BIGINT) END
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

CREATE VIEW users AS SELECT
    id, synced, primary_email, emails, first_name, last_name, image_url, external_id, public_metadata, banned,
    deprovisioned, locked,
    TIMESTAMP '1970-01-01' + lock_expire_time * INTERVAL '1 microsecond' AS lock_expire_time,
    TIMESTAMP '1970-01-01' + create_time * INTERVAL '1 microsecond' AS create_time,
    TIMESTAMP '1970-01-01' + update_time * INTERVAL '1 microsecond' AS update_time,
    TIMESTAMP '1970-01-01' + event_time * INTERVAL '1 microsecond' AS event_time,
    TIMESTAMP '1970-01-01' + delete_time * INTERVAL '1 microsecond' AS delete_time
FROM app_user;
CREATE VIEW user_emails AS SELECT
    address, user_id
FROM user_email;
CREATE VIEW organizations AS SELECT
    id, synced, name, slug, image_url, public_metadata,
    TIMESTAMP '1970-01-01' + create_time * INTERVAL '1 microsecond' AS create_time,
    TIMESTAMP '1970-01-01' + update_time * INTERVAL '1 microsecond' AS update_time,
    TIMESTAMP '1970-01-01' + event_time * INTERVAL '1 microsecond' AS event_time,
    TIMESTAMP '1970-01-01' + delete_time * INTERVAL '1 microsecond' AS delete_time
FROM organization;
CREATE VIEW memberships AS SELECT
    organization_id, user_id, clerk_id, role, permissions,
    TIMESTAMP '1970-01-01' + create_time * INTERVAL '1 microsecond' AS create_time,
    TIMESTAMP '1970-01-01' + update_time * INTERVAL '1 microsecond' AS update_time,
    TIMESTAMP '1970-01-01' + event_time * INTERVAL '1 microsecond' AS event_time,
    TIMESTAMP '1970-01-01' + delete_time * INTERVAL '1 microsecond' AS delete_time
FROM membership;
CREATE VIEW ended_memberships AS SELECT
    clerk_id,
    TIMESTAMP '1970-01-01' + end_time * INTERVAL '1 microsecond' AS end_time,
    TIMESTAMP '1970-01-01' + note_time * INTERVAL '1 microsecond' AS note_time
FROM ended_membership;
CREATE VIEW roles AS SELECT
    id, name, permissions,
    TIMESTAMP '1970-01-01' + update_time * INTERVAL '1 microsecond' AS update_time,
    TIMESTAMP '1970-01-01' + event_time * INTERVAL '1 microsecond' AS event_time,
    TIMESTAMP '1970-01-01' + delete_time * INTERVAL '1 microsecond' AS delete_time
FROM role;
CREATE VIEW role_names AS SELECT
    role_id,
    TIMESTAMP '1970-01-01' + since_time * INTERVAL '1 microsecond' AS since_time,
    name
FROM role_name;
CREATE VIEW api_keys AS SELECT
    id, hash, prefix, name, account_id, organization_id, user_id, parent_id, role, scopes, models,
    spend_limit_nano_usd, spend_period_seconds, requests_per_minute,
    TIMESTAMP '1970-01-01' + create_time * INTERVAL '1 microsecond' AS create_time,
    TIMESTAMP '1970-01-01' + expire_time * INTERVAL '1 microsecond' AS expire_time,
    TIMESTAMP '1970-01-01' + last_use_time * INTERVAL '1 microsecond' AS last_use_time,
    TIMESTAMP '1970-01-01' + revoke_time * INTERVAL '1 microsecond' AS revoke_time
FROM api_key;
CREATE VIEW revocations AS SELECT
    revision, user_id, session_id, api_key_id,
    TIMESTAMP '1970-01-01' + create_time * INTERVAL '1 microsecond' AS create_time
FROM revocation;
CREATE VIEW erasures AS SELECT
    user_id,
    TIMESTAMP '1970-01-01' + request_time * INTERVAL '1 microsecond' AS request_time,
    TIMESTAMP '1970-01-01' + complete_time * INTERVAL '1 microsecond' AS complete_time
FROM erasure;
CREATE VIEW erasure_confirmations AS SELECT
    user_id, service,
    TIMESTAMP '1970-01-01' + confirm_time * INTERVAL '1 microsecond' AS confirm_time
FROM erasure_confirmation;

-- This migration cannot be undone: restore a backup from before the upgrade.
