-- +goose Up

-- Whether the hold is in the indexes that sum up the windows of limits. Accounts without limits have no use for them, and each of their calls
-- would pay for them. Versions before this one put every hold in.
ALTER TABLE hold ADD COLUMN limited BOOLEAN NOT NULL DEFAULT TRUE;
DROP INDEX hold_of_member;
DROP INDEX hold_of_key;
CREATE INDEX hold_of_member ON hold (account_id, user_id, create_time) WHERE limited AND user_id <> '';
CREATE INDEX hold_of_key ON hold (account_id, api_key_id, create_time) WHERE limited AND api_key_id <> '';

-- Which of the account's holds are limited. '': none of the new ones, because the account has had no limit. 'all': all of them. 'after <id>': the new
-- ones, and the earlier ones up to that id.
ALTER TABLE account ADD COLUMN limited_up_to TEXT NOT NULL DEFAULT '';
UPDATE account SET limited_up_to = 'all' WHERE key_limited OR spend_limited;

-- +goose Down
ALTER TABLE account DROP COLUMN limited_up_to;
DROP INDEX hold_of_member;
DROP INDEX hold_of_key;
ALTER TABLE hold DROP COLUMN limited;
CREATE INDEX hold_of_member ON hold (account_id, user_id, create_time) WHERE user_id <> '';
CREATE INDEX hold_of_key ON hold (account_id, api_key_id, create_time) WHERE api_key_id <> '';
