package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// Sentinels of a Store. Its other errors are defects.
var (
	// ErrNotFound says that there is no such row.
	ErrNotFound = errors.New("not found")
	// ErrUnavailable says that the database cannot serve now. Whether a write took place may be unknown, so callers ask again
	// with the same id.
	ErrUnavailable = errors.New("database unavailable")
)

// Store keeps the ledger's rows, on SQLite or PostgreSQL.
type Store interface {
	// Shared tells whether replicas may share the database.
	Shared() bool
	// ShareTaken tells whether an account has a share of a person, or another account has the share of userID, or that person was erased.
	ShareTaken(ctx context.Context, share Share, accountID, userID string) (bool, error)
	// Write has fn decide in memory, on the state of the account, and returns after a durable commit of what it decided. Decisions of many
	// callers share a batch: one transaction that reads each account once and writes each changed row once. Decisions about one account
	// take turns. An error of fn undoes its own work only. fn may run more than once, so it sets its results and adds nothing to them.
	Write(ctx context.Context, accountID string, fn func(ctx context.Context, tx Tx) error) error
	// WriteCall is Write for a decision about a call. What the limits of its caller need is read together with that of other callers.
	WriteCall(ctx context.Context, caller Caller, fn func(ctx context.Context, tx Tx) error) error
	// SpendLimitPage reads spend limits, in the order of kind, subject and period.
	SpendLimitPage(ctx context.Context, q LimitQuery) ([]SpendLimit, error)
	// Account reads an account, or ErrNotFound.
	Account(ctx context.Context, id string) (Account, error)
	// Hold reads a hold, or ErrNotFound.
	Hold(ctx context.Context, id string) (Hold, error)
	// AnyHold tells whether there is a hold at all.
	AnyHold(ctx context.Context) (bool, error)
	// ExpiredHolds reads at most limit open holds whose lease ended at or before at, by lease and id, after a hold; the zero Hold means
	// from the first.
	ExpiredHolds(ctx context.Context, at time.Time, after Hold, limit int) ([]Hold, error)
	// Grants reads all grants of an account in the order in which they burn, spent ones too.
	Grants(ctx context.Context, accountID string) ([]Grant, error)
	// Entries reads at most limit entries whose id is below before, newest first. An empty before means from the newest.
	Entries(ctx context.Context, accountID, before string, limit int) ([]Entry, error)
	// Usage sums the usage of whole days by day and by what the query says, also what is not folded yet, in the order of UsageRow.Compare.
	Usage(ctx context.Context, q UsageQuery) ([]UsageRow, error)
	// UsageOfUser reads at most limit records of calls that name a person, after one.
	UsageOfUser(ctx context.Context, userID, afterAccountID, afterID string, limit int) ([]UsageRecord, error)
	// Calls reads segments of an account's calls, newest first, by ids: from one down to another, without those whose calls all ended at or
	// after before. It reads at most limit segments, and one more than those that have that many calls.
	Calls(ctx context.Context, accountID, from, to string, before time.Time, limit, calls int) ([]Segment, error)
	// FindCall looks for a call in at most limit segments of an account from an id up to another, oldest first, without those whose calls all ended at
	// or after before; nil when it is in none of them.
	FindCall(ctx context.Context, accountID, requestID, from, to string, before time.Time, limit int) (*UsageRecord, Looked, error)
	// Record reads the record of a closed hold, or ErrNotFound.
	Record(ctx context.Context, holdID string) (UsageRecord, error)
	// InsertRefused writes calls of one account that were refused as a segment, once for each id.
	InsertRefused(ctx context.Context, accountID, segmentID string, records []UsageRecord) error
	// AccountsToFold lists at most limit accounts after one that have closed calls to fold.
	AccountsToFold(ctx context.Context, after string, limit int) ([]string, error)
	// Fold moves at most limit closed calls of the accounts into daily sums and for each account into one segment and one entry, and counts
	// them. An account is folded in one transaction; several accounts may share it.
	Fold(ctx context.Context, accountIDs []string, limit int, f Folding) (int, error)
	// PruneHolds looks at limit holds after an id and deletes those that are folded, paid and older than their retention. It returns the
	// last id that it looked at; "" at the end.
	PruneHolds(ctx context.Context, after string, r Retention, limit int) (next string, err error)
	// PruneRecords deletes at most limit records of single calls, and segments of them, and counts both.
	PruneRecords(ctx context.Context, r Retention, limit int) (int, error)
	// PruneWindows deletes at most limit windows of members' limits, and as many of API keys' limits, that ended at or before that time. It returns the
	// larger number.
	PruneWindows(ctx context.Context, ended time.Time, limit int) (int, error)
	// PruneCallKeys deletes at most limit idempotency keys of calls that began at or before that time, and counts them.
	PruneCallKeys(ctx context.Context, began time.Time, limit int) (int, error)
	// PostponeSubscription has a subscription that is still due at now wait until next. The others behind it must have their turn.
	PostponeSubscription(ctx context.Context, accountID string, now, next time.Time) error
	// DueSubscriptions lists at most limit accounts whose subscription time alone has changed.
	DueSubscriptions(ctx context.Context, at time.Time, limit int) ([]string, error)
	// Sold lists at most limit subscriptions at Stripe that are not over, in the order of their ids, after one.
	Sold(ctx context.Context, after string, limit int) ([]Sold, error)
	// Violations looks for rows that break the ledger's rules, at most limit. It reads what paid the holds at one moment, and the rest at another.
	Violations(ctx context.Context, limit int) ([]Violation, error)
}

// UsageQuery bounds a sum of usage.
type UsageQuery struct {
	// AccountID is whose usage.
	AccountID string
	// From and To bound the days: from that of From, up to and without that of To unless To is within it.
	From, To time.Time
	// Model, UserID and APIKeyID narrow it; empty means all.
	Model, UserID, APIKeyID string
	// By is what a day is divided by; 0 means ByModel.
	By Grouping
	// Limit is the most rows to read, whichever they are; 0 means all.
	Limit int
}

// Tx is one decision's view of the batch that it is part of. It sees what earlier decisions of the batch changed. Changes stay in memory
// until the batch is written, except for rare rows.
type Tx interface {
	// LockAccount reads an account and keeps it from others until the end of the transaction; ErrNotFound if it does not exist.
	LockAccount(ctx context.Context, id string) (Account, error)
	// InsertAccount opens an account, and tells whether it was new. It opens none for a person who was erased.
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

	// Assumes is true in the first run of a decision: InsertHold takes every id for new, OpenHold takes the hold that it is given for open,
	// and InsertAccount takes no person for erased. The commit checks all three. Where one is wrong, and after any error, the decision runs again and assumes nothing.
	Assumes() bool
	// InsertHold writes an open hold, and tells whether its id was new.
	InsertHold(ctx context.Context, h Hold) (bool, error)
	// Hold reads a hold, or ErrNotFound.
	Hold(ctx context.Context, id string) (Hold, error)
	// OpenHold is Hold for a caller that remembers the hold as open.
	OpenHold(ctx context.Context, known Hold) (Hold, error)
	// ExtendHold writes the checkpoint and the lease of an open hold.
	ExtendHold(ctx context.Context, h Hold) error
	// CloseHold writes how a hold ended: its State, what it Used, and its Closing. was is its state before.
	CloseHold(ctx context.Context, h Hold, was State) error
	// HeldBefore sums the account's open holds that were made before a time.
	HeldBefore(ctx context.Context, accountID string, before time.Time) (int64, error)

	// CallKey reads an idempotency key, or ErrNotFound.
	CallKey(ctx context.Context, id string) (CallKey, error)
	// SaveCallKey writes an idempotency key, unless another call has taken it since it was seen; seen is the request id that it had.
	SaveCallKey(ctx context.Context, k CallKey, seen string) error

	// HoldsInDebt reads what the account's holds owe, the oldest debt first.
	HoldsInDebt(ctx context.Context, accountID string) ([]HoldDebt, error)
	// PayHold writes what a closed hold owes and which grants paid it.
	PayHold(ctx context.Context, d HoldDebt) error
	// PayOldDebt writes that a grant paid debt from before holds knew what they owe.
	PayOldDebt(ctx context.Context, b Burn) error

	// SpendLimits reads the stored limits that a caller's calls count against: the member's, the key's, and those of every member. userID and keyID may be
	// empty. The account is locked.
	SpendLimits(ctx context.Context, accountID, userID, keyID string) ([]SpendLimit, error)
	// SaveSpendLimit writes a limit, or the amount of one that there is, and returns it. Errors: *ErasedError, *TooManyLimitsError when the account then has
	// more than most.
	SaveSpendLimit(ctx context.Context, l SpendLimit, most int64) (SpendLimit, error)
	// SpendLimit reads a limit, or ErrNotFound. The account is locked.
	SpendLimit(ctx context.Context, accountID, id string) (SpendLimit, error)
	// DeleteSpendLimit deletes a limit, or ErrNotFound.
	DeleteSpendLimit(ctx context.Context, accountID, id string) error
	// SpendWindow reads what a member or an API key holds and spent in a window, and remembers the limit that applies to it. A window that is not
	// stored is summed up from the holds and stored. The account is locked. Error: *ErasedError.
	SpendWindow(ctx context.Context, accountID string, s Subject, w Window, limit int64) (Spend, error)
	// AddSpend adds to what the hold's member and API key hold and spent, in all stored windows in which the hold was made.
	AddSpend(ctx context.Context, h Hold, more Spend) error
	// LimitedWindows reads the stored windows with a limit in which the hold counts.
	LimitedWindows(ctx context.Context, h Hold) ([]LimitedWindow, error)

	// SetPlan writes the plan of a locked account.
	SetPlan(ctx context.Context, accountID, ref string) error
	// EndGrants has those of an account's grants expire at a time whose sources begin with a prefix and that expire later, also those with nothing
	// left. It tells whether there were any.
	EndGrants(ctx context.Context, accountID, sourcePrefix string, at time.Time) (bool, error)
	// GrantsOf reads an account's grants of a source and of those that begin with it and a colon, spent ones too.
	GrantsOf(ctx context.Context, accountID, source string) ([]Grant, error)
	// ExtendGrant has a grant expire at a later time, also one with nothing left.
	ExtendGrant(ctx context.Context, grantID string, until time.Time) error
	// Expired is what has expired of a grant, or was taken back, less what came back to it.
	Expired(ctx context.Context, g Grant) (int64, error)
	// Billed reads what is mirrored of the account at Stripe. The account is locked.
	Billed(ctx context.Context, accountID string) (Billed, error)
	// Subscription reads what SaveSubscription wrote last: of the plan the id and the version. Its Access is subscriptions.None for nothing.
	Subscription(ctx context.Context, accountID string) (subscriptions.State, error)
	// SaveSubscription writes what the account's subscription is.
	SaveSubscription(ctx context.Context, accountID string, st subscriptions.State) error

	// MoveOverage adds overage to a period, or takes it away.
	MoveOverage(ctx context.Context, m OverageMove) error
	// PeriodOverage reads the overage of the period that begins at a time; 0 for a period that has none. The account is locked.
	PeriodOverage(ctx context.Context, accountID string, start time.Time) (int64, error)
	// PlanOverage writes how the overage of an account is invoiced. A new cycle sets the time of the next charge, but never to a later one.
	PlanOverage(ctx context.Context, p OveragePlan) error
	// OveragePlan reads it, with the sum of the charges, or ErrNotFound.
	OveragePlan(ctx context.Context, accountID string) (OveragePlan, error)
	// OverageRefused tells whether Stripe refuses a charge of the account.
	OverageRefused(ctx context.Context, accountID string) (bool, error)
	// ChargeOverage writes a charge, if it has cents, and when the next one is due.
	ChargeOverage(ctx context.Context, c OverageCharge, next time.Time) error

	// TakeShare tells whether the account has a share of a person. Otherwise it takes that of userID, unless another account has it or the
	// person was erased.
	TakeShare(ctx context.Context, share Share, accountID, userID string) (bool, error)
	// HasCard tells whether a customer of the account has a payment method at Stripe.
	HasCard(ctx context.Context, accountID string) (bool, error)

	// InsertPurchase writes what a payment gave, and tells whether that was new. Purchases reads what a payment or an invoice is for, PurchasesOf reads what
	// paid for the grants of a source and for those that begin with it and a colon, WaitingPurchases reads those of an account that wait for open calls, ReversedPurchases those whose payment was taken back in part or whole, and SetClawed writes what
	// was taken back and what waits.
	InsertPurchase(ctx context.Context, p Purchase) (bool, error)
	Purchases(ctx context.Context, paid string) ([]Purchase, error)
	PurchasesOf(ctx context.Context, accountID, source string) ([]Purchase, error)
	WaitingPurchases(ctx context.Context, accountID string) ([]Purchase, error)
	ReversedPurchases(ctx context.Context, accountID string) ([]Purchase, error)
	SetClawed(ctx context.Context, p Purchase) error
	// DeletePurchase deletes a purchase of a change that has bought nothing after all.
	DeletePurchase(ctx context.Context, p Purchase) error
	// Reversed reads what refunds, disputes and credit notes took back of a purchase's payment.
	Reversed(ctx context.Context, p Purchase) ([]subscriptions.Reversal, error)

	// StopTopUp turns the account's automatic top-up off and returns when it was set up; ErrNotFound when it was not on, was set up later than the stop, or
	// has nothing to do with it.
	StopTopUp(ctx context.Context, stop TopUpStop) (setUp time.Time, err error)
	// InsertNotice writes a notice, unless the account has one of its source or its person was erased, and tells whether it did.
	InsertNotice(ctx context.Context, n notices.Notice) (bool, error)
	// Thresholds reads the largest amounts for which notices of thresholds were written, by Notice.Threshold; 0 for none.
	Thresholds(ctx context.Context, accountID string, names [3]string) ([3]int64, error)
	// NoticeSources reads the sources of the account's newest notices, without those of thresholds and top-ups.
	NoticeSources(ctx context.Context, accountID string) (map[string]bool, error)
	// RefusedCharges reads the charges of the account's overage that Stripe refuses.
	RefusedCharges(ctx context.Context, accountID string) ([]OverageCharge, error)

	// InsertEntry writes a movement.
	InsertEntry(ctx context.Context, e Entry) error
	// Unfold takes a closed hold's usage out of what it was folded into, and returns it with its time: it is about to be corrected.
	Unfold(ctx context.Context, holdID string) (old UsageTotal, at time.Time, err error)
}

// Caller is who makes a call.
type Caller struct {
	// AccountID pays. UserID and APIKeyID may be empty.
	AccountID, UserID, APIKeyID string
	// Reserves is true for a decision that needs the caller's limits.
	Reserves bool
}

// Spend is what a member or an API key holds and spent in a window, in nano-dollars.
type Spend struct{ Held, Spent int64 }

// TopUpStop is why an automatic top-up must buy nothing more: a dispute, or a refund of an automatic purchase.
type TopUpStop struct {
	AccountID string
	Disputed  bool
	// Paid is the payment intent or the invoice that was refunded.
	Paid string
	// Time is when Stripe learned of it.
	Time time.Time
}

// HoldDebt is what a hold owes.
type HoldDebt struct {
	HoldID string
	// Owed is above 0.
	Owed int64
	// PaidBy are the grants that paid the rest of the hold's cost.
	PaidBy []Burn
}
