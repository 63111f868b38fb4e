-- +goose Up

-- People. A row whose synced is false holds only what a verified token said; a row with delete_time is a tombstone
-- without personal data, so that a late event can't bring the person back.
CREATE TABLE users (
    id              TEXT PRIMARY KEY,
    synced          BOOLEAN NOT NULL,
    primary_email   TEXT NOT NULL,
    emails          BYTEA NOT NULL, -- JSON list of addresses, the primary one first
    first_name      TEXT NOT NULL,
    last_name       TEXT NOT NULL,
    image_url       TEXT NOT NULL,
    external_id     TEXT NOT NULL,
    public_metadata BYTEA NOT NULL, -- JSON object
    banned          BOOLEAN NOT NULL,
    locked          BOOLEAN NOT NULL,
    create_time     TIMESTAMP NOT NULL,
    update_time     TIMESTAMP NOT NULL, -- Clerk's: an older write never replaces a newer one
    delete_time     TIMESTAMP
);
CREATE INDEX users_newest ON users (create_time DESC, id DESC);

-- Every address of every person, in lower case, for look-up. Not unique: Clerk may move an address between people, and
-- the events of the two may come in any order.
CREATE TABLE user_emails (
    address TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id),
    PRIMARY KEY (address, user_id)
);
CREATE INDEX user_emails_of_user ON user_emails (user_id);

CREATE TABLE organizations (
    id              TEXT PRIMARY KEY,
    synced          BOOLEAN NOT NULL,
    name            TEXT NOT NULL,
    slug            TEXT NOT NULL,
    image_url       TEXT NOT NULL,
    public_metadata BYTEA NOT NULL, -- JSON object
    create_time     TIMESTAMP NOT NULL,
    update_time     TIMESTAMP NOT NULL,
    delete_time     TIMESTAMP
);
CREATE INDEX organizations_newest ON organizations (create_time DESC, id DESC);

-- No foreign keys: a membership's event may come before its user's or its organization's.
CREATE TABLE memberships (
    organization_id TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    role            TEXT NOT NULL, -- without "org:"
    permissions     BYTEA NOT NULL, -- JSON list
    create_time     TIMESTAMP NOT NULL,
    update_time     TIMESTAMP NOT NULL,
    delete_time     TIMESTAMP,
    PRIMARY KEY (organization_id, user_id)
);
CREATE INDEX memberships_of_user ON memberships (user_id, organization_id);

-- The secret of a key is nowhere: hash is HMAC-SHA-256 under a server secret.
CREATE TABLE api_keys (
    id                   TEXT PRIMARY KEY,
    hash                 BYTEA NOT NULL UNIQUE,
    prefix               TEXT NOT NULL,
    name                 TEXT NOT NULL,
    account_id           TEXT NOT NULL,
    organization_id      TEXT NOT NULL, -- '' for a personal account
    user_id              TEXT NOT NULL, -- who made it
    role                 TEXT NOT NULL, -- of the maker, when it was made
    scopes               BYTEA NOT NULL, -- JSON list
    models               BYTEA NOT NULL, -- JSON list
    spend_limit_nano_usd BIGINT NOT NULL,
    spend_period_seconds BIGINT NOT NULL, -- 0: the account's billing period
    requests_per_minute  INTEGER NOT NULL,
    create_time          TIMESTAMP NOT NULL,
    expire_time          TIMESTAMP,
    last_use_time        TIMESTAMP,
    revoke_time          TIMESTAMP
);
CREATE INDEX api_keys_of_account ON api_keys (account_id, create_time DESC, id DESC);
CREATE INDEX api_keys_of_user ON api_keys (user_id);

-- What stopped being good, in commit order, for the caches of all replicas. The one row of revocation_head gives the
-- numbers: its lock makes the order of numbers the order of commits, which a sequence would not.
CREATE TABLE revocation_head (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL
);
INSERT INTO revocation_head (id, revision) VALUES (1, 0);
CREATE TABLE revocations (
    revision    BIGINT PRIMARY KEY,
    user_id     TEXT NOT NULL, -- exactly one of the three is not ''
    session_id  TEXT NOT NULL,
    api_key_id  TEXT NOT NULL,
    create_time TIMESTAMP NOT NULL
);
CREATE INDEX revocations_of_session ON revocations (session_id);
CREATE INDEX revocations_by_time ON revocations (create_time);

-- +goose Down
DROP TABLE revocations;
DROP TABLE revocation_head;
DROP TABLE api_keys;
DROP TABLE memberships;
DROP TABLE organizations;
DROP TABLE user_emails;
DROP TABLE users;
