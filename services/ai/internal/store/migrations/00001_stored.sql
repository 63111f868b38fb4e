-- Who owns what a provider keeps. No content is stored. Times are BIGINT microseconds since 1970 in UTC.

-- +goose Up
CREATE TABLE stored_response (
    -- The provider's id.
    id          TEXT PRIMARY KEY,
    account_id  TEXT   NOT NULL,
    user_id     TEXT   NOT NULL,
    model       TEXT   NOT NULL,
    -- The target that keeps the response.
    target      TEXT   NOT NULL,
    -- The tokens of the response with everything before it; 0 when they are not known.
    tokens      BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    -- From then on the response is not found any more, and is deleted at the provider. 0: its user was erased.
    delete_time BIGINT NOT NULL,
    -- When the deletion may be tried next.
    retry_time  BIGINT NOT NULL,
    CONSTRAINT stored_response_tokens CHECK (tokens >= 0)
);

CREATE INDEX stored_response_user ON stored_response (user_id, id);
CREATE INDEX stored_response_delete ON stored_response (delete_time, id);

CREATE TABLE stored_item (
    id          TEXT PRIMARY KEY,
    response_id TEXT NOT NULL
);

CREATE INDEX stored_item_response ON stored_item (response_id);

-- +goose Down
DROP TABLE stored_item;
DROP TABLE stored_response;
