-- +goose Up

-- The calls that were made under an idempotency key. The ids and digests say nothing about the caller or the call.
CREATE TABLE call_key (
    id             TEXT   PRIMARY KEY, -- of the account, the caller and the key
    request_digest TEXT   NOT NULL,
    request_id     TEXT   NOT NULL, -- the call's
    create_time    BIGINT NOT NULL
);
CREATE INDEX call_key_by_time ON call_key (create_time);

-- +goose Down
DROP TABLE call_key;
