-- +goose Up

-- The API key that made the key; '' for a person. A key ends with its parent.
ALTER TABLE api_keys ADD COLUMN parent_id TEXT NOT NULL DEFAULT '';
CREATE INDEX api_keys_of_parent ON api_keys (parent_id);

-- A company's directory (SCIM) removed the person.
ALTER TABLE users ADD COLUMN deprovisioned BOOLEAN NOT NULL DEFAULT FALSE;

-- When Clerk said what the row holds: it orders events about the same update_time.
ALTER TABLE users ADD COLUMN event_time TIMESTAMP NOT NULL DEFAULT '1970-01-01 00:00:00+00:00';
ALTER TABLE organizations ADD COLUMN event_time TIMESTAMP NOT NULL DEFAULT '1970-01-01 00:00:00+00:00';
ALTER TABLE memberships ADD COLUMN event_time TIMESTAMP NOT NULL DEFAULT '1970-01-01 00:00:00+00:00';
ALTER TABLE roles ADD COLUMN event_time TIMESTAMP NOT NULL DEFAULT '1970-01-01 00:00:00+00:00';

-- +goose Down
ALTER TABLE roles DROP COLUMN event_time;
ALTER TABLE memberships DROP COLUMN event_time;
ALTER TABLE organizations DROP COLUMN event_time;
ALTER TABLE users DROP COLUMN event_time;
ALTER TABLE users DROP COLUMN deprovisioned;
DROP INDEX api_keys_of_parent;
ALTER TABLE api_keys DROP COLUMN parent_id;
