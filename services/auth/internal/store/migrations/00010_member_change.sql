-- +goose Up

-- Changes of the number of an organization's members that billing has not been told. Triggers write them, in the transaction of the change: so those
-- of an earlier version that still runs are here too.
CREATE TABLE member_change (
    organization_id TEXT NOT NULL,
    change_id       TEXT NOT NULL,
    PRIMARY KEY (organization_id, change_id)
);

-- How often billing was told of an organization. Each report has a number of its own, which is taken before the members are counted.
CREATE TABLE member_report (
    organization_id TEXT   PRIMARY KEY,
    sequence        BIGINT NOT NULL
);

-- +goose Down
DROP TABLE member_report;
DROP TABLE member_change;
