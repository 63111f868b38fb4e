package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trivet-dev/trivet/platform/models"
)

// Settlement is what a call used.
type Settlement struct {
	// HoldID is the call's hold.
	HoldID string
	// Usage is the tokens; all zero closes the hold without a charge.
	Usage Usage
	// Outcome is how the call ended.
	Outcome Outcome
	// Estimated is true when Trivet counted the tokens.
	Estimated bool
	// ProviderRequestID is the provider's id of the call; may be empty.
	ProviderRequestID string
	// Priced is true when who made the call has priced it at PricedCost, in nano-dollars. At most the hold's amount is charged.
	Priced     bool
	PricedCost int64
	CallLog
}

// Settle charges what a call used and closes its hold, in one transaction. The same hold gets the same answer again. A hold
// that was swept is adjusted to the usage given here, up or down. What exceeds the hold is charged too, and may become debt.
// Errors: *HoldNotFoundError, *UsageError, *UncountableError, ErrUnavailable.
func (l *Ledger) Settle(ctx context.Context, s Settlement) (Closing, error) {
	h, err := l.find(ctx, s.HoldID)
	if err != nil {
		return Closing{}, err
	}
	c := l.settlings.Get().(*settling) //nolint:forcetypeassert // the pool makes them
	defer func() {
		*c = settling{}
		l.settlings.Put(c)
	}()
	*c = settling{l: l, Settlement: s, known: h, price: (*settling).used}
	return c.run(ctx)
}

// used prices what the settlement says.
func (c *settling) used(h Hold) (Usage, int64, error) {
	cost, err := h.cost(c.Usage)
	if c.Priced && c.Usage.sane() {
		cost, err = min(max(c.PricedCost, 0), h.Amount), nil
	}
	return c.Usage, cost, err
}

// recentKept is for how long an open hold is found in memory. The hold that another replica has closed is deleted holdKept afterwards, and a
// request may then use its id again.
const recentKept = holdKept / 2

// find returns a hold: as this process remembers it, which is open, or as it is stored.
func (l *Ledger) find(ctx context.Context, id string) (*Hold, error) {
	if h, kept := l.recent.Get(id); kept && l.now().Before(h.CreateTime.Add(recentKept)) {
		return h, nil
	}
	h, err := l.store.Hold(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil, &HoldNotFoundError{id}
	}
	return &h, err
}

// cost prices usage as the hold promised.
func (h Hold) cost(u Usage) (int64, error) {
	if !u.sane() {
		return 0, &UsageError{u}
	}
	model := models.Model{ID: h.Model, InputPrice: h.InputPrice, CachedInputPrice: h.CachedInputPrice, OutputPrice: h.OutputPrice}
	cost, err := model.Cost(u.Input, u.CachedInput, u.Output)
	if err != nil || cost > MaxAmount {
		return 0, &UsageError{u}
	}
	return cost, nil
}

// settling is one Settle, or one hold of a sweep, in progress.
type settling struct {
	Settlement
	l *Ledger
	// known is the hold as this process remembers it or has read it.
	known *Hold
	// price tells the usage and the cost to charge for the hold as it is.
	price func(c *settling, h Hold) (Usage, int64, error)
	// sweep is true when the sweeper closes the hold. It leaves alone what is closed or still has a lease.
	sweep bool

	// What a decision finds.
	hold Hold
	cost int64
	// What a decision comes to.
	end     Closing
	closed  bool // the hold was open, and is not any more
	left    bool // the sweeper has nothing to do
	refusal error
	telling telling
}

func (c *settling) run(ctx context.Context) (Closing, error) {
	caller := Caller{AccountID: c.known.AccountID, UserID: c.known.UserID, APIKeyID: c.known.APIKeyID}
	if err := c.l.store.WriteCall(ctx, caller, c.decide); err != nil {
		return Closing{}, err
	}
	c.telling.committed()
	if c.refusal != nil {
		return Closing{}, c.refusal
	}
	c.l.recent.Remove(c.known.ID)
	if c.closed {
		c.l.count.settled(ctx, c.Outcome, c.known.Model, c.cost)
	}
	return c.end, nil
}

// decide closes the hold, corrects one that was swept, or finds the answer that was given before.
func (c *settling) decide(ctx context.Context, tx Tx) (err error) {
	c.end, c.closed, c.left, c.refusal, c.telling = Closing{}, false, false, nil, telling{l: c.l}
	if c.hold, err = c.current(ctx, tx); err != nil {
		return err
	}
	switch {
	case c.sweep && (c.hold.State != StateOpen || c.hold.LeaseTime.After(c.l.now())):
		c.left = true
		return nil
	case c.hold.State == StateSettled:
		c.end = c.hold.Closing
		return nil
	}
	if c.Usage, c.cost, err = c.price(c, c.hold); err != nil {
		return c.refuse(tx, err)
	}
	if c.hold.State == StateSwept {
		return c.adjust(ctx, tx)
	}
	return c.charge(ctx, tx)
}

// refuse refuses the settlement, unless that rests on an assumption: then its error has the decision run again.
func (c *settling) refuse(tx Tx, refusal error) error {
	if tx.Assumes() {
		return refusal
	}
	c.refusal = refusal
	return nil
}

// current is the hold as it is now. The sweeper needs its last checkpoint, which another process may have written.
func (c *settling) current(ctx context.Context, tx Tx) (h Hold, err error) {
	if c.known.State == StateOpen && !c.sweep {
		h, err = tx.OpenHold(ctx, *c.known)
	} else {
		h, err = tx.Hold(ctx, c.known.ID)
	}
	if errors.Is(err, ErrNotFound) {
		return Hold{}, &HoldNotFoundError{c.known.ID}
	}
	return h, err
}

// touch brings the account up to date. The time it returns is never before the account's period: a replica whose clock is ahead
// may have begun that already.
func (c *settling) touch(ctx context.Context, tx Tx) (Account, time.Time, error) {
	now := c.l.now()
	account, err := c.l.touch(ctx, tx, c.hold.AccountID, c.hold.UserID, now)
	if now.Before(account.PeriodStart) {
		now = account.PeriodStart
	}
	return account, now, err
}

// charge closes an open hold.
func (c *settling) charge(ctx context.Context, tx Tx) error {
	account, now, err := c.touch(ctx, tx)
	if err != nil {
		return err
	}
	if account.Held < c.hold.Amount {
		return fmt.Errorf("account %s holds %d, which is less than its hold %s of %d", account.ID, account.Held, c.hold.ID, c.hold.Amount)
	}
	account.Balance -= c.cost
	account.Held -= c.hold.Amount
	account.Period.Add(totalOf(c.Usage, c.cost))
	live, err := tx.LiveGrants(ctx, account.ID)
	if err != nil {
		return err
	}
	paid, owed := burnDown(live, c.cost, c.hold.CreateTime)
	overage := account.useOverage(owed, c.hold.CreateTime)
	owed -= overage
	if account.Debt += owed; !account.countable() {
		return c.refuse(tx, &UncountableError{c.cost})
	}
	if err := takeFrom(ctx, tx, live, paid); err != nil {
		return err
	}
	if err := account.moveOverage(ctx, tx, overage); err != nil {
		return err
	}
	c.end = c.closing(now)
	c.end.BalanceAfter, c.end.PaidBy, c.end.Owed, c.end.UsageTime = account.Balance, paid, owed, now
	if c.end.Overage = overage; overage > 0 {
		c.end.OverageStart = account.PeriodStart
	}
	if err := c.write(ctx, tx); err != nil {
		return err
	}
	c.closed = true
	// What stayed for this hold beyond its time and was not used leaves now.
	if err := c.l.expire(ctx, tx, &account, now); err != nil {
		return err
	}
	if account.Due.Equal(dueAtOnce) {
		if err := c.l.clawReleased(ctx, tx, &account, now); err != nil {
			return err
		}
	}
	if err := c.tell(ctx, tx, account, c.cost); err != nil {
		return err
	}
	return c.l.save(ctx, tx, &account)
}

// tell writes the notices of thresholds that more usage has reached.
func (c *settling) tell(ctx context.Context, tx Tx, account Account, more int64) error {
	if more <= 0 {
		return nil
	}
	return c.telling.charged(ctx, tx, account, c.hold)
}

func (c *settling) closing(now time.Time) Closing {
	return Closing{Cost: c.cost, Outcome: c.Outcome, Estimated: c.Estimated, ProviderRequestID: c.ProviderRequestID, CallLog: c.CallLog, SettleTime: now}
}

// write writes what a charge means beside the account and its grants. The hold itself is the record of the call, and its charge gets an
// entry together with others when they are folded. Only a hold that is swept gets an entry of its own: it may be corrected later.
func (c *settling) write(ctx context.Context, tx Tx) error {
	closed := c.hold
	closed.Used, closed.Closing, closed.State = c.Usage, c.end, StateSettled
	if c.sweep {
		closed.State = StateSwept
	}
	if err := tx.CloseHold(ctx, closed, StateOpen); err != nil {
		return err
	}
	if c.sweep && c.cost > 0 {
		if err := tx.InsertEntry(ctx, c.entry(KindUsage, SideCustomer(c.hold.AccountID), SideUsage, c.cost, c.end.SettleTime)); err != nil {
			return err
		}
	}
	if c.sweep && c.end.Overage > 0 {
		if err := tx.InsertEntry(ctx, c.entry(KindOverage, SideReceivable, SideCustomer(c.hold.AccountID), c.end.Overage, c.end.SettleTime)); err != nil {
			return err
		}
	}
	return tx.AddSpend(ctx, c.hold, Spend{Held: -c.hold.Amount, Spent: c.cost})
}

func (c *settling) entry(kind, debit, credit string, amount int64, now time.Time) Entry {
	return Entry{
		ID: c.l.ids.make(prefixEntry, now), AccountID: c.hold.AccountID, Kind: kind, Debit: debit, Credit: credit,
		Amount: amount, Reference: c.hold.ID, CreateTime: now,
	}
}
