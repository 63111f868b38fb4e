-- +goose Up

-- What a log of calls needs besides what is billed.
ALTER TABLE hold ADD COLUMN target TEXT NOT NULL DEFAULT '';
ALTER TABLE hold ADD COLUMN served_model TEXT NOT NULL DEFAULT '';
-- In microseconds; 0 when it is unknown.
ALTER TABLE hold ADD COLUMN latency BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hold ADD COLUMN first_byte BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hold ADD COLUMN error_code TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE hold DROP COLUMN error_code;
ALTER TABLE hold DROP COLUMN first_byte;
ALTER TABLE hold DROP COLUMN latency;
ALTER TABLE hold DROP COLUMN served_model;
ALTER TABLE hold DROP COLUMN target;
