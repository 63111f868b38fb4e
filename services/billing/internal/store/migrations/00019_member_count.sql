-- +goose Up

-- How many members the organizations have, as auth reports it. The seats of some plans follow them.
CREATE TABLE member_count (
    account_id TEXT   PRIMARY KEY,
    members    BIGINT NOT NULL,
    -- The number of the report: a later one replaces an earlier one.
    sequence   BIGINT NOT NULL,
    -- The subscription is not compared before this time.
    next_time  BIGINT NOT NULL,
    -- The change at Stripe whose outcome may be unknown, as JSON; '' for none.
    attempt    TEXT   NOT NULL DEFAULT '',
    CONSTRAINT member_count_members CHECK (members >= 0)
);

-- +goose Down
DROP TABLE member_count;
