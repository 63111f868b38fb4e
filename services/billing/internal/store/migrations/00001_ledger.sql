-- Money is BIGINT nano-dollars. Times are BIGINT microseconds since 1970 in UTC: exact, and the same on both databases.
-- Whoever changes an account's money changes its account row first: that row is the lock.

-- +goose Up
CREATE TABLE account (
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
    CONSTRAINT account_balance CHECK (balance BETWEEN -8000000000000000000 AND 8000000000000000000),
    CONSTRAINT account_held CHECK (held >= 0),
    CONSTRAINT account_debt CHECK (debt >= 0)
);

CREATE TABLE credit_grant (
    id          TEXT PRIMARY KEY,
    account_id  TEXT   NOT NULL,
    source      TEXT   NOT NULL,
    amount      BIGINT NOT NULL,
    remaining   BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    -- 9223372036854775807 means never.
    expire_time BIGINT NOT NULL,
    UNIQUE (account_id, source),
    CONSTRAINT credit_grant_amount CHECK (amount > 0),
    CONSTRAINT credit_grant_remaining CHECK (remaining BETWEEN 0 AND amount)
);

CREATE TABLE hold (
    -- Made from the account and the request id, so that the key itself makes Reserve idempotent.
    id                    TEXT PRIMARY KEY,
    account_id            TEXT    NOT NULL,
    request_id            TEXT    NOT NULL,
    -- A hash of what was asked for, to tell a repetition from another request under the same id.
    fingerprint           TEXT    NOT NULL,
    user_id               TEXT    NOT NULL,
    api_key_id            TEXT    NOT NULL,
    -- The window of the key's spend limit that the hold counts in; 0: the key has none.
    key_window            BIGINT  NOT NULL,
    model                 TEXT    NOT NULL,
    -- The prices of a million tokens at the time: the call is billed at what it was promised.
    input_price           BIGINT  NOT NULL,
    cached_input_price    BIGINT  NOT NULL,
    output_price          BIGINT  NOT NULL,
    amount                BIGINT  NOT NULL,
    output_tokens         BIGINT  NOT NULL,
    -- open, settled, or swept (settled by the sweeper; a late Settle adjusts it).
    state                 TEXT    NOT NULL,
    create_time           BIGINT  NOT NULL,
    lease_time            BIGINT  NOT NULL,
    -- The last checkpoint.
    used_input_tokens        BIGINT NOT NULL,
    used_cached_input_tokens BIGINT NOT NULL,
    used_output_tokens       BIGINT NOT NULL,
    used_reasoning_tokens    BIGINT NOT NULL,
    -- What Settle answered: the charge, the balance after it, which grants paid ("grant_1=5,grant_2=7"), and the usage record.
    cost                  BIGINT  NOT NULL DEFAULT 0,
    balance_after         BIGINT  NOT NULL DEFAULT 0,
    paid_by               TEXT    NOT NULL DEFAULT '',
    usage_id              TEXT    NOT NULL DEFAULT '',
    settle_time           BIGINT  NOT NULL DEFAULT 0,
    CONSTRAINT hold_amount CHECK (amount >= 0),
    CONSTRAINT hold_state CHECK (state IN ('open', 'settled', 'swept'))
);
-- Small, because it holds only the calls under way; the sweeper walks it.
CREATE INDEX hold_open ON hold (account_id) WHERE state = 'open';

-- What an API key with a spend limit spends in one window of it.
CREATE TABLE key_spend (
    account_id   TEXT   NOT NULL,
    api_key_id   TEXT   NOT NULL,
    -- When the window begins.
    window_start BIGINT NOT NULL,
    held         BIGINT NOT NULL,
    spent        BIGINT NOT NULL,
    PRIMARY KEY (account_id, api_key_id, window_start),
    CONSTRAINT key_spend_held CHECK (held >= 0)
);

CREATE TABLE entry (
    account_id  TEXT   NOT NULL,
    id          TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    debit       TEXT   NOT NULL,
    credit      TEXT   NOT NULL,
    amount      BIGINT NOT NULL,
    reference   TEXT   NOT NULL,
    create_time BIGINT NOT NULL,
    -- Ids grow with time, so the key also pages.
    PRIMARY KEY (account_id, id),
    -- A row is a whole movement: it can't be written out of balance.
    CONSTRAINT entry_amount CHECK (amount > 0),
    CONSTRAINT entry_sides CHECK (debit <> credit),
    CONSTRAINT entry_kind CHECK (kind IN ('grant', 'usage', 'adjustment', 'expiry'))
);

CREATE TABLE usage_record (
    account_id          TEXT    NOT NULL,
    -- Begins with the settle time, so that the key also finds the days.
    id                  TEXT    NOT NULL,
    hold_id             TEXT    NOT NULL,
    -- "2026-11-23", in UTC.
    day                 TEXT    NOT NULL,
    model               TEXT    NOT NULL,
    user_id             TEXT    NOT NULL,
    api_key_id          TEXT    NOT NULL,
    input_tokens        BIGINT  NOT NULL,
    cached_input_tokens BIGINT  NOT NULL,
    output_tokens       BIGINT  NOT NULL,
    reasoning_tokens    BIGINT  NOT NULL,
    cost                BIGINT  NOT NULL,
    outcome             TEXT    NOT NULL,
    estimated           BOOLEAN NOT NULL,
    provider_request_id TEXT    NOT NULL,
    settle_time         BIGINT  NOT NULL,
    PRIMARY KEY (account_id, id),
    CONSTRAINT usage_record_cost CHECK (cost >= 0)
);

-- An account's customer at Stripe; the row is made with the account, and the worker fills it in.
CREATE TABLE customer (
    account_id TEXT PRIMARY KEY,
    stripe_id  TEXT   NOT NULL DEFAULT '',
    attempts   BIGINT NOT NULL DEFAULT 0,
    -- How many idempotency keys Stripe has answered with a failure, which it then repeats for a day.
    spent_keys BIGINT NOT NULL DEFAULT 0,
    -- When it was first tried; 0 before.
    first_time BIGINT NOT NULL DEFAULT 0,
    next_time  BIGINT NOT NULL
);
CREATE INDEX customer_missing ON customer (next_time) WHERE stripe_id = '';

-- +goose Down
DROP TABLE customer;
DROP TABLE usage_record;
DROP TABLE entry;
DROP TABLE key_spend;
DROP TABLE hold;
DROP TABLE credit_grant;
DROP TABLE account;
