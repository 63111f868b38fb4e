-- +goose Up

-- What a call used besides plain text tokens, such as "images=2".
ALTER TABLE hold ADD COLUMN details TEXT NOT NULL DEFAULT '';
-- The cost at the last checkpoint of a call that is priced by who makes it; 0 for other calls.
ALTER TABLE hold ADD COLUMN used_cost BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE hold DROP COLUMN used_cost;
ALTER TABLE hold DROP COLUMN details;
