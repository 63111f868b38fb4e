-- +goose Up

-- account gets bounds for all of its sums: SQLite makes a sum beyond 64 bits a floating-point number instead of refusing it. What such
-- a sum has become is cut to the bound.
CREATE TABLE account_new (
    id                         TEXT PRIMARY KEY,
    plan                       TEXT   NOT NULL,
    balance                    BIGINT NOT NULL,
    held                       BIGINT NOT NULL,
    -- What was used beyond all credit; the next grant pays it.
    debt                       BIGINT NOT NULL,
    create_time                BIGINT NOT NULL,
    period_start_time          BIGINT NOT NULL,
    period_end_time            BIGINT NOT NULL,
    -- When credit expires or the period ends, whichever is first: from then on nothing is held before the account was brought up to date.
    due_time                   BIGINT NOT NULL,
    period_requests            BIGINT NOT NULL,
    period_input_tokens        BIGINT NOT NULL,
    period_cached_input_tokens BIGINT NOT NULL,
    period_output_tokens       BIGINT NOT NULL,
    period_reasoning_tokens    BIGINT NOT NULL,
    period_cost                BIGINT NOT NULL,
    -- Whether key_window has rows of the account's keys. Without any, the calls of its keys need not look for them.
    key_limited                BOOLEAN NOT NULL DEFAULT FALSE,
    CONSTRAINT account_balance CHECK (balance BETWEEN -8000000000000000000 AND 8000000000000000000),
    CONSTRAINT account_held CHECK (held BETWEEN 0 AND 8000000000000000000),
    CONSTRAINT account_debt CHECK (debt BETWEEN 0 AND 8000000000000000000),
    CONSTRAINT account_period_requests CHECK (period_requests BETWEEN 0 AND 8000000000000000000),
    CONSTRAINT account_period_input_tokens CHECK (period_input_tokens BETWEEN 0 AND 8000000000000000000),
    CONSTRAINT account_period_cached_input_tokens CHECK (period_cached_input_tokens BETWEEN 0 AND 8000000000000000000),
    CONSTRAINT account_period_output_tokens CHECK (period_output_tokens BETWEEN 0 AND 8000000000000000000),
    CONSTRAINT account_period_reasoning_tokens CHECK (period_reasoning_tokens BETWEEN 0 AND 8000000000000000000),
    CONSTRAINT account_period_cost CHECK (period_cost BETWEEN 0 AND 8000000000000000000)
);
INSERT INTO account_new (
    id, plan, balance, held, debt, create_time, period_start_time, period_end_time, due_time, period_requests,
    period_input_tokens, period_cached_input_tokens, period_output_tokens, period_reasoning_tokens, period_cost
)
SELECT
    id, plan, balance,
    CASE WHEN held > 8000000000000000000 THEN 8000000000000000000 ELSE held END,
    CASE WHEN debt > 8000000000000000000 THEN 8000000000000000000 ELSE debt END,
    create_time, period_start_time, period_end_time, due_time,
    CASE WHEN period_requests > 8000000000000000000 THEN 8000000000000000000 ELSE period_requests END,
    CASE WHEN period_input_tokens > 8000000000000000000 THEN 8000000000000000000 ELSE period_input_tokens END,
    CASE WHEN period_cached_input_tokens > 8000000000000000000 THEN 8000000000000000000 ELSE period_cached_input_tokens END,
    CASE WHEN period_output_tokens > 8000000000000000000 THEN 8000000000000000000 ELSE period_output_tokens END,
    CASE WHEN period_reasoning_tokens > 8000000000000000000 THEN 8000000000000000000 ELSE period_reasoning_tokens END,
    CASE WHEN period_cost > 8000000000000000000 THEN 8000000000000000000 ELSE period_cost END
FROM account;
DROP TABLE account;
ALTER TABLE account_new RENAME TO account;

-- The part of a hold's cost that no grant has paid yet. The account's debt is the sum over its holds, and what was owed before this column.
ALTER TABLE hold ADD COLUMN owed BIGINT NOT NULL DEFAULT 0 CONSTRAINT hold_owed CHECK (owed >= 0);
CREATE INDEX hold_in_debt ON hold (account_id) WHERE owed > 0;

-- What an API key holds and spends in a window of its spend limit: all of its holds that were made in it, whether or not the key
-- had that limit then. A row is made from the holds when it is first needed, and deleted some time after its window; should it be needed
-- again, it is made again. It replaces key_spend and hold.key_window, which a later migration drops: versions before this one write them.
CREATE TABLE key_window (
    account_id TEXT   NOT NULL,
    api_key_id TEXT   NOT NULL,
    -- The length of the limit's windows; 0 for the account's billing period.
    period     BIGINT NOT NULL,
    start_time BIGINT NOT NULL,
    end_time   BIGINT NOT NULL,
    held       BIGINT NOT NULL,
    spent      BIGINT NOT NULL,
    PRIMARY KEY (account_id, api_key_id, period, start_time),
    CONSTRAINT key_window_times CHECK (start_time < end_time),
    CONSTRAINT key_window_held CHECK (held BETWEEN 0 AND 8000000000000000000),
    CONSTRAINT key_window_spent CHECK (spent BETWEEN 0 AND 8000000000000000000)
);
CREATE INDEX key_window_end ON key_window (end_time);
CREATE INDEX hold_of_key ON hold (account_id, api_key_id, create_time) WHERE api_key_id <> '';

-- People who were erased, by the SHA-256 of their ids: what was under way then must not bring them back.
CREATE TABLE erased_user (
    user_hash  TEXT   PRIMARY KEY,
    erase_time BIGINT NOT NULL
);

-- Customers at Stripe of people who were erased: the mirror keeps no metadata of them.
CREATE TABLE erased_customer (
    stripe_id TEXT PRIMARY KEY
);

-- +goose Down
DROP TABLE erased_customer;
DROP TABLE erased_user;
DROP INDEX hold_of_key;
DROP TABLE key_window;
DROP INDEX hold_in_debt;
ALTER TABLE hold DROP COLUMN owed;
ALTER TABLE account DROP COLUMN key_limited;
