-- +goose Up

-- The threshold and the window that a notice of a threshold is for, and the amount of which it is a part; '' and 0 for other notices, and for those that
-- versions before this one wrote.
ALTER TABLE notice ADD COLUMN threshold TEXT NOT NULL DEFAULT '';
ALTER TABLE notice ADD COLUMN amount BIGINT NOT NULL DEFAULT 0;
-- Finds the largest amount whose threshold was told.
CREATE INDEX notice_of_threshold ON notice (account_id, threshold, amount) WHERE threshold <> '';

-- +goose Down
DROP INDEX notice_of_threshold;
ALTER TABLE notice DROP COLUMN amount;
ALTER TABLE notice DROP COLUMN threshold;
