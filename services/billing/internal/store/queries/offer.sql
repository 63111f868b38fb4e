-- name: ListOffers :many
SELECT * FROM offer ORDER BY position, kind, id, version;

-- name: InsertOffer :exec
INSERT INTO offer (kind, id, version, position, spec, state, create_time) VALUES ($1, $2, $3, $4, $5, 'applying', $6);

-- name: SetOfferPrices :exec
UPDATE offer SET month_price = $1, year_price = $2 WHERE kind = $3 AND id = $4 AND version = $5;

-- name: SetOfferState :exec
UPDATE offer SET state = $1, position = $2 WHERE kind = $3 AND id = $4 AND version = $5;

-- name: SetOfferInactive :exec
UPDATE offer SET active = FALSE WHERE kind = $1 AND id = $2 AND version = $3;

-- name: GetCatalog :one
SELECT * FROM catalog WHERE name = 'stripe';

-- name: BumpCatalog :exec
UPDATE catalog SET revision = revision + 1, mode = $1, portal = $2 WHERE name = 'stripe';

-- name: CountAccountsOnPlan :one
-- At most 1000. versions is the plan's id with "@", which begins the references of its versions.
SELECT COUNT(*) FROM (
    SELECT 1 FROM account
    WHERE plan = sqlc.arg(plan_id) OR SUBSTR(plan, 1, LENGTH(CAST(sqlc.arg(versions) AS TEXT))) = CAST(sqlc.arg(versions) AS TEXT) LIMIT 1000
) AS a;
