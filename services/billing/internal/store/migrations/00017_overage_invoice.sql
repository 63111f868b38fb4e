-- +goose Up

-- Each charge of overage has an invoice of its own: renew_time is 0 from now on. An item that waits at Stripe is on the next invoice there.
UPDATE overage_charge SET state = 'invoiced' WHERE state = 'sent';
-- A charge that Stripe refused is sent again.
DROP INDEX overage_charge_open;
CREATE INDEX overage_charge_open ON overage_charge (next_time, id) WHERE state IN ('new', 'refused');

-- +goose Down
DROP INDEX overage_charge_open;
CREATE INDEX overage_charge_open ON overage_charge (next_time, id) WHERE state IN ('new', 'sent');
