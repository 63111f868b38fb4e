-- +goose Up

-- What the grant paid for holds that are deleted, and for debt of no hold, so that the auditor can recompute what is left of it: the holds that are
-- there say what it paid for them. NULL for a grant that a version before this one has made: what it paid for deleted holds is not known.
ALTER TABLE credit_grant ADD COLUMN paid_before BIGINT;

-- +goose Down
ALTER TABLE credit_grant DROP COLUMN paid_before;
