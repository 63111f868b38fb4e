-- +goose Up

-- The last preview of a change of each account's subscription, as JSON.
CREATE TABLE subscription_preview (
    account_id TEXT  PRIMARY KEY,
    preview    BYTEA NOT NULL
);

-- +goose Down
DROP TABLE subscription_preview;
