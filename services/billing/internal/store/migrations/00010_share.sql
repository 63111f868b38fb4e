-- +goose Up

-- What each person has once, and the account that uses it.
CREATE TABLE person_share (
    -- "credit": that of a plan that is not paid for; "trial".
    share      TEXT NOT NULL,
    -- The person's id; its SHA-256 once the person is erased.
    person     TEXT NOT NULL,
    account_id TEXT NOT NULL,
    PRIMARY KEY (share, person),
    CONSTRAINT person_share_account UNIQUE (share, account_id)
);
-- Accounts that exist keep their credit. A personal account has its person's id.
INSERT INTO person_share (share, person, account_id) SELECT 'credit', id, id FROM account;

-- +goose Down
DROP TABLE person_share;
