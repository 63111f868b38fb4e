-- name: InsertMemberWindow :exec
-- From the holds that were made in it, and from those that are deleted by now, whole days at a time. Sums are split at a billion,
-- because they may be beyond 64 bits.
INSERT INTO member_window (account_id, user_id, period, start_time, end_time, held, spent)
SELECT
    CAST(sqlc.arg(account_id) AS TEXT), CAST(sqlc.arg(user_id) AS TEXT), CAST(sqlc.arg(period) AS BIGINT),
    CAST(sqlc.arg(start_time) AS BIGINT), CAST(sqlc.arg(end_time) AS BIGINT),
    CAST(COALESCE(SUM(s.held), 0) AS BIGINT),
    CAST(CASE
        WHEN SUM(s.spent / 1000000000) >= 8000000000 - 1 THEN 8000000000000000000
        ELSE COALESCE(SUM(s.spent / 1000000000) * 1000000000 + SUM(s.spent % 1000000000), 0)
    END AS BIGINT)
FROM (
    SELECT CASE WHEN h.state = 'open' THEN h.amount ELSE 0 END AS held, h.cost AS spent
    FROM hold AS h
    WHERE h.account_id = sqlc.arg(account_id) AND h.user_id = sqlc.arg(user_id) AND h.user_id <> '' AND h.limited
        AND h.create_time >= CAST(sqlc.arg(start_time) AS BIGINT) AND h.create_time < CAST(sqlc.arg(end_time) AS BIGINT)
    UNION ALL
    SELECT 0, d.spent
    FROM member_day AS d
    WHERE d.account_id = sqlc.arg(account_id) AND d.user_id = sqlc.arg(user_id)
        AND d.day >= CAST(sqlc.arg(start_time) AS BIGINT) / 86400000000 AND d.day * 86400000000 < CAST(sqlc.arg(end_time) AS BIGINT)
) AS s
WHERE TRUE
ON CONFLICT DO NOTHING;

-- name: AddMemberDay :exec
INSERT INTO member_day (account_id, user_id, day, spent) VALUES ($1, $2, $3, $4)
ON CONFLICT (account_id, user_id, day) DO UPDATE SET spent = CASE
    WHEN member_day.spent > 8000000000000000000 - excluded.spent THEN 8000000000000000000 ELSE member_day.spent + excluded.spent
END;

-- name: DeleteMemberDays :execrows
DELETE FROM member_day WHERE day < $1;

-- name: DeleteMemberWindows :execrows
DELETE FROM member_window WHERE (account_id, user_id, period, start_time) IN (
    SELECT w.account_id, w.user_id, w.period, w.start_time FROM member_window AS w
    WHERE w.end_time <= sqlc.arg(ended) ORDER BY w.end_time LIMIT CAST(sqlc.arg(most) AS BIGINT)
);

-- name: DeleteMemberWindow :exec
DELETE FROM member_window WHERE account_id = $1 AND user_id = $2 AND period = $3 AND start_time = $4;

-- name: LimitMemberWindows :exec
-- The limit of a member's windows has changed; that of everybody who has none of their own, when user_id is empty.
UPDATE member_window AS w SET amount = sqlc.arg(amount)
WHERE w.account_id = sqlc.arg(account_id) AND w.period = sqlc.arg(period) AND (w.user_id = sqlc.arg(user_id) OR CAST(sqlc.arg(user_id) AS TEXT) = '' AND NOT EXISTS (
    SELECT 1 FROM spend_limit AS l WHERE l.account_id = w.account_id AND l.subject_kind = 'member' AND l.subject_id = w.user_id AND l.period = w.period
));

-- name: DeleteMemberWindowsOfAccount :exec
DELETE FROM member_window WHERE account_id = $1;

-- name: DeleteMemberWindowsOfUser :exec
DELETE FROM member_window WHERE user_id = $1;

-- name: DeleteMemberDaysOfUser :exec
DELETE FROM member_day WHERE user_id = $1;
