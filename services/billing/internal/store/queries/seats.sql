-- name: PutMemberCount :exec
-- A report that comes soon after another one shares its wait, so that a storm of them is one change at Stripe. A time that came up in the last minute
-- stays too: otherwise reports that keep coming would put it off without end.
INSERT INTO member_count (account_id, members, sequence, next_time, deleted)
VALUES (sqlc.arg(account_id), sqlc.arg(members), sqlc.arg(sequence), sqlc.arg(next_time), sqlc.arg(deleted))
ON CONFLICT (account_id) DO UPDATE SET
    members = excluded.members, sequence = excluded.sequence, deleted = excluded.deleted,
    next_time = CASE
        WHEN member_count.next_time > CAST(sqlc.arg(at_time) AS BIGINT) - 60000000 AND member_count.next_time < excluded.next_time
        THEN member_count.next_time
        ELSE excluded.next_time
    END
WHERE member_count.sequence < excluded.sequence;

-- name: GetMemberCount :one
SELECT * FROM member_count WHERE account_id = $1;

-- name: ListDueSeats :many
-- Those whose seats may differ from their members, and those of deleted organizations that do not end.
SELECT m.account_id FROM member_count AS m JOIN subscription AS s ON s.account_id = m.account_id
WHERE m.next_time <= sqlc.arg(at_time) AND (
    NOT m.deleted AND s.access IN ('active', 'trial') AND (m.members <> s.seats OR s.change_time > 0 AND m.members <> s.change_seats)
    OR m.deleted AND s.access <> 'ended' AND s.cancel_time = 0
)
ORDER BY m.next_time, m.account_id LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: PostponeSeats :exec
-- A report that has come meanwhile is not postponed.
UPDATE member_count SET next_time = sqlc.arg(next_time) WHERE account_id = sqlc.arg(account_id) AND sequence = sqlc.arg(sequence);

-- name: SaveSeatAttempt :exec
UPDATE member_count SET attempt = sqlc.arg(attempt) WHERE account_id = sqlc.arg(account_id);
