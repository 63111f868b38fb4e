-- +goose Up

-- Finds the notices of an account's subscription among many others. Its condition is that of the query ListNoticeSources.
CREATE INDEX notice_of_subscription ON notice (account_id, id) WHERE kind NOT IN (
    'credit_threshold', 'limit_threshold', 'overage_threshold', 'top_up_succeeded', 'top_up_failed', 'top_up_disabled', 'top_up_authentication'
);

-- +goose Down
DROP INDEX notice_of_subscription;
