-- +goose Up

-- Usage beyond all credit, which Stripe's invoices charge. 0 is the time of what never was.
ALTER TABLE account ADD COLUMN overage_cap BIGINT NOT NULL DEFAULT 0 CONSTRAINT account_overage_cap CHECK (overage_cap >= 0);
-- What the present period has used of the cap.
ALTER TABLE account ADD COLUMN overage_used BIGINT NOT NULL DEFAULT 0 CONSTRAINT account_overage_used CHECK (overage_used >= 0);
-- All overage of the account, whether or not it was invoiced.
ALTER TABLE account ADD COLUMN overage_total BIGINT NOT NULL DEFAULT 0 CONSTRAINT account_overage_total CHECK (overage_total >= 0);
-- Calls that began before this time may use overage.
ALTER TABLE account ADD COLUMN overage_close_time BIGINT NOT NULL DEFAULT 0;
-- overage_used is the overage of the periods that began at or after the first time. A period that begins before the second one shares its cap
-- with them: a plan that is changed or bought again within a period does not get a cap twice.
ALTER TABLE account ADD COLUMN overage_start_time BIGINT NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN overage_end_time BIGINT NOT NULL DEFAULT 0;

-- The part of a hold's cost that is overage, and the start of the period in which it counts.
ALTER TABLE hold ADD COLUMN overage BIGINT NOT NULL DEFAULT 0 CONSTRAINT hold_overage CHECK (overage >= 0);
ALTER TABLE hold ADD COLUMN overage_start_time BIGINT NOT NULL DEFAULT 0;
-- The overage that is to be folded.
ALTER TABLE unfolded_call ADD COLUMN overage BIGINT NOT NULL DEFAULT 0 CONSTRAINT unfolded_call_overage CHECK (overage >= 0);

-- The overage of each period.
CREATE TABLE overage_period (
    account_id TEXT   NOT NULL,
    start_time BIGINT NOT NULL,
    end_time   BIGINT NOT NULL,
    amount     BIGINT NOT NULL,
    PRIMARY KEY (account_id, start_time)
);

-- How the overage of an account is invoiced.
CREATE TABLE overage_billing (
    account_id      TEXT   PRIMARY KEY,
    -- The subscription whose plan allows it, and that plan's reference.
    subscription_id TEXT   NOT NULL,
    plan            TEXT   NOT NULL,
    -- What the next charge is for, such as "renewal:1767225600". A change of it sets due_time.
    cycle           TEXT   NOT NULL,
    -- When the next charge is made.
    due_time        BIGINT NOT NULL,
    -- The sum of the charges, in nano-dollars.
    charged         BIGINT NOT NULL DEFAULT 0,
    CONSTRAINT overage_billing_charged CHECK (charged >= 0)
);
CREATE INDEX overage_billing_due ON overage_billing (due_time);

-- The charges: whole cents that Stripe invoices once. A row is committed before Stripe is called, and its id is stored with the item at
-- Stripe, so that an unknown outcome can be looked up.
CREATE TABLE overage_charge (
    id              TEXT   PRIMARY KEY,
    account_id      TEXT   NOT NULL,
    subscription_id TEXT   NOT NULL,
    plan            TEXT   NOT NULL,
    cents           BIGINT NOT NULL,
    -- The renewal of the subscription whose invoice has it; 0 when it gets an invoice of its own.
    renew_time      BIGINT NOT NULL,
    -- "new": to be sent to Stripe. "sent": it waits for the subscription's invoice. "invoiced". "refused": an operator must look at it.
    state           TEXT   NOT NULL,
    create_time     BIGINT NOT NULL,
    -- When it is sent again, or looked at again.
    next_time       BIGINT NOT NULL,
    -- Calls to Stripe that were made, and idempotency keys that can no longer be used.
    attempts        BIGINT NOT NULL DEFAULT 0,
    spent_keys      BIGINT NOT NULL DEFAULT 0,
    -- Stripe's ids; '' for none.
    customer_id     TEXT   NOT NULL DEFAULT '',
    item_id         TEXT   NOT NULL DEFAULT '',
    invoice_id      TEXT   NOT NULL DEFAULT '',
    -- Why Stripe refused it.
    problem         TEXT   NOT NULL DEFAULT '',
    CONSTRAINT overage_charge_cents CHECK (cents > 0),
    CONSTRAINT overage_charge_state CHECK (state IN ('new', 'sent', 'invoiced', 'refused'))
);
CREATE INDEX overage_charge_of_account ON overage_charge (account_id, id);
CREATE INDEX overage_charge_open ON overage_charge (next_time, id) WHERE state IN ('new', 'sent');

-- +goose Down
DROP TABLE overage_charge;
DROP TABLE overage_billing;
DROP TABLE overage_period;
ALTER TABLE unfolded_call DROP COLUMN overage;
ALTER TABLE hold DROP COLUMN overage_start_time;
ALTER TABLE hold DROP COLUMN overage;
ALTER TABLE account DROP COLUMN overage_end_time;
ALTER TABLE account DROP COLUMN overage_start_time;
ALTER TABLE account DROP COLUMN overage_close_time;
ALTER TABLE account DROP COLUMN overage_total;
ALTER TABLE account DROP COLUMN overage_used;
ALTER TABLE account DROP COLUMN overage_cap;
