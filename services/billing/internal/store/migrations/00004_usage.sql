-- +goose Up

-- A closed hold is the record of its call until the compactor folds it into daily sums, a segment and an entry. Afterwards it answers
-- repetitions for some time, and is deleted. used_… holds the final usage of a hold that was closed so.
ALTER TABLE hold ADD COLUMN outcome TEXT NOT NULL DEFAULT '';
ALTER TABLE hold ADD COLUMN estimated BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE hold ADD COLUMN provider_request_id TEXT NOT NULL DEFAULT '';
-- When it was closed first: a later correction stays on that day.
ALTER TABLE hold ADD COLUMN usage_time BIGINT NOT NULL DEFAULT 0;
-- 1: charge and usage are to be folded. 3: the usage only, because the charge has an entry of its own. 2: all is folded.
-- A hold that an older version has closed has a usage_id: its entry and its usage_record are written, and only the daily sums lack it.
ALTER TABLE hold ADD COLUMN fold BIGINT NOT NULL DEFAULT 1;
-- The segment that has its record; '' for none.
ALTER TABLE hold ADD COLUMN segment TEXT NOT NULL DEFAULT '';
UPDATE hold SET fold = 2 WHERE state <> 'open';
DROP INDEX hold_open;
CREATE INDEX hold_live ON hold (account_id) WHERE fold <> 2;
CREATE INDEX credit_grant_live ON credit_grant (account_id) WHERE remaining > 0;

-- What was used on a day, without what is not folded yet.
CREATE TABLE usage_day (
    account_id          TEXT   NOT NULL,
    -- In days since 1970 in UTC.
    day                 BIGINT NOT NULL,
    model               TEXT   NOT NULL,
    user_id             TEXT   NOT NULL,
    api_key_id          TEXT   NOT NULL,
    requests            BIGINT NOT NULL,
    input_tokens        BIGINT NOT NULL,
    cached_input_tokens BIGINT NOT NULL,
    output_tokens       BIGINT NOT NULL,
    reasoning_tokens    BIGINT NOT NULL,
    cost                BIGINT NOT NULL,
    PRIMARY KEY (account_id, day, model, user_id, api_key_id)
);
-- Sums are split at a billion, because they may be beyond 64 bits; then they stop at their bound.
INSERT INTO usage_day (
    account_id, day, model, user_id, api_key_id, requests, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cost
)
SELECT
    account_id, settle_time / 86400000000, model, user_id, api_key_id, COUNT(*),
    CASE WHEN SUM(input_tokens / 1000000000) >= 8000000000 - COUNT(*) THEN 8000000000000000000
        ELSE SUM(input_tokens / 1000000000) * 1000000000 + SUM(input_tokens % 1000000000) END,
    CASE WHEN SUM(cached_input_tokens / 1000000000) >= 8000000000 - COUNT(*) THEN 8000000000000000000
        ELSE SUM(cached_input_tokens / 1000000000) * 1000000000 + SUM(cached_input_tokens % 1000000000) END,
    CASE WHEN SUM(output_tokens / 1000000000) >= 8000000000 - COUNT(*) THEN 8000000000000000000
        ELSE SUM(output_tokens / 1000000000) * 1000000000 + SUM(output_tokens % 1000000000) END,
    CASE WHEN SUM(reasoning_tokens / 1000000000) >= 8000000000 - COUNT(*) THEN 8000000000000000000
        ELSE SUM(reasoning_tokens / 1000000000) * 1000000000 + SUM(reasoning_tokens % 1000000000) END,
    CASE WHEN SUM(cost / 1000000000) >= 8000000000 - COUNT(*) THEN 8000000000000000000
        ELSE SUM(cost / 1000000000) * 1000000000 + SUM(cost % 1000000000) END
FROM usage_record
GROUP BY account_id, settle_time / 86400000000, model, user_id, api_key_id;

-- The records of calls that were folded together.
CREATE TABLE usage_segment (
    account_id TEXT   NOT NULL,
    -- Ids grow with time.
    id         TEXT   NOT NULL,
    last_time  BIGINT NOT NULL,
    calls      BIGINT NOT NULL,
    -- The amount of its entry, whose reference is the id; 0 when it has none.
    charged    BIGINT NOT NULL,
    -- In the form of segment.go.
    records    BYTEA  NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX usage_segment_time ON usage_segment (last_time);
CREATE INDEX usage_record_time ON usage_record (settle_time);

-- What API keys spent by holds that are deleted, by the day on which those were made: the windows of their limits are summed up from it
-- and from the holds.
CREATE TABLE key_day (
    account_id TEXT   NOT NULL,
    api_key_id TEXT   NOT NULL,
    day        BIGINT NOT NULL,
    spent      BIGINT NOT NULL,
    PRIMARY KEY (account_id, api_key_id, day)
);
CREATE INDEX key_day_day ON key_day (day);

-- +goose Down
DROP TABLE key_day;
DROP INDEX usage_record_time;
DROP TABLE usage_segment;
DROP TABLE usage_day;
DROP INDEX credit_grant_live;
DROP INDEX hold_live;
CREATE INDEX hold_open ON hold (account_id) WHERE state = 'open';
ALTER TABLE hold DROP COLUMN segment;
ALTER TABLE hold DROP COLUMN fold;
ALTER TABLE hold DROP COLUMN usage_time;
ALTER TABLE hold DROP COLUMN provider_request_id;
ALTER TABLE hold DROP COLUMN estimated;
ALTER TABLE hold DROP COLUMN outcome;
