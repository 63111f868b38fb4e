-- +goose Up

-- A corrected call looks for the purchases of its account whose payment was taken back.
CREATE INDEX purchase_of_account ON purchase (account_id);

-- +goose Down
DROP INDEX purchase_of_account;
