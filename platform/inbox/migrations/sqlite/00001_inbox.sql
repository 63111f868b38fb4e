-- Times are BIGINT microseconds since 1970 in UTC.

-- +goose Up
CREATE TABLE inbox_event (
    -- Arrival order.
    seq         INTEGER PRIMARY KEY,
    source      TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    type        TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('pending', 'leased', 'done', 'dead', 'ignored')),
    -- Nobody has looked at it yet. Afterwards it is found through its subject's row, in order.
    ready       BOOLEAN NOT NULL,
    -- Begun ones: a process that dies in an attempt has made it.
    attempts    INTEGER NOT NULL,
    last_error  TEXT    NOT NULL,
    put_time    BIGINT  NOT NULL,
    -- Of the next attempt; 0 when there will be none.
    due_time    BIGINT  NOT NULL,
    -- When it became done, dead or ignored.
    end_time    BIGINT,
    -- When the payload goes (or the row, when it is delete_time), and when the row goes.
    expire_time BIGINT,
    delete_time BIGINT,
    UNIQUE (source, id)
);

-- What waits, by subject and in order; also what is counted.
CREATE INDEX inbox_event_active ON inbox_event (source, subject, seq, state) WHERE state IN ('pending', 'leased');
CREATE INDEX inbox_event_ready ON inbox_event (source, seq) WHERE ready;
CREATE INDEX inbox_event_dead ON inbox_event (source, seq) WHERE state = 'dead';
CREATE INDEX inbox_event_expire ON inbox_event (expire_time, seq) WHERE expire_time IS NOT NULL;
-- For operators.
CREATE INDEX inbox_event_subject ON inbox_event (subject, seq);

-- Apart, because an event's row is rewritten twice.
CREATE TABLE inbox_payload (
    seq     INTEGER PRIMARY KEY,
    payload BLOB NOT NULL
);

-- A subject that is being worked on, or waits for its next attempt. Without a row it has nothing to do, or only ready events.
CREATE TABLE inbox_subject (
    source   TEXT   NOT NULL,
    subject  TEXT   NOT NULL,
    -- Of the lease, different for each; 0 when nobody holds it.
    token    BIGINT NOT NULL,
    -- From then on any worker may take it: the next attempt's time, or the lease's end.
    due_time BIGINT NOT NULL,
    PRIMARY KEY (source, subject)
) WITHOUT ROWID;

CREATE INDEX inbox_subject_due ON inbox_subject (source, due_time);

-- +goose Down
DROP TABLE inbox_subject;
DROP TABLE inbox_payload;
DROP TABLE inbox_event;
