-- +goose Up

-- Users who were erased not long ago, as digests: what providers still make for them is deleted at once.
CREATE TABLE erased_user (
    digest     TEXT PRIMARY KEY,
    erase_time BIGINT NOT NULL
);

-- +goose Down
DROP TABLE erased_user;
