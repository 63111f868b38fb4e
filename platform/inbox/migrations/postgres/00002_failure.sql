-- +goose Up
-- The attempts at an event that failed, for operators.
CREATE TABLE inbox_failure (
    n          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seq        BIGINT  NOT NULL REFERENCES inbox_event (seq) ON DELETE CASCADE,
    attempt    INTEGER NOT NULL,
    begin_time BIGINT  NOT NULL,
    end_time   BIGINT  NOT NULL,
    error      TEXT COLLATE "C" NOT NULL
);

CREATE INDEX inbox_failure_seq ON inbox_failure (seq, n);

-- +goose Down
DROP TABLE inbox_failure;
