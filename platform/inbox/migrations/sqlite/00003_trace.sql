-- +goose Up
-- The W3C traceparent of the request that put the event; NULL when it was not traced.
ALTER TABLE inbox_payload ADD COLUMN trace TEXT;

-- +goose Down
ALTER TABLE inbox_payload DROP COLUMN trace;
