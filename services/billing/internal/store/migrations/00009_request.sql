-- +goose Up

-- The X-Request-Id of the call, for the log of requests.
ALTER TABLE hold ADD COLUMN http_request_id TEXT NOT NULL DEFAULT '';
-- When the first call of a segment ended; 0 when that is unknown. The log skips segments that begin too late.
ALTER TABLE usage_segment ADD COLUMN first_time BIGINT NOT NULL DEFAULT 0;
CREATE INDEX usage_segment_span ON usage_segment (account_id, id, first_time);

-- +goose Down
DROP INDEX usage_segment_span;
ALTER TABLE usage_segment DROP COLUMN first_time;
ALTER TABLE hold DROP COLUMN http_request_id;
