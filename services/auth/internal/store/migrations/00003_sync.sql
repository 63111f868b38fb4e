-- +goose Up

-- The roles of organizations, as Clerk's events tell them: a role's permissions change without a word about its members.
CREATE TABLE roles (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL, -- without "org:"
    permissions BYTEA NOT NULL, -- JSON list
    update_time TIMESTAMP NOT NULL,
    delete_time TIMESTAMP
);
CREATE INDEX roles_by_name ON roles (name);
CREATE INDEX memberships_of_role ON memberships (role);

-- Who was erased or is being erased. It holds no more of a person than the id, which the tombstone keeps too.
CREATE TABLE erasures (
    user_id       TEXT PRIMARY KEY,
    request_time  TIMESTAMP NOT NULL,
    complete_time TIMESTAMP -- when the last service confirmed
);
CREATE INDEX erasures_newest ON erasures (request_time DESC, user_id DESC);
CREATE TABLE erasure_confirmations (
    user_id      TEXT NOT NULL REFERENCES erasures (user_id),
    service      TEXT NOT NULL,
    confirm_time TIMESTAMP NOT NULL,
    PRIMARY KEY (user_id, service)
);

-- What one replica does at a time: who does it, until when, how far it is and when it was last done.
CREATE TABLE jobs (
    name              TEXT PRIMARY KEY,
    holder            TEXT NOT NULL, -- '' when nobody
    lease_expire_time TIMESTAMP NOT NULL,
    progress          BYTEA NOT NULL, -- JSON object; {} when none is under way
    done_time         TIMESTAMP
);
INSERT INTO jobs (name, holder, lease_expire_time, progress) VALUES ('reconcile', '', '1970-01-01 00:00:00+00:00', '{}');

-- +goose Down
DROP TABLE jobs;
DROP TABLE erasure_confirmations;
DROP TABLE erasures;
DROP INDEX memberships_of_role;
DROP TABLE roles;
