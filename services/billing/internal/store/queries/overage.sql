-- name: ListOveragePeriods :many
SELECT * FROM overage_period WHERE account_id = sqlc.arg(account_id) ORDER BY start_time DESC LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: GetOveragePeriod :one
SELECT amount FROM overage_period WHERE account_id = $1 AND start_time = $2;

-- name: PlanOverage :exec
-- A new cycle sets when the next charge is due. A charge that is due earlier stays due: the cycle before is charged after its end, when the new
-- one has begun.
INSERT INTO overage_billing (account_id, subscription_id, plan, cycle, due_time)
VALUES (sqlc.arg(account_id), sqlc.arg(subscription_id), sqlc.arg(plan), sqlc.arg(cycle), sqlc.arg(due_time))
ON CONFLICT (account_id) DO UPDATE SET
    subscription_id = excluded.subscription_id, plan = excluded.plan,
    due_time = CASE
        WHEN overage_billing.cycle = excluded.cycle OR overage_billing.due_time < excluded.due_time THEN overage_billing.due_time
        ELSE excluded.due_time
    END,
    cycle = excluded.cycle;

-- name: GetOveragePlan :one
SELECT * FROM overage_billing WHERE account_id = $1;

-- name: ListDueOverage :many
SELECT account_id FROM overage_billing WHERE due_time <= sqlc.arg(at_time) ORDER BY due_time, account_id LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: PostponeOverage :exec
UPDATE overage_billing SET due_time = sqlc.arg(due_time) WHERE account_id = sqlc.arg(account_id) AND due_time <= CAST(sqlc.arg(at_time) AS BIGINT);

-- name: AddOverageCharged :exec
UPDATE overage_billing SET charged = charged + sqlc.arg(amount), due_time = sqlc.arg(due_time) WHERE account_id = sqlc.arg(account_id);

-- name: InsertOverageCharge :exec
-- renew_time is not used any more.
INSERT INTO overage_charge (id, account_id, subscription_id, plan, cents, renew_time, state, create_time, next_time)
VALUES (sqlc.arg(id), sqlc.arg(account_id), sqlc.arg(subscription_id), sqlc.arg(plan), sqlc.arg(cents), 0, 'new', sqlc.arg(create_time), sqlc.arg(create_time));

-- name: ListOpenOverageCharges :many
SELECT * FROM overage_charge
WHERE state IN ('new', 'refused') AND next_time <= sqlc.arg(at_time) ORDER BY next_time, id LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: ListOverageCharges :many
SELECT * FROM overage_charge WHERE account_id = sqlc.arg(account_id) AND id < sqlc.arg(before) ORDER BY id DESC LIMIT CAST(sqlc.arg(most) AS BIGINT);

-- name: CountRefusedOverageCharges :one
SELECT COUNT(*) FROM overage_charge WHERE account_id = $1 AND state = 'refused';

-- name: SumOverageCharges :many
SELECT state, CAST(SUM(cents) AS BIGINT) AS cents FROM overage_charge WHERE account_id = $1 GROUP BY state;

-- name: SaveOverageCharge :exec
UPDATE overage_charge SET
    state = sqlc.arg(state), next_time = sqlc.arg(next_time), attempts = sqlc.arg(attempts),
    spent_keys = sqlc.arg(spent_keys), customer_id = sqlc.arg(customer_id), item_id = sqlc.arg(item_id), invoice_id = sqlc.arg(invoice_id),
    problem = sqlc.arg(problem)
WHERE id = sqlc.arg(id) AND state IN ('new', 'refused');
