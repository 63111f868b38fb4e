-- The two hot steps, each in one statement and so one round trip. SQLite can't write within WITH, and there a statement costs
-- no round trip: it takes the steps one by one (hold.go). The conformance suite holds both to the same behaviour.

-- name: TakeHoldInOneStatement :one
WITH a AS (
    UPDATE account SET held = held + CAST(sqlc.arg(amount) AS BIGINT)
    WHERE account.id = sqlc.arg(account_id) AND due_time > CAST(sqlc.arg(create_time) AS BIGINT)
        AND period_start_time <= CAST(sqlc.arg(create_time) AS BIGINT)
        AND balance - held >= CAST(sqlc.arg(amount) AS BIGINT)
    RETURNING plan, key_limited
), h AS (
    INSERT INTO hold (
        id, account_id, request_id, fingerprint, user_id, api_key_id, key_window, model, input_price, cached_input_price, output_price,
        amount, output_tokens, state, create_time, lease_time,
        used_input_tokens, used_cached_input_tokens, used_output_tokens, used_reasoning_tokens
    )
    SELECT
        CAST(sqlc.arg(id) AS TEXT), CAST(sqlc.arg(account_id) AS TEXT), CAST(sqlc.arg(request_id) AS TEXT),
        CAST(sqlc.arg(fingerprint) AS TEXT),
        CASE WHEN EXISTS (SELECT 1 FROM erased_user WHERE user_hash = CAST(sqlc.arg(user_hash) AS TEXT)) THEN '' ELSE CAST(sqlc.arg(user_id) AS TEXT) END,
        CAST(sqlc.arg(api_key_id) AS TEXT), 0,
        CAST(sqlc.arg(model) AS TEXT), CAST(sqlc.arg(input_price) AS BIGINT), CAST(sqlc.arg(cached_input_price) AS BIGINT),
        CAST(sqlc.arg(output_price) AS BIGINT), CAST(sqlc.arg(amount) AS BIGINT), CAST(sqlc.arg(output_tokens) AS BIGINT), 'open',
        CAST(sqlc.arg(create_time) AS BIGINT), CAST(sqlc.arg(lease_time) AS BIGINT), CAST(sqlc.arg(used_input_tokens) AS BIGINT),
        CAST(sqlc.arg(used_cached_input_tokens) AS BIGINT), CAST(sqlc.arg(used_output_tokens) AS BIGINT),
        CAST(sqlc.arg(used_reasoning_tokens) AS BIGINT)
    FROM a
    ON CONFLICT (id) DO NOTHING
    RETURNING hold.id
)
SELECT a.plan, a.key_limited, EXISTS (SELECT 1 FROM h) AS inserted FROM a;

-- name: ChargeHoldInOneStatement :one
-- Each part feeds on the one before, so that a part that does not happen stops those behind it.
WITH first AS (
    SELECT g.id, g.remaining FROM credit_grant AS g
    WHERE g.account_id = sqlc.arg(account_id) AND g.remaining > 0 AND g.expire_time > CAST(sqlc.arg(good_at) AS BIGINT)
    ORDER BY g.expire_time, g.create_time, g.id
    LIMIT 1
), a AS (
    UPDATE account SET
        balance = balance - CAST(sqlc.arg(cost) AS BIGINT),
        held = held - CAST(sqlc.arg(amount) AS BIGINT),
        period_requests = period_requests + 1,
        period_input_tokens = period_input_tokens + CAST(sqlc.arg(input_tokens) AS BIGINT),
        period_cached_input_tokens = period_cached_input_tokens + CAST(sqlc.arg(cached_input_tokens) AS BIGINT),
        period_output_tokens = period_output_tokens + CAST(sqlc.arg(output_tokens) AS BIGINT),
        period_reasoning_tokens = period_reasoning_tokens + CAST(sqlc.arg(reasoning_tokens) AS BIGINT),
        period_cost = period_cost + CAST(sqlc.arg(cost) AS BIGINT)
    WHERE account.id = sqlc.arg(account_id) AND due_time > CAST(sqlc.arg(settle_time) AS BIGINT)
        AND period_start_time <= CAST(sqlc.arg(settle_time) AS BIGINT)
        AND held >= CAST(sqlc.arg(amount) AS BIGINT)
        AND period_requests <= 8000000000000000000 - 1
        AND period_input_tokens <= 8000000000000000000 - CAST(sqlc.arg(input_tokens) AS BIGINT)
        AND period_cached_input_tokens <= 8000000000000000000 - CAST(sqlc.arg(cached_input_tokens) AS BIGINT)
        AND period_output_tokens <= 8000000000000000000 - CAST(sqlc.arg(output_tokens) AS BIGINT)
        AND period_reasoning_tokens <= 8000000000000000000 - CAST(sqlc.arg(reasoning_tokens) AS BIGINT)
        AND period_cost <= 8000000000000000000 - CAST(sqlc.arg(cost) AS BIGINT)
        AND EXISTS (SELECT 1 FROM first WHERE first.remaining >= CAST(sqlc.arg(cost) AS BIGINT))
    RETURNING balance, key_limited
), g AS (
    UPDATE credit_grant SET remaining = remaining - CAST(sqlc.arg(cost) AS BIGINT)
    FROM a
    WHERE credit_grant.id = (SELECT first.id FROM first) AND remaining >= CAST(sqlc.arg(cost) AS BIGINT)
    RETURNING credit_grant.id, a.balance
), h AS (
    UPDATE hold SET
        state = 'settled', cost = CAST(sqlc.arg(cost) AS BIGINT), balance_after = g.balance,
        paid_by = g.id || '=' || CAST(CAST(sqlc.arg(cost) AS BIGINT) AS TEXT),
        usage_id = CAST(sqlc.arg(usage_id) AS TEXT), settle_time = CAST(sqlc.arg(settle_time) AS BIGINT)
    FROM g
    WHERE hold.id = sqlc.arg(hold_id) AND state = 'open'
    RETURNING hold.id, hold.model, hold.user_id, hold.api_key_id
), e AS (
    INSERT INTO entry (account_id, id, kind, debit, credit, amount, reference, create_time)
    SELECT
        CAST(sqlc.arg(account_id) AS TEXT), CAST(sqlc.arg(entry_id) AS TEXT), 'usage', CAST(sqlc.arg(debit) AS TEXT),
        CAST(sqlc.arg(credit) AS TEXT), CAST(sqlc.arg(cost) AS BIGINT), h.id, CAST(sqlc.arg(settle_time) AS BIGINT)
    FROM h
), u AS (
    INSERT INTO usage_record (
        id, hold_id, account_id, day, model, user_id, api_key_id, input_tokens, cached_input_tokens, output_tokens,
        reasoning_tokens, cost, outcome, estimated, provider_request_id, settle_time
    )
    SELECT
        CAST(sqlc.arg(usage_id) AS TEXT), h.id, CAST(sqlc.arg(account_id) AS TEXT), CAST(sqlc.arg(day) AS TEXT), h.model, h.user_id,
        h.api_key_id, CAST(sqlc.arg(input_tokens) AS BIGINT), CAST(sqlc.arg(cached_input_tokens) AS BIGINT),
        CAST(sqlc.arg(output_tokens) AS BIGINT), CAST(sqlc.arg(reasoning_tokens) AS BIGINT), CAST(sqlc.arg(cost) AS BIGINT),
        CAST(sqlc.arg(outcome) AS TEXT), CAST(sqlc.arg(estimated) AS BOOLEAN), CAST(sqlc.arg(provider_request_id) AS TEXT),
        CAST(sqlc.arg(settle_time) AS BIGINT)
    FROM h
)
SELECT a.balance, a.key_limited, EXISTS (SELECT 1 FROM h) AS closed FROM a;
