-- Responses in the background that a request is about to begin: they have no id of the provider yet, and count in the limit of their account.

-- +goose Up
CREATE TABLE background_starting (
    -- Made by the process that begins the response.
    id          TEXT PRIMARY KEY,
    account_id  TEXT   NOT NULL,
    -- When it does not count any more, because its process has died.
    expire_time BIGINT NOT NULL
);

CREATE INDEX background_starting_account ON background_starting (account_id);

-- +goose Down
DROP TABLE background_starting;
