-- +goose Up

-- What refunds and disputes took back of payments, in the currency's smallest unit.
CREATE TABLE reversal (
    id             TEXT   PRIMARY KEY,
    payment_intent TEXT   NOT NULL,
    -- 0 for one that failed or was won.
    amount         BIGINT NOT NULL,
    CONSTRAINT reversal_amount CHECK (amount >= 0)
);
CREATE INDEX reversal_of_payment ON reversal (payment_intent);

-- +goose Down
DROP TABLE reversal;
