package ledger

import (
	"math"
	"time"
)

// Never is the expiry of credit that does not expire.
var Never = time.UnixMicro(math.MaxInt64).UTC()

// Account is who pays. Money is in nano-dollars.
type Account struct {
	// ID is the organization's or the user's.
	ID string
	// Plan is the plan's id, or the reference of the version that a subscriber stays on, such as "pro@3".
	Plan string
	// Balance is the credit left; below 0 it is debt.
	Balance int64
	// Held is the part of the balance that calls under way hold; never below 0.
	Held int64
	// Debt is what was used beyond all credit; the next grant pays it.
	Debt int64
	// CreateTime is when the account was opened; its day is the first day of each period.
	CreateTime time.Time
	// PeriodStart and PeriodEnd bound the present period: from the start, up to and without the end.
	PeriodStart, PeriodEnd time.Time
	// Due is when credit expires or the period ends, whichever is first.
	Due time.Time
	// Period is the usage since the period began.
	Period UsageTotal
	// Overage is the usage beyond all credit that the plan allows.
	Overage Overage
}

// maxSum bounds each sum of an account, in both directions. It leaves room for one more grant, hold or charge below int64's end.
const maxSum = 8_000_000_000_000_000_000

// countable tells whether all sums are within their bounds.
func (a Account) countable() bool {
	return a.Balance >= -maxSum && max(a.Balance, a.Held, a.Debt, a.Period.largest(), a.Overage.Total) <= maxSum
}

// Available is the credit that is left and not held.
func (a Account) Available() int64 { return a.Balance - a.Held }

// Usage is what a call consumed, in tokens.
type Usage struct {
	// Input counts all input tokens.
	Input int64
	// CachedInput is the part of Input that the provider had cached.
	CachedInput int64
	// Output counts all output tokens.
	Output int64
	// Reasoning is the part of Output that was spent on reasoning.
	Reasoning int64
}

// IsZero tells whether nothing was used.
func (u Usage) IsZero() bool { return u == Usage{} }

// MaxTokens is the most tokens of a kind that one call may use.
const MaxTokens = math.MaxInt32

// sane tells whether the counts can be those of a call.
func (u Usage) sane() bool {
	return u.CachedInput >= 0 && u.CachedInput <= u.Input && u.Input <= MaxTokens &&
		u.Reasoning >= 0 && u.Reasoning <= u.Output && u.Output <= MaxTokens
}

// most takes the larger of each count.
func (u Usage) most(o Usage) Usage {
	return Usage{
		Input: max(u.Input, o.Input), CachedInput: max(u.CachedInput, o.CachedInput),
		Output: max(u.Output, o.Output), Reasoning: max(u.Reasoning, o.Reasoning),
	}
}

// UsageTotal is a sum of usage.
type UsageTotal struct {
	// Requests counts the calls that used anything.
	Requests int64
	// Usage is the tokens.
	Usage Usage
	// Cost is what was billed, in nano-dollars.
	Cost int64
}

// Add adds o.
func (t *UsageTotal) Add(o UsageTotal) { t.combine(o, plus) }

// Remove takes o away.
func (t *UsageTotal) Remove(o UsageTotal) { t.combine(o, func(a, b int64) int64 { return a - b }) }

func (t *UsageTotal) combine(o UsageTotal, op func(a, b int64) int64) {
	t.Requests = op(t.Requests, o.Requests)
	t.Usage.Input = op(t.Usage.Input, o.Usage.Input)
	t.Usage.CachedInput = op(t.Usage.CachedInput, o.Usage.CachedInput)
	t.Usage.Output = op(t.Usage.Output, o.Usage.Output)
	t.Usage.Reasoning = op(t.Usage.Reasoning, o.Usage.Reasoning)
	t.Cost = op(t.Cost, o.Cost)
}

// covers tells whether o can be a part of the sums.
func (t UsageTotal) covers(o UsageTotal) bool {
	t.Remove(o)
	return min(t.Requests, t.Usage.Input, t.Usage.CachedInput, t.Usage.Output, t.Usage.Reasoning, t.Cost) >= 0
}

// largest is the largest of the sums.
func (t UsageTotal) largest() int64 {
	return max(t.Requests, t.Usage.Input, t.Usage.CachedInput, t.Usage.Output, t.Usage.Reasoning, t.Cost)
}

// plus adds amounts that are not negative; what is beyond int64 is cut to its largest number.
func plus(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// Grant is credit with an origin and, perhaps, an end.
type Grant struct {
	// ID is "grant_…".
	ID string
	// AccountID is the owner.
	AccountID string
	// Source is what it is for; unique within the account.
	Source string
	// Amount is the credit, in nano-dollars.
	Amount int64
	// Remaining is what is left of it, in nano-dollars; from 0 to Amount.
	Remaining int64
	// CreateTime is when it was given.
	CreateTime time.Time
	// ExpireTime is the first moment at which it is no longer good; Never when it has no end.
	ExpireTime time.Time
}

// State is how far a hold is.
type State string

// The states of a hold.
const (
	// StateOpen means that the call is under way.
	StateOpen State = "open"
	// StateSettled means that the call's end was reported.
	StateSettled State = "settled"
	// StateSwept means that the lease ran out and the last checkpoint was charged; a late Settle adjusts it.
	StateSwept State = "swept"
)

// Hold is credit that is set aside for one call.
type Hold struct {
	// ID is "hold_…", made from account and request id; see holdIDs.
	ID string
	// AccountID is who pays.
	AccountID string
	// RequestID is the caller's idempotency key, unique within the account.
	RequestID string
	// Fingerprint is a hash of what was asked for.
	Fingerprint string
	// UserID and APIKeyID are who calls.
	UserID, APIKeyID string
	// Model is the model called.
	Model string
	// InputPrice, CachedInputPrice and OutputPrice are what a million tokens cost at the time, in nano-dollars.
	InputPrice, CachedInputPrice, OutputPrice int64
	// Amount is what is held, in nano-dollars.
	Amount int64
	// OutputTokens is what the amount affords for each answer.
	OutputTokens int64
	// State is how far the hold is.
	State State
	// CreateTime is when it was made.
	CreateTime time.Time
	// LeaseTime is when the sweeper may settle it.
	LeaseTime time.Time
	// Used is the last checkpoint, and once it is closed, what the call used.
	Used Usage
	// UsedCost is the cost at the last checkpoint, in nano-dollars, when the call is priced by who makes it; else 0.
	UsedCost int64
	// Closing is how it ended; zero while it is open.
	Closing
}

// Closing is how a hold ended.
type Closing struct {
	// Cost is the charge, in nano-dollars.
	Cost int64
	// BalanceAfter is the account's balance after it, in nano-dollars.
	BalanceAfter int64
	// PaidBy are the grants that paid, in that order; one that paid debt stands after those that paid the charge.
	PaidBy []Burn
	// Owed is the part of Cost that no grant has paid yet.
	Owed int64
	// Overage is the part of Cost that the account used beyond its credit, and OverageStart begins the period in which it counts.
	Overage      int64
	OverageStart time.Time
	// Outcome, Estimated and ProviderRequestID are what Settlement says.
	Outcome           Outcome
	Estimated         bool
	ProviderRequestID string
	// CallLog is what Settlement says, too.
	CallLog
	// UsageTime is when it was closed first. A charge that is corrected later stays on that day.
	UsageTime time.Time
	// SettleTime is when it was closed, or corrected.
	SettleTime time.Time
}

// Burn is what one grant paid of a charge, in nano-dollars.
type Burn struct {
	GrantID string
	Amount  int64
}

// Kinds of entries.
const (
	// KindGrant is credit given.
	KindGrant = "grant"
	// KindUsage is the charge of a call.
	KindUsage = "usage"
	// KindAdjustment corrects the charge of a call that was swept.
	KindAdjustment = "adjustment"
	// KindExpiry is credit whose time is over.
	KindExpiry = "expiry"
	// KindOverage is usage beyond all credit, which Stripe's invoices charge.
	KindOverage = "overage"
)

// Sides of entries that are not a customer's.
const (
	// SideUsage earns what calls cost.
	SideUsage = "revenue:usage"
	// SideGrants gives the credit.
	SideGrants = "equity:grants"
	// SideReceivable gives what Stripe's invoices are to collect.
	SideReceivable = "receivable:stripe"
	// SideExpired takes the credit that expired.
	SideExpired = "expired:credit"
)

// SideCustomer is an account's side in entries.
func SideCustomer(accountID string) string { return "customer:" + accountID }

// Entry is one movement, from one side to the other.
type Entry struct {
	// ID is "ent_…"; ids grow with time.
	ID string
	// AccountID is whose balance moved.
	AccountID string
	// Kind is what moved the money.
	Kind string
	// Debit is the side that gives.
	Debit string
	// Credit is the side that takes.
	Credit string
	// Amount is in nano-dollars, above 0.
	Amount int64
	// Reference is the hold or the grant behind it.
	Reference string
	// GrantSource is what the grant behind it is for, when it is read; "" without one.
	GrantSource string
	// CreateTime is when it was entered.
	CreateTime time.Time
}

// Outcome is how a call ended.
type Outcome string

// The outcomes.
const (
	OutcomeCompleted      Outcome = "completed"
	OutcomeCallerLeft     Outcome = "caller_left"
	OutcomeUpstreamFailed Outcome = "upstream_failed"
	OutcomeAbandoned      Outcome = "abandoned"
	// OutcomeRefused is that of calls without a hold.
	OutcomeRefused Outcome = "refused"
	// OutcomeReplaced is that of a hold that another one replaced before the call; the log of calls leaves it out.
	OutcomeReplaced Outcome = "replaced"
)

// CallLog is what a log of calls needs besides what is billed. All of it may be unknown.
type CallLog struct {
	// Target served the call, and ServedModel is the model that the provider says it used.
	Target, ServedModel string
	// Latency is the time to the end of the call, and FirstByte that to the first byte of the answer.
	Latency, FirstByte time.Duration
	// ErrorCode is the reason of the error that the caller got.
	ErrorCode string
	// HTTPRequestID is the id of the HTTP request, which many calls may share.
	HTTPRequestID string
	// Details is what the call used besides plain text tokens, in the form of rpc; empty for nothing.
	Details string
}

// UsageRecord is what one settled call used.
type UsageRecord struct {
	// ID is "usage_…".
	ID string
	// HoldID is the call's hold, and RequestID the caller's id of it.
	HoldID, RequestID string
	// AccountID, UserID and APIKeyID are who called.
	AccountID, UserID, APIKeyID string
	// Model is the model called.
	Model string
	// Usage is the tokens.
	Usage Usage
	// Cost is what was billed, in nano-dollars.
	Cost int64
	// Outcome is how the call ended.
	Outcome Outcome
	// Estimated is true when Trivet counted the tokens.
	Estimated bool
	// ProviderRequestID is the provider's id of the call.
	ProviderRequestID string
	CallLog
	// SettleTime is when it was billed or corrected.
	SettleTime time.Time
}

// Total is what the call adds to the sums of usage.
func (r UsageRecord) Total() UsageTotal { return totalOf(r.Usage, r.Cost) }

// totalOf is what a call adds to the sums of usage: nothing when it used nothing.
func totalOf(u Usage, cost int64) UsageTotal {
	if u.IsZero() && cost == 0 {
		return UsageTotal{}
	}
	return UsageTotal{Requests: 1, Usage: u, Cost: cost}
}

// UsageRow is the usage of one group on one day.
type UsageRow struct {
	// Day is "2026-11-23", in UTC.
	Day string
	// Model, UserID and APIKeyID are the group; each is empty when the rows are not divided by it.
	Model, UserID, APIKeyID string
	UsageTotal
}
