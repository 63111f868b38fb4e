-- +goose Up

-- Finds the notices of limits that are deleted. Its condition is that of the query PruneLimitNotices.
CREATE INDEX notice_of_limit_age ON notice (create_time) WHERE kind = 'limit_threshold';

-- +goose Down
DROP INDEX notice_of_limit_age;
