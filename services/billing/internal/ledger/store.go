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
	// ErrLost says that another call changed the hold since it was read.
	ErrLost = errors.New("another call changed the hold meanwhile")
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
	// ExpiredHolds reads at most limit open holds whose lease ended at or before at, by lease and id, after a hold; the zero Hold means
	// from the first.
	ExpiredHolds(ctx context.Context, at time.Time, after Hold, limit int) ([]Hold, error)
	// Checkpoint raises an open hold's usage and lease, each where it is higher, and returns the lease. ErrNotFound when
	// there is no such hold or it is closed.
	Checkpoint(ctx context.Context, holdID string, used Usage, lease time.Time) (time.Time, error)
	// Grants reads all grants of an account in the order in which they burn, spent ones too.
	Grants(ctx context.Context, accountID string) ([]Grant, error)
	// Entries reads at most limit entries whose id is below before, newest first. An empty before means from the newest.
	Entries(ctx context.Context, accountID, before string, limit int) ([]Entry, error)
	// Usage sums usage records by day and model, by day and then by model.
	Usage(ctx context.Context, q UsageQuery) ([]UsageRow, error)
	// PruneKeyWindows deletes at most limit windows of API keys' limits that ended at or before that time, and counts them.
	PruneKeyWindows(ctx context.Context, ended time.Time, limit int) (int, error)
	// Violations looks for rows that break the ledger's rules, in one consistent view; at most limit.
	Violations(ctx context.Context, limit int) ([]Violation, error)
}

// UsageQuery bounds a sum of usage.
type UsageQuery struct {
	// AccountID is whose usage.
	AccountID string
	// From and To bound the settle time: from From, up to and without To.
	From, To time.Time
	// Model and UserID narrow it; empty means all.
	Model, UserID string
}

// Tx is a transaction of a Store. Whoever changes an account's money calls TakeHold, ChargeHold or LockAccount first: the
// account's row is the lock.
type Tx interface {
	// TakeHold raises held by h's amount and writes h, if nothing is due when h is made and the balance, less what is held,
	// affords it: one conditional update, so it can't overspend however many ask at once. It returns the account's plan. It counts the
	// hold in the windows of its key, but compares no key's limit.
	TakeHold(ctx context.Context, h Hold) (plan string, taken Taken, err error)
	// DropHold undoes a TakeHold of the same transaction.
	DropHold(ctx context.Context, h Hold) error
	// ChargeHold closes an open hold in the common case: nothing is due, and the first grant to burn covers the cost alone. It
	// moves account, grant, hold, the windows of its key, entry and usage record, and returns the balance. False: it did nothing, as this is not the
	// common case. ErrLost: the hold is not as it was read; the transaction must be undone.
	ChargeHold(ctx context.Context, c Charge) (balance int64, ok bool, err error)
	// LockAccount reads an account and keeps it from others until the end of the transaction; ErrNotFound if it does not exist.
	LockAccount(ctx context.Context, id string) (Account, error)
	// InsertAccount opens an account without credit, and tells whether it was new. It opens none for a person who was erased.
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
	// SetRemaining writes what is left of a grant.
	SetRemaining(ctx context.Context, grantID string, remaining int64) error

	// InsertHold writes an open hold, and tells whether its id was new.
	InsertHold(ctx context.Context, h Hold) (bool, error)
	// Hold reads a hold, or ErrNotFound.
	Hold(ctx context.Context, id string) (Hold, error)
	// CloseHold closes the hold and writes how it ended; ErrLost when the hold is not as it was read. sweep makes it swept
	// instead of settled, and compares lease and checkpoint too.
	CloseHold(ctx context.Context, h Hold, c Closing, sweep bool) error
	// HeldBefore sums the account's open holds that were made before a time.
	HeldBefore(ctx context.Context, accountID string, before time.Time) (int64, error)

	// HoldsInDebt reads what the account's holds owe, the oldest debt first.
	HoldsInDebt(ctx context.Context, accountID string) ([]HoldDebt, error)
	// PayHold writes what a closed hold owes and which grants paid it.
	PayHold(ctx context.Context, d HoldDebt) error

	// KeyWindow reads what an API key holds and spent in a window of its limit. A window that is not stored is summed up from the key's
	// holds and stored. The account is locked.
	KeyWindow(ctx context.Context, accountID, keyID string, w Window) (KeySpend, error)
	// AddKeySpend adds to what the hold's API key holds and spent, in all stored windows in which the hold was made.
	AddKeySpend(ctx context.Context, h Hold, more KeySpend) error

	// InsertEntry writes a movement.
	InsertEntry(ctx context.Context, e Entry) error
	// InsertUsage writes a usage record.
	InsertUsage(ctx context.Context, r UsageRecord) error
	// Usage reads a usage record, or ErrNotFound.
	Usage(ctx context.Context, accountID, id string) (UsageRecord, error)
	// DeleteUsage removes a usage record.
	DeleteUsage(ctx context.Context, accountID, id string) error
}

// KeySpend is what an API key holds and spent in a window of its limit, in nano-dollars.
type KeySpend struct{ Held, Spent int64 }

// HoldDebt is what a hold owes.
type HoldDebt struct {
	HoldID string
	// Owed is above 0.
	Owed int64
	// PaidBy are the grants that paid the rest of the hold's cost.
	PaidBy []Burn
}

// Taken tells what TakeHold did.
type Taken int

// What TakeHold did.
const (
	// TakenNot means that something is due or the balance does not afford it.
	TakenNot Taken = iota
	// TakenNow means that the hold was made.
	TakenNow
	// TakenBefore means that there is a hold with this id already; nothing was changed.
	TakenBefore
)

// Charge is what ChargeHold writes.
type Charge struct {
	// Hold is the hold as it was read: open.
	Hold Hold
	// Sweep makes the state swept instead of settled, and demands that lease and checkpoint are as they were read.
	Sweep bool
	// EntryID is the entry's id.
	EntryID string
	// Record is what was used; its cost is the charge. When its usage is zero it is not written.
	Record UsageRecord
}

// KeySpend is what the charge means for the windows of the hold's key.
func (c Charge) KeySpend() KeySpend { return KeySpend{Held: -c.Hold.Amount, Spent: c.Record.Cost} }

// Entry is the movement of the charge.
func (c Charge) Entry() Entry {
	return Entry{
		ID: c.EntryID, AccountID: c.Hold.AccountID, Kind: KindUsage, Debit: SideCustomer(c.Hold.AccountID), Credit: SideUsage,
		Amount: c.Record.Cost, Reference: c.Hold.ID, CreateTime: c.Record.SettleTime,
	}
}
