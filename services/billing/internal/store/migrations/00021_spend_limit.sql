-- +goose Up

-- Whether spend_limit has rows of the account. Without any, its calls look for none, and it has no member_window rows.
ALTER TABLE account ADD COLUMN spend_limited BOOLEAN NOT NULL DEFAULT FALSE;

-- What members and API keys of an account may spend.
CREATE TABLE spend_limit (
    account_id   TEXT   NOT NULL,
    subject_kind TEXT   NOT NULL,
    -- The id of the user or of the API key; '' for every member that has no limit of its own for these windows.
    subject_id   TEXT   NOT NULL,
    -- As in key_window: the length of a window in microseconds, 0 for the billing period, -1 for a week, -2 for a month.
    period       BIGINT NOT NULL,
    id           TEXT   NOT NULL,
    amount       BIGINT NOT NULL,
    create_time  BIGINT NOT NULL,
    update_time  BIGINT NOT NULL,
    PRIMARY KEY (account_id, subject_kind, subject_id, period),
    CONSTRAINT spend_limit_kind CHECK (subject_kind IN ('member', 'api_key')),
    CONSTRAINT spend_limit_amount CHECK (amount > 0)
);
CREATE INDEX spend_limit_of_subject ON spend_limit (subject_id);

-- What a member holds and spends in a window: all of the member's holds that were made in it. A row is made from the holds when it is first needed,
-- as in key_window.
CREATE TABLE member_window (
    account_id TEXT   NOT NULL,
    user_id    TEXT   NOT NULL,
    period     BIGINT NOT NULL,
    start_time BIGINT NOT NULL,
    end_time   BIGINT NOT NULL,
    held       BIGINT NOT NULL,
    spent      BIGINT NOT NULL,
    -- The limit that the last call was checked against; 0 for none.
    amount     BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, user_id, period, start_time),
    CONSTRAINT member_window_times CHECK (start_time < end_time),
    CONSTRAINT member_window_held CHECK (held BETWEEN 0 AND 8000000000000000000),
    CONSTRAINT member_window_spent CHECK (spent BETWEEN 0 AND 8000000000000000000)
);
ALTER TABLE key_window ADD COLUMN amount BIGINT NOT NULL DEFAULT 0;
CREATE INDEX member_window_end ON member_window (end_time);
CREATE INDEX member_window_of_user ON member_window (user_id);
CREATE INDEX hold_of_member ON hold (account_id, user_id, create_time) WHERE user_id <> '';

-- What the deleted holds of a member cost, by the day on which they were made.
CREATE TABLE member_day (
    account_id TEXT   NOT NULL,
    user_id    TEXT   NOT NULL,
    day        BIGINT NOT NULL,
    spent      BIGINT NOT NULL,
    PRIMARY KEY (account_id, user_id, day),
    CONSTRAINT member_day_spent CHECK (spent BETWEEN 0 AND 8000000000000000000)
);
CREATE INDEX member_day_of_user ON member_day (user_id);
CREATE INDEX member_day_by_day ON member_day (day);

-- +goose Down
DROP TABLE member_day;
DROP INDEX hold_of_member;
ALTER TABLE key_window DROP COLUMN amount;
DROP TABLE member_window;
DROP TABLE spend_limit;
ALTER TABLE account DROP COLUMN spend_limited;
