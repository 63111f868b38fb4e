-- +goose Up

-- Clerk's locks end by themselves, and no event says so.
ALTER TABLE users ADD COLUMN lock_expire_time TIMESTAMP;

-- +goose Down
ALTER TABLE users DROP COLUMN lock_expire_time;
