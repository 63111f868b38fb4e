-- +goose Up

-- Changes at once that replace a scheduled change as soon as they are paid.
CREATE TABLE replaced_schedule (
    account_id   TEXT   PRIMARY KEY,
    -- Stripe's ids of the subscription and of its schedule.
    subscription TEXT   NOT NULL,
    schedule     TEXT   NOT NULL,
    -- What the subscription has once the change is paid.
    price        TEXT   NOT NULL,
    quantity     BIGINT NOT NULL,
    -- When the payment is looked at again.
    check_time   BIGINT NOT NULL
);
CREATE INDEX replaced_schedule_check ON replaced_schedule (check_time);

-- What a subscription becomes at the end of its period; '' and 0 for no change.
ALTER TABLE subscription ADD COLUMN change_plan_id TEXT NOT NULL DEFAULT '';
ALTER TABLE subscription ADD COLUMN change_version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE subscription ADD COLUMN change_interval TEXT NOT NULL DEFAULT '';
ALTER TABLE subscription ADD COLUMN change_seats BIGINT NOT NULL DEFAULT 0;
ALTER TABLE subscription ADD COLUMN change_time BIGINT NOT NULL DEFAULT 0;

-- A payment may be for several grants. The key, payment_intent, is the payment of a pack, and the source of the grant of a subscription's invoice.
ALTER TABLE purchase ADD COLUMN payment TEXT NOT NULL DEFAULT '';
ALTER TABLE purchase ADD COLUMN invoice TEXT NOT NULL DEFAULT '';
-- What is still to be taken back: open calls hold it.
ALTER TABLE purchase ADD COLUMN waiting BIGINT NOT NULL DEFAULT 0;
UPDATE purchase SET payment = payment_intent;
CREATE INDEX purchase_of_payment ON purchase (payment);
CREATE INDEX purchase_of_invoice ON purchase (invoice);
CREATE INDEX purchase_waiting ON purchase (account_id) WHERE waiting > 0;

-- The refund that a credit note has made, which is a reversal of its own; '' for others.
ALTER TABLE reversal ADD COLUMN refund TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE reversal DROP COLUMN refund;
DROP INDEX purchase_waiting;
DROP INDEX purchase_of_invoice;
DROP INDEX purchase_of_payment;
ALTER TABLE purchase DROP COLUMN waiting;
ALTER TABLE purchase DROP COLUMN invoice;
ALTER TABLE purchase DROP COLUMN payment;
ALTER TABLE subscription DROP COLUMN change_time;
ALTER TABLE subscription DROP COLUMN change_seats;
ALTER TABLE subscription DROP COLUMN change_interval;
ALTER TABLE subscription DROP COLUMN change_version;
ALTER TABLE subscription DROP COLUMN change_plan_id;
DROP TABLE replaced_schedule;
