-- name: InsertNotice :execrows
INSERT INTO notice (id, account_id, source, kind, user_id, data, create_time, threshold, amount, expire_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (account_id, source) DO NOTHING;

-- name: GetThresholds :one
-- The largest amounts for which three thresholds were told; 0 for none. The index holds no empty thresholds.
SELECT
    CAST(COALESCE((
        SELECT MAX(n.amount) FROM notice AS n WHERE n.account_id = sqlc.arg(account_id) AND n.threshold = sqlc.arg(first) AND n.threshold <> ''
    ), 0) AS BIGINT) AS first,
    CAST(COALESCE((
        SELECT MAX(n.amount) FROM notice AS n WHERE n.account_id = sqlc.arg(account_id) AND n.threshold = sqlc.arg(second) AND n.threshold <> ''
    ), 0) AS BIGINT) AS second,
    CAST(COALESCE((
        SELECT MAX(n.amount) FROM notice AS n WHERE n.account_id = sqlc.arg(account_id) AND n.threshold = sqlc.arg(third) AND n.threshold <> ''
    ), 0) AS BIGINT) AS third;

-- name: ListNoticeSources :many
-- Those of thresholds and top-ups may be many, and would hide the others. The index notice_of_subscription has the same condition.
SELECT source FROM notice
WHERE account_id = sqlc.arg(account_id) AND kind NOT IN (
    'credit_threshold', 'limit_threshold', 'overage_threshold', 'top_up_succeeded', 'top_up_failed', 'top_up_disabled', 'top_up_authentication'
)
ORDER BY id DESC LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: ListNotices :many
SELECT * FROM notice WHERE account_id = sqlc.arg(account_id) AND id < sqlc.arg(before) ORDER BY id DESC LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: ListNoticesOfKind :many
SELECT * FROM notice WHERE account_id = sqlc.arg(account_id) AND kind = sqlc.arg(kind) AND id < sqlc.arg(before)
ORDER BY id DESC LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: GetNotice :one
SELECT * FROM notice WHERE id = $1;

-- name: EraseNotices :exec
DELETE FROM notice WHERE account_id = $1;

-- name: EraseNoticesUser :exec
UPDATE notice SET user_id = '' WHERE user_id = $1;

-- name: PruneNotices :execrows
-- A notice that expires later keeps a threshold of a long window from being told again.
DELETE FROM notice WHERE id IN (
    SELECT n.id FROM notice AS n WHERE n.create_time < sqlc.arg(before) AND n.expire_time < sqlc.arg(now) LIMIT CAST(sqlc.arg(most) AS BIGINT)
);

-- name: PruneExpiredNotices :execrows
-- Those of limits may be many: three for each window of each member and key. They need not wait for the retention. The index notice_of_expiry has the
-- condition of the time.
DELETE FROM notice WHERE id IN (
    SELECT n.id FROM notice AS n
    WHERE n.expire_time > 0 AND n.expire_time < sqlc.arg(before) AND n.kind = 'limit_threshold' LIMIT CAST(sqlc.arg(most) AS BIGINT)
);

-- name: ListRefusedOverageCharges :many
SELECT * FROM overage_charge WHERE account_id = $1 AND state = 'refused' ORDER BY id;
