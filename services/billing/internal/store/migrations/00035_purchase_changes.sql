-- +goose Up

-- The payments of changes within a month share the grants whose sources begin with this and a colon: a later payment may be heard of first, and has its grant
-- by then. Empty for a purchase that has a grant of its own, and for changes that a version before this one has written, until the account is followed.
ALTER TABLE purchase ADD COLUMN changes TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE purchase DROP COLUMN changes;
