package ledger

import (
	"context"
	"errors"
	"time"
)

// Sentinels of a Store. Its other errors are defects.
var (
	// ErrNotFound says that there is no such row.
	ErrNotFound = errors.New("not found")
	// ErrUnavailable says that the database can't serve now; whether a write took place may be unknown, so ask again
	// with the same id.
	ErrUnavailable = errors.New("database unavailable")
)

// Store keeps the ledger's rows, on SQLite or PostgreSQL.
type Store interface {
	// Write runs fn in a transaction and returns after its durable commit; an error of fn undoes its work. fn may run more
	// than once, so it sets its results and adds nothing to them. Writes of one account take turns.
	Write(ctx context.Context, accountID string, fn func(ctx context.Context, tx Tx) error) error
	// Account reads an account, or ErrNotFound.
	Account(ctx context.Context, id string) (Account, error)
	// Hold reads a hold, or ErrNotFound.
	Hold(ctx context.Context, id string) (Hold, error)
	// ExpiredHolds reads at most limit open holds whose lease ended at or before at, in no order.
	ExpiredHolds(ctx context.Context, at time.Time, limit int) ([]Hold, error)
	// Checkpoint raises an open hold's usage and lease, each where it is higher, and returns the lease. ErrNotFound when
	// there is no such hold or it is closed.
	Checkpoint(ctx context.Context, holdID string, used Usage, lease time.Time) (time.Time, error)
	// Grants reads all grants of an account in the order in which they burn, spent ones too.
	Grants(ctx context.Context, accountID string) ([]Grant, error)
	// Entries reads at most limit entries whose id is below before, newest first. An empty before means from the newest.
	Entries(ctx context.Context, accountID, before string, limit int) ([]Entry, error)
	// Usage sums usage records by day and model, by day and then by model.
	Usage(ctx context.Context, q UsageQuery) ([]UsageRow, error)
	// Violations looks for rows that break the ledger's rules, in one consistent view; at most limit.
	Violations(ctx context.Context, limit int) ([]Violation, error)
}

// UsageQuery bounds a sum of usage.
type UsageQuery struct {
	// AccountID is whose usage.
	AccountID string
	// FirstDay and LastDay bound it, both included, as "2026-11-23" in UTC.
	FirstDay, LastDay string
	// Model and UserID narrow it; empty means all.
	Model, UserID string
}

// Tx is a transaction of a Store. Whoever changes an account's money calls HoldCredit, Charge or LockAccount first: the
// account's row is the lock.
type Tx interface {
	// HoldCredit raises held by amount if nothing is due at that time and the balance, less what is held, affords it.
	// It returns the account's plan, and false when it did nothing.
	HoldCredit(ctx context.Context, accountID string, amount int64, at time.Time) (plan string, ok bool, err error)
	// ReleaseCredit lowers held by amount.
	ReleaseCredit(ctx context.Context, accountID string, amount int64) error
	// Charge lowers the balance by total.Cost and held by amount, and adds total to the period's usage, if nothing is due
	// at that time. It returns the balance, and false when it did nothing.
	Charge(ctx context.Context, accountID string, amount int64, total UsageTotal, at time.Time) (balance int64, ok bool, err error)
	// LockAccount reads an account and keeps it from others until the end of the transaction; ErrNotFound when there is none.
	LockAccount(ctx context.Context, id string) (Account, error)
	// InsertAccount opens an account without credit, and tells whether it was new.
	InsertAccount(ctx context.Context, a Account) (bool, error)
	// SaveAccount writes a locked account's money, period and usage.
	SaveAccount(ctx context.Context, a Account) error

	// InsertGrant writes a grant, and tells whether its source was new to the account.
	InsertGrant(ctx context.Context, g Grant) (bool, error)
	// GrantBySource reads a grant, or ErrNotFound.
	GrantBySource(ctx context.Context, accountID, source string) (Grant, error)
	// LiveGrants reads the grants with something left, in the order in which they burn.
	LiveGrants(ctx context.Context, accountID string) ([]Grant, error)
	// Grant reads a grant by id, or ErrNotFound.
	Grant(ctx context.Context, id string) (Grant, error)
	// BurnFirst takes cost from the first grant to burn that was good at that time, if it covers cost alone. It returns the
	// grant's id, and false when it did nothing.
	BurnFirst(ctx context.Context, accountID string, cost int64, goodAt time.Time) (grantID string, ok bool, err error)
	// SetRemaining writes what is left of a grant.
	SetRemaining(ctx context.Context, grantID string, remaining int64) error

	// InsertHold writes an open hold, and tells whether its id was new.
	InsertHold(ctx context.Context, h Hold) (bool, error)
	// Hold reads a hold, or ErrNotFound.
	Hold(ctx context.Context, id string) (Hold, error)
	// CloseHold moves a hold from one state to settled and writes how it ended; false when it was not in that state.
	CloseHold(ctx context.Context, id string, from State, c Closing) (bool, error)
	// SweepHold moves the hold from open to swept and writes how it ended; false when its state, lease or checkpoint is not
	// h's any more.
	SweepHold(ctx context.Context, h Hold, c Closing) (bool, error)
	// HeldBefore sums the account's open holds that were made before a time.
	HeldBefore(ctx context.Context, accountID string, before time.Time) (int64, error)

	// InsertEntry writes a movement.
	InsertEntry(ctx context.Context, e Entry) error
	// InsertUsage writes a usage record.
	InsertUsage(ctx context.Context, r UsageRecord) error
	// Usage reads a usage record, or ErrNotFound.
	Usage(ctx context.Context, holdID string) (UsageRecord, error)
	// DeleteUsage removes a usage record.
	DeleteUsage(ctx context.Context, holdID string) error
}
