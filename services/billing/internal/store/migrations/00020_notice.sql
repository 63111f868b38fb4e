-- +goose Up

-- The notices of accounts, one for each event.
CREATE TABLE notice (
    id          TEXT   PRIMARY KEY,
    account_id  TEXT   NOT NULL,
    -- What it is for, unique within the account.
    source      TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    -- The person that it is about; '' for nobody.
    user_id     TEXT   NOT NULL,
    -- A JSON object.
    data        BYTEA  NOT NULL,
    create_time BIGINT NOT NULL,
    CONSTRAINT notice_source UNIQUE (account_id, source)
);
CREATE INDEX notice_of_account ON notice (account_id, id);
CREATE INDEX notice_of_user ON notice (user_id) WHERE user_id <> '';
CREATE INDEX notice_age ON notice (create_time);

-- +goose Down
DROP TABLE notice;
