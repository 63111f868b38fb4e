-- Times are BIGINT microseconds since 1970 in UTC.

-- +goose Up
CREATE TABLE job_lease (
    name       TEXT   PRIMARY KEY,
    -- The run that holds the job, and the process of that run; empty while nobody holds it.
    holder     TEXT   NOT NULL,
    process    TEXT   NOT NULL,
    -- When another run may take the job.
    lease_time BIGINT NOT NULL,
    -- When the latest run took the job.
    begin_time BIGINT NOT NULL,
    -- When the job was last finished; 0 for never.
    done_time  BIGINT NOT NULL,
    -- What the runs since then have saved; empty for nothing.
    progress   BYTEA  NOT NULL
);

-- +goose Down
DROP TABLE job_lease;
