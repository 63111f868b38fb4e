-- +goose Up

-- When a notice of a limit's window may be deleted before its retention is over; 0 for other notices, and for those that versions before this one wrote.
ALTER TABLE notice ADD COLUMN expire_time BIGINT NOT NULL DEFAULT 0;
DROP INDEX notice_of_limit_age;
-- Finds the notices that are deleted early. Its condition is that of the query PruneExpiredNotices.
CREATE INDEX notice_of_expiry ON notice (expire_time) WHERE expire_time > 0;

-- +goose Down
DROP INDEX notice_of_expiry;
CREATE INDEX notice_of_limit_age ON notice (create_time) WHERE kind = 'limit_threshold';
ALTER TABLE notice DROP COLUMN expire_time;
