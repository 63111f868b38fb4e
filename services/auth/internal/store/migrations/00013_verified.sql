-- +goose Up

-- True when Clerk has verified an email address or a phone number of the user. A user from before gets it with the next event, or with the
-- next reconciliation.
ALTER TABLE app_user ADD COLUMN verified BOOLEAN NOT NULL DEFAULT FALSE;

-- +goose Down
ALTER TABLE app_user DROP COLUMN verified;
