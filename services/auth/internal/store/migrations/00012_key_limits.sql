-- +goose Up

-- The rate limits of a key besides requests per minute; 0 means none of its own.
ALTER TABLE api_key ADD COLUMN requests_per_day INTEGER NOT NULL DEFAULT 0;
ALTER TABLE api_key ADD COLUMN tokens_per_minute INTEGER NOT NULL DEFAULT 0;
ALTER TABLE api_key ADD COLUMN concurrent_streams INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE api_key DROP COLUMN concurrent_streams;
ALTER TABLE api_key DROP COLUMN tokens_per_minute;
ALTER TABLE api_key DROP COLUMN requests_per_day;
