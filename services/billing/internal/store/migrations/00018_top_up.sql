-- +goose Up

-- Automatic top-ups that accounts have set up.
CREATE TABLE top_up (
    account_id  TEXT   PRIMARY KEY,
    -- The pack that is bought when the balance is at the threshold or below it. Money is in nano-dollars.
    pack_id     TEXT   NOT NULL,
    threshold   BIGINT NOT NULL,
    -- The maximum of the packs' prices in a calendar month.
    monthly_cap BIGINT NOT NULL,
    state       TEXT   NOT NULL,
    -- Payments that failed since the last one that succeeded.
    declines    BIGINT NOT NULL DEFAULT 0,
    -- When it was set up last.
    set_time    BIGINT NOT NULL,
    -- The balance is not looked at before this time.
    next_time   BIGINT NOT NULL,
    CONSTRAINT top_up_amounts CHECK (threshold >= 0 AND monthly_cap > 0),
    CONSTRAINT top_up_state CHECK (state IN ('on', 'off', 'declined', 'authentication', 'no_card', 'disputed'))
);
CREATE INDEX top_up_due ON top_up (next_time) WHERE state = 'on';

-- The purchases of packs that top-ups make. A row is committed before Stripe is called, and its id is stored with the invoice at Stripe, so that an
-- unknown outcome can be looked up.
CREATE TABLE top_up_charge (
    id          TEXT   PRIMARY KEY,
    account_id  TEXT   NOT NULL,
    pack_id     TEXT   NOT NULL,
    -- Stripe's id of the pack's price, and the price in cents.
    price       TEXT   NOT NULL,
    cents       BIGINT NOT NULL,
    -- "new": to be paid. "closing": its invoice is to be voided. "paid". "declined". "canceled": it was not needed any more.
    state       TEXT   NOT NULL,
    -- What "closing" becomes, and the state of top_up that a decline leads to; '' for none.
    verdict     TEXT   NOT NULL DEFAULT '',
    create_time BIGINT NOT NULL,
    next_time   BIGINT NOT NULL,
    -- Attempts that were made, and idempotency keys that can no longer be used.
    attempts    BIGINT NOT NULL DEFAULT 0,
    spent_keys  BIGINT NOT NULL DEFAULT 0,
    -- Stripe's ids; '' for none.
    customer_id TEXT   NOT NULL DEFAULT '',
    invoice_id  TEXT   NOT NULL DEFAULT '',
    item_id     TEXT   NOT NULL DEFAULT '',
    -- Why the payment failed.
    problem     TEXT   NOT NULL DEFAULT '',
    CONSTRAINT top_up_charge_cents CHECK (cents > 0),
    CONSTRAINT top_up_charge_state CHECK (state IN ('new', 'closing', 'paid', 'declined', 'canceled'))
);
-- An account has one purchase in progress.
CREATE UNIQUE INDEX top_up_charge_open ON top_up_charge (account_id) WHERE state IN ('new', 'closing');
CREATE INDEX top_up_charge_due ON top_up_charge (next_time, id) WHERE state IN ('new', 'closing');
CREATE INDEX top_up_charge_of_account ON top_up_charge (account_id, create_time);

-- +goose Down
DROP TABLE top_up_charge;
DROP TABLE top_up;
