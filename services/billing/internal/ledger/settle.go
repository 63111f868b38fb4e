package ledger

import (
	"context"
	"errors"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
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
}

// maxRaces bounds how often Settle starts anew because another call closed the hold meanwhile; a hold closes twice at most.
const maxRaces = 3

// Settle charges what a call used and closes its hold, in one transaction. The same hold gets the same answer again. A hold
// that was swept is adjusted to the usage given here, up or down. What exceeds the hold is charged too, and may become debt.
// Errors: NOT_FOUND, INVALID_ARGUMENT (absurd usage), SERVICE_UNAVAILABLE.
func (l *Ledger) Settle(ctx context.Context, s Settlement) (Closing, error) {
	for range maxRaces {
		h, err := l.store.Hold(ctx, s.HoldID)
		if errors.Is(err, ErrNotFound) {
			return Closing{}, holdNotFound(s.HoldID)
		}
		if err != nil {
			return Closing{}, asPublic(err, "settling")
		}
		closing, err := l.settle(ctx, h, s)
		if !errors.Is(err, errLostRace) {
			return closing, asPublic(err, "settling")
		}
	}
	return Closing{}, asPublic(errLostRace, "settling")
}

func holdNotFound(id string) error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "There is no hold %q.", id).Field("hold_id", "is unknown")
}

func (l *Ledger) settle(ctx context.Context, h Hold, s Settlement) (Closing, error) {
	if h.State == StateSettled {
		return h.Closing, nil
	}
	cost, err := h.cost(s.Usage)
	if err != nil {
		return Closing{}, err
	}
	c := &closing{l: l, Settlement: s, hold: h, cost: cost}
	if h.State == StateSwept {
		return c.run(ctx, c.adjust)
	}
	return c.run(ctx, func(ctx context.Context, tx Tx) (Closing, error) {
		return c.charge(ctx, tx, func(end Closing) (bool, error) { return tx.CloseHold(ctx, h.ID, StateOpen, end) })
	})
}

// cost prices usage as the hold promised.
func (h Hold) cost(u Usage) (int64, error) {
	model := models.Model{ID: h.Model, InputPrice: h.InputPrice, CachedInputPrice: h.CachedInputPrice, OutputPrice: h.OutputPrice}
	cost, err := model.Cost(u.Input, u.CachedInput, u.Output)
	if err == nil && u.Reasoning >= 0 && u.Reasoning <= u.Output && cost <= MaxAmount {
		return cost, nil
	}
	return 0, errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT,
		"The usage of %d input and %d output tokens can't be right: counts are negative, parts exceed their whole, or the cost is beyond all measure.",
		u.Input, u.Output).Field("usage", "can't be billed").Cause(err)
}

// closing is a hold on its way to being closed.
type closing struct {
	l *Ledger
	Settlement
	hold Hold
	cost int64
}

func (c *closing) run(ctx context.Context, fn func(context.Context, Tx) (Closing, error)) (end Closing, err error) {
	err = c.l.store.Write(ctx, c.hold.AccountID, func(ctx context.Context, tx Tx) (err error) {
		end, err = fn(ctx, tx)
		return err
	})
	return end, err
}

// total is what the call adds to the sums of usage.
func (c *closing) total() UsageTotal {
	if c.Usage.IsZero() {
		return UsageTotal{}
	}
	return UsageTotal{Requests: 1, Usage: c.Usage, Cost: c.cost}
}

// charge closes an open hold by the given compare-and-swap. The common case is five statements: account, grant, hold, entry,
// usage record.
func (c *closing) charge(ctx context.Context, tx Tx, swap func(Closing) (bool, error)) (Closing, error) {
	now := c.l.now()
	balance, ok, err := tx.Charge(ctx, c.hold.AccountID, c.hold.Amount, c.total(), now)
	if err != nil {
		return Closing{}, err
	}
	if !ok {
		return c.chargeDue(ctx, tx, swap, now)
	}
	end := Closing{Cost: c.cost, BalanceAfter: balance, SettleTime: now}
	if end.PaidBy, err = c.pay(ctx, tx); err != nil {
		return Closing{}, err
	}
	return end, c.record(ctx, tx, swap, end)
}

// chargeDue is charge for an account that must be brought up to date first.
func (c *closing) chargeDue(ctx context.Context, tx Tx, swap func(Closing) (bool, error), now time.Time) (Closing, error) {
	account, err := c.l.touch(ctx, tx, c.hold.AccountID, now)
	if err != nil {
		return Closing{}, err
	}
	account.Balance -= c.cost
	account.Held -= c.hold.Amount
	account.Period.add(c.total(), 1)
	end := Closing{Cost: c.cost, BalanceAfter: account.Balance, SettleTime: now}
	if end.PaidBy, err = c.l.burn(ctx, tx, &account, c.cost, c.hold.CreateTime); err != nil {
		return Closing{}, err
	}
	if err := c.record(ctx, tx, swap, end); err != nil {
		return Closing{}, err
	}
	// What stayed for this hold beyond its time and was not used leaves now.
	if err := c.l.expire(ctx, tx, &account, now); err != nil {
		return Closing{}, err
	}
	return end, c.l.save(ctx, tx, &account)
}

// pay takes the cost from the grants: in the common case from one, in one statement.
func (c *closing) pay(ctx context.Context, tx Tx) ([]Burn, error) {
	if c.cost == 0 {
		return nil, nil
	}
	id, ok, err := tx.BurnFirst(ctx, c.hold.AccountID, c.cost, c.hold.CreateTime)
	if err != nil || ok {
		return []Burn{{GrantID: id, Amount: c.cost}}, err
	}
	account, err := tx.LockAccount(ctx, c.hold.AccountID)
	if err != nil {
		return nil, err
	}
	paid, err := c.l.burn(ctx, tx, &account, c.cost, c.hold.CreateTime)
	if err != nil {
		return nil, err
	}
	return paid, tx.SaveAccount(ctx, account)
}

// record writes what a charge leaves behind.
func (c *closing) record(ctx context.Context, tx Tx, swap func(Closing) (bool, error), end Closing) error {
	swapped, err := swap(end)
	if err != nil {
		return err
	}
	if !swapped {
		return errLostRace
	}
	if c.cost > 0 {
		if err := tx.InsertEntry(ctx, c.entry(KindUsage, SideCustomer(c.hold.AccountID), SideUsage, c.cost, end.SettleTime)); err != nil {
			return err
		}
	}
	if c.Usage.IsZero() {
		return nil
	}
	return tx.InsertUsage(ctx, c.usageRecord(end.SettleTime))
}

func (c *closing) entry(kind, debit, credit string, amount int64, now time.Time) Entry {
	return Entry{
		ID: newID("ent_"), AccountID: c.hold.AccountID, Kind: kind, Debit: debit, Credit: credit,
		Amount: amount, Reference: c.hold.ID, CreateTime: now,
	}
}

func (c *closing) usageRecord(at time.Time) UsageRecord {
	return UsageRecord{
		HoldID: c.hold.ID, AccountID: c.hold.AccountID, UserID: c.hold.UserID, APIKeyID: c.hold.APIKeyID, Model: c.hold.Model,
		Usage: c.Usage, Cost: c.cost, Outcome: c.Outcome, Estimated: c.Estimated, ProviderRequestID: c.ProviderRequestID, SettleTime: at,
	}
}
