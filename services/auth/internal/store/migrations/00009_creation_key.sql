-- +goose Up

-- The API keys that were made under an idempotency key. The ids and digests say nothing about the caller or the request.
CREATE TABLE creation_key (
    id             TEXT   PRIMARY KEY, -- of the account, the caller and the key
    request_digest TEXT   NOT NULL,
    api_key_id     TEXT   NOT NULL,
    create_time    BIGINT NOT NULL
);
CREATE INDEX creation_key_by_time ON creation_key (create_time);

-- +goose Down
DROP TABLE creation_key;
