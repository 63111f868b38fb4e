-- +goose Up

-- An organization that was deleted: its subscriptions end with their periods.
ALTER TABLE member_count ADD COLUMN deleted BOOLEAN NOT NULL DEFAULT FALSE;

-- +goose Down
ALTER TABLE member_count DROP COLUMN deleted;
