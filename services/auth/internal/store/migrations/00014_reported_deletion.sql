-- +goose Up

-- True when billing knows that the organization was deleted. A reconciliation reports the deletions of which it does not know: those from before versions
-- that report them, and those that such a version reported during an upgrade.
ALTER TABLE member_report ADD COLUMN deleted BOOLEAN NOT NULL DEFAULT FALSE;

-- +goose Down
ALTER TABLE member_report DROP COLUMN deleted;
