-- +goose Up

-- Stripe's objects as they were last fetched, without personal data.
CREATE TABLE stripe_object (
    kind        TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    -- The customer that it belongs to; '' for none.
    customer    TEXT    NOT NULL,
    status      TEXT    NOT NULL,
    -- A tombstone: Stripe has it no more.
    deleted     BOOLEAN NOT NULL,
    -- The last number that was given to a fetch of it.
    taken       BIGINT  NOT NULL,
    -- The number of the fetch that wrote it; 0 while none has.
    sequence    BIGINT  NOT NULL,
    create_time BIGINT  NOT NULL,
    fetch_time  BIGINT  NOT NULL,
    -- A JSON object.
    body        BYTEA   NOT NULL,
    PRIMARY KEY (kind, id),
    CONSTRAINT stripe_object_sequence CHECK (sequence BETWEEN 0 AND taken)
);
CREATE INDEX stripe_object_of_customer ON stripe_object (customer, kind);

-- What one replica does at a time: who does it, until when, how far it is and when it was last done.
CREATE TABLE job (
    name       TEXT   PRIMARY KEY,
    -- '' for nobody.
    holder     TEXT   NOT NULL,
    lease_time BIGINT NOT NULL,
    -- A JSON object; {} while none is under way.
    progress   BYTEA  NOT NULL,
    done_time  BIGINT NOT NULL
);
INSERT INTO job (name, holder, lease_time, progress, done_time) VALUES ('reconcile', '', 0, '{}', 0);

-- +goose Down
DROP TABLE job;
DROP TABLE stripe_object;
