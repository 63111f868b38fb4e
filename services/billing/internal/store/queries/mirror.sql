-- name: TakeSequence :one
-- The row is there from the first fetch on, and is nothing to readers until a fetch has written it.
INSERT INTO stripe_object (kind, id, customer, status, deleted, taken, sequence, create_time, fetch_time, body)
VALUES ($1, $2, '', '', FALSE, 1, 0, 0, 0, sqlc.arg(empty_object))
ON CONFLICT (kind, id) DO UPDATE SET taken = stripe_object.taken + 1
RETURNING taken;

-- name: PutObject :execrows
-- Only a fetch that began after the one that wrote the row may write it.
UPDATE stripe_object SET
    customer = sqlc.arg(customer), status = sqlc.arg(status), deleted = sqlc.arg(deleted), sequence = sqlc.arg(sequence),
    create_time = sqlc.arg(create_time), fetch_time = sqlc.arg(fetch_time), body = sqlc.arg(body)
WHERE kind = sqlc.arg(kind) AND id = sqlc.arg(id) AND sequence < sqlc.arg(sequence);

-- name: AdoptObject :execrows
-- Only while nobody has begun to fetch it: a fetch that begins later has a higher number.
INSERT INTO stripe_object (kind, id, customer, status, deleted, taken, sequence, create_time, fetch_time, body)
VALUES (sqlc.arg(kind), sqlc.arg(id), sqlc.arg(customer), sqlc.arg(status), FALSE, 1, 1, sqlc.arg(create_time), sqlc.arg(fetch_time), sqlc.arg(body))
ON CONFLICT (kind, id) DO NOTHING;

-- name: BuryObject :execrows
-- The tombstone keeps whose it was.
UPDATE stripe_object SET
    deleted = TRUE, status = '', sequence = sqlc.arg(sequence), fetch_time = sqlc.arg(fetch_time), body = sqlc.arg(empty_object)
WHERE kind = sqlc.arg(kind) AND id = sqlc.arg(id) AND sequence < sqlc.arg(sequence);

-- name: ReplaceBody :exec
-- Only while nothing has been written since it was read.
UPDATE stripe_object SET body = sqlc.arg(body) WHERE kind = sqlc.arg(kind) AND id = sqlc.arg(id) AND sequence = sqlc.arg(sequence);

-- name: GetObject :one
SELECT * FROM stripe_object WHERE kind = $1 AND id = $2 AND sequence > 0;

-- name: ListObjects :many
SELECT * FROM stripe_object
WHERE kind = sqlc.arg(kind) AND id > sqlc.arg(after_id) AND sequence > 0 AND NOT deleted
ORDER BY id LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: ListObjectsOfCustomer :many
SELECT * FROM stripe_object
WHERE customer = sqlc.arg(customer) AND kind = sqlc.arg(kind) AND id > sqlc.arg(after_id) AND sequence > 0 AND NOT deleted
ORDER BY id LIMIT CAST(sqlc.arg(most) AS BIGINT);
