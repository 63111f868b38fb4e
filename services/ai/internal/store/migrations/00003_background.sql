-- Responses that providers make in the background, from their start until they are settled. No content is stored.

-- +goose Up
CREATE TABLE background_response (
    -- The provider's id.
    id           TEXT PRIMARY KEY,
    account_id   TEXT   NOT NULL,
    user_id      TEXT   NOT NULL,
    model        TEXT   NOT NULL,
    target       TEXT   NOT NULL,
    -- The hold in billing that pays for the response.
    hold_id      TEXT   NOT NULL,
    -- The X-Request-Id of the request that began the response; may be empty.
    request_id   TEXT   NOT NULL,
    -- What the settlement has to know of the request, such as its bounds and prices, as JSON.
    terms        TEXT   NOT NULL,
    -- How many output tokens a caller has got so far, at least.
    seen         BIGINT NOT NULL,
    create_time  BIGINT NOT NULL,
    -- When the provider is asked next. A process that asks sets it to the end of its lease.
    poll_time    BIGINT NOT NULL,
    -- How often the provider was asked without an answer that ended the response.
    polls        BIGINT NOT NULL,
    -- Since when the provider does not know the response; 0 while it does.
    missing_time BIGINT NOT NULL
);

CREATE INDEX background_response_poll ON background_response (poll_time, id);
CREATE INDEX background_response_account ON background_response (account_id);
CREATE INDEX background_response_create ON background_response (create_time);

-- +goose Down
DROP TABLE background_response;
