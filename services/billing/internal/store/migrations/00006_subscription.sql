-- +goose Up

-- The versions of plans and packs that were applied to Stripe. A version is never edited.
CREATE TABLE offer (
    -- "plan" or "pack".
    kind        TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    version     BIGINT  NOT NULL,
    -- The place in the plan file.
    position    BIGINT  NOT NULL,
    -- The version as JSON, with sorted keys.
    spec        BYTEA   NOT NULL,
    -- "applying": its prices may not exist yet; "current": on sale; "past": off sale, existing subscriptions keep it.
    state       TEXT    NOT NULL,
    -- Stripe's ids; '' for none. A pack has one price, the first.
    month_price TEXT    NOT NULL DEFAULT '',
    year_price  TEXT    NOT NULL DEFAULT '',
    -- Whether its prices may still be active at Stripe.
    active      BOOLEAN NOT NULL DEFAULT TRUE,
    create_time BIGINT  NOT NULL,
    PRIMARY KEY (kind, id, version),
    CONSTRAINT offer_kind CHECK (kind IN ('plan', 'pack')),
    CONSTRAINT offer_state CHECK (state IN ('applying', 'current', 'past'))
);

-- One row: what was applied last. Replicas compare the revision to learn of a change.
CREATE TABLE catalog (
    name     TEXT PRIMARY KEY,
    revision BIGINT NOT NULL,
    -- "live" or "test": the mode of the Stripe key; '' before the first apply.
    mode     TEXT   NOT NULL,
    -- Stripe's id of the portal's configuration.
    portal   TEXT   NOT NULL
);
INSERT INTO catalog (name, revision, mode, portal) VALUES ('stripe', 0, '', '');

-- All customers that an account ever had at Stripe. The table customer has the present one.
CREATE TABLE stripe_customer (
    stripe_id  TEXT PRIMARY KEY,
    account_id TEXT NOT NULL
);
CREATE INDEX stripe_customer_of_account ON stripe_customer (account_id);
INSERT INTO stripe_customer (stripe_id, account_id) SELECT stripe_id, account_id FROM customer WHERE stripe_id <> '';

-- What the mirrored objects of an account's customers say of its subscription.
CREATE TABLE subscription (
    account_id        TEXT    PRIMARY KEY,
    stripe_id         TEXT    NOT NULL,
    plan_id           TEXT    NOT NULL,
    version           BIGINT  NOT NULL,
    billing_interval  TEXT    NOT NULL,
    -- Stripe's status, and what it means: "active", "trial", "grace", "suspended" or "ended".
    status            TEXT    NOT NULL,
    access            TEXT    NOT NULL,
    seats             BIGINT  NOT NULL,
    -- The period that is billed; 0 for none.
    period_start_time BIGINT  NOT NULL,
    period_end_time   BIGINT  NOT NULL,
    -- 0 for none.
    trial_end_time    BIGINT  NOT NULL,
    cancel_time       BIGINT  NOT NULL,
    -- When time alone changes it next.
    next_time         BIGINT  NOT NULL,
    CONSTRAINT subscription_access CHECK (access IN ('active', 'trial', 'grace', 'suspended', 'ended'))
);
CREATE INDEX subscription_due ON subscription (next_time);

-- Payments whose charge gave credit, so that a refund or a dispute of the charge takes it back.
CREATE TABLE purchase (
    payment_intent TEXT   PRIMARY KEY,
    account_id     TEXT   NOT NULL,
    -- The source of the grant.
    source         TEXT   NOT NULL,
    -- The credit in nano-dollars, and what was paid with tax, in the currency's smallest unit.
    credit         BIGINT NOT NULL,
    total          BIGINT NOT NULL,
    -- What refunds and disputes have taken back so far, in nano-dollars.
    clawed         BIGINT NOT NULL DEFAULT 0,
    CONSTRAINT purchase_total CHECK (total > 0),
    CONSTRAINT purchase_clawed CHECK (clawed BETWEEN 0 AND credit)
);

-- +goose Down
DROP TABLE purchase;
DROP TABLE subscription;
DROP TABLE stripe_customer;
DROP TABLE catalog;
DROP TABLE offer;
