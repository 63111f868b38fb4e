-- Tables have singular names, and times are BIGINT microseconds since 1970 in UTC: exact, and the same on both databases.
-- NULL means never. The next migration, which is another one for each database, moves the data here.

-- +goose Up

-- Users. A row whose synced is false holds only what a verified token said. A row with delete_time is a tombstone without
-- personal data: a late event cannot bring the user back. (user is a reserved word.)
CREATE TABLE app_user (
    id               TEXT    PRIMARY KEY,
    synced           BOOLEAN NOT NULL,
    primary_email    TEXT    NOT NULL,
    emails           BYTEA   NOT NULL, -- JSON list of addresses, the primary one first
    first_name       TEXT    NOT NULL,
    last_name        TEXT    NOT NULL,
    image_url        TEXT    NOT NULL,
    external_id      TEXT    NOT NULL,
    public_metadata  BYTEA   NOT NULL, -- JSON object
    banned           BOOLEAN NOT NULL,
    -- A company's directory (SCIM) removed the user.
    deprovisioned    BOOLEAN NOT NULL DEFAULT FALSE,
    locked           BOOLEAN NOT NULL,
    -- Clerk's locks end by themselves, and no event says so.
    lock_expire_time BIGINT,
    create_time      BIGINT  NOT NULL,
    update_time      BIGINT  NOT NULL, -- Clerk's: an older write never replaces a newer one
    -- When Clerk sent what the row holds: it orders events with the same update_time. 0 when it is not known.
    event_time       BIGINT  NOT NULL DEFAULT 0,
    delete_time      BIGINT
);
CREATE INDEX app_user_newest ON app_user (create_time DESC, id DESC);

-- Every address of every user, in lower case, for look-up. Not unique: Clerk may move an address between users, and the
-- events of the two may come in any order.
CREATE TABLE user_email (
    address TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES app_user (id),
    PRIMARY KEY (address, user_id)
);
CREATE INDEX user_email_of_user ON user_email (user_id);

CREATE TABLE organization (
    id              TEXT    PRIMARY KEY,
    synced          BOOLEAN NOT NULL,
    name            TEXT    NOT NULL,
    slug            TEXT    NOT NULL,
    image_url       TEXT    NOT NULL,
    public_metadata BYTEA   NOT NULL, -- JSON object
    create_time     BIGINT  NOT NULL,
    update_time     BIGINT  NOT NULL,
    event_time      BIGINT  NOT NULL DEFAULT 0,
    delete_time     BIGINT
);
CREATE INDEX organization_newest ON organization (create_time DESC, id DESC);

-- No foreign keys: a membership's event may come before its user's or its organization's.
CREATE TABLE membership (
    organization_id TEXT   NOT NULL,
    user_id         TEXT   NOT NULL,
    -- Clerk's id of it; a user who joins again gets another one. '' when only a token told of it.
    clerk_id        TEXT   NOT NULL DEFAULT '',
    role            TEXT   NOT NULL, -- without "org:"
    permissions     BYTEA  NOT NULL, -- JSON list
    create_time     BIGINT NOT NULL,
    update_time     BIGINT NOT NULL,
    event_time      BIGINT NOT NULL DEFAULT 0,
    delete_time     BIGINT,
    PRIMARY KEY (organization_id, user_id)
);
CREATE INDEX membership_of_user ON membership (user_id, organization_id);
CREATE INDEX membership_of_role ON membership (role);
CREATE INDEX membership_by_clerk_id ON membership (clerk_id);

-- Memberships that Clerk reported as ended, by Clerk's id. The end may come before the beginning, and may tell no more than
-- the id.
CREATE TABLE ended_membership (
    clerk_id  TEXT   PRIMARY KEY,
    end_time  BIGINT, -- when it ended, if Clerk says so
    note_time BIGINT NOT NULL -- when the event came
);
CREATE INDEX ended_membership_by_time ON ended_membership (note_time);

-- The roles of organizations. A role's permissions change without an event about its members.
CREATE TABLE role (
    id          TEXT   PRIMARY KEY,
    name        TEXT   NOT NULL, -- without "org:"
    permissions BYTEA  NOT NULL, -- JSON list
    update_time BIGINT NOT NULL,
    event_time  BIGINT NOT NULL DEFAULT 0,
    delete_time BIGINT
);
CREATE INDEX role_by_name ON role (name);

-- The name of each role from a time on: an event about a member names the role as it was called then, and may come after the
-- event that renamed the role.
CREATE TABLE role_name (
    role_id    TEXT   NOT NULL,
    since_time BIGINT NOT NULL,
    name       TEXT   NOT NULL,
    PRIMARY KEY (role_id, since_time)
);
CREATE INDEX role_name_by_name ON role_name (name, since_time);

-- The secret of a key is nowhere: hash is HMAC-SHA-256 under a server secret.
CREATE TABLE api_key (
    id                   TEXT    PRIMARY KEY,
    hash                 BYTEA   NOT NULL UNIQUE,
    prefix               TEXT    NOT NULL,
    name                 TEXT    NOT NULL,
    account_id           TEXT    NOT NULL,
    organization_id      TEXT    NOT NULL, -- '' for a personal account
    user_id              TEXT    NOT NULL, -- who made it
    -- The API key that made the key; '' for a user. A key ends with its parent.
    parent_id            TEXT    NOT NULL DEFAULT '',
    role                 TEXT    NOT NULL, -- of the maker, when it was made
    scopes               BYTEA   NOT NULL, -- JSON list
    models               BYTEA   NOT NULL, -- JSON list
    spend_limit_nano_usd BIGINT  NOT NULL,
    spend_period_seconds BIGINT  NOT NULL, -- 0: the account's billing period
    requests_per_minute  INTEGER NOT NULL,
    create_time          BIGINT  NOT NULL,
    expire_time          BIGINT,
    last_use_time        BIGINT,
    revoke_time          BIGINT
);
CREATE INDEX api_key_of_account ON api_key (account_id, create_time DESC, id DESC);
CREATE INDEX api_key_of_user ON api_key (user_id);
CREATE INDEX api_key_of_parent ON api_key (parent_id);

-- Revoked credentials, in commit order, for the caches of all replicas; revocation_head numbers them.
CREATE TABLE revocation (
    revision    BIGINT PRIMARY KEY,
    user_id     TEXT   NOT NULL, -- exactly one of the three is not ''
    session_id  TEXT   NOT NULL,
    api_key_id  TEXT   NOT NULL,
    create_time BIGINT NOT NULL
);
CREATE INDEX revocation_of_session ON revocation (session_id);
CREATE INDEX revocation_by_time ON revocation (create_time);

-- Users who were erased or are being erased. It holds no more of a user than the id, which the tombstone keeps too.
CREATE TABLE erasure (
    user_id       TEXT   PRIMARY KEY,
    request_time  BIGINT NOT NULL,
    complete_time BIGINT -- when the last service confirmed
);
CREATE INDEX erasure_newest ON erasure (request_time DESC, user_id DESC);
CREATE TABLE erasure_confirmation (
    user_id      TEXT   NOT NULL REFERENCES erasure (user_id),
    service      TEXT   NOT NULL,
    confirm_time BIGINT NOT NULL,
    PRIMARY KEY (user_id, service)
);

-- +goose Down
DROP TABLE erasure_confirmation;
DROP TABLE erasure;
DROP TABLE revocation;
DROP TABLE api_key;
DROP TABLE role_name;
DROP TABLE role;
DROP TABLE ended_membership;
DROP TABLE membership;
DROP TABLE organization;
DROP TABLE user_email;
DROP TABLE app_user;
