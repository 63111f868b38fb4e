// Package topup buys a credit pack for an account when its balance falls to a threshold that the account has set.
//
// A purchase is an invoice of its own. Its row is committed before Stripe is called, and the invoice carries the row's id, so that a call whose
// outcome is unknown is looked up before it is made again. The credit comes from the paid invoice, as the mirror stores it.
package topup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// State says whether an account's top-up works, and why not.
type State string

// The states.
const (
	On  State = "on"
	Off State = "off"
	// Declined, Authentication and NoCard turned it off after a payment: three in a row failed, the bank asks the payer, or there is no card.
	Declined       State = "declined"
	Authentication State = "authentication"
	NoCard         State = "no_card"
	// Disputed says that a dispute of a payment turned it off.
	Disputed State = "disputed"
)

// Setting is what an account has set up. Money is in nano-dollars.
type Setting struct {
	AccountID string
	// PackID is the pack that is bought when the balance is at Threshold or below it.
	PackID    string
	Threshold int64
	// MonthlyCap is the maximum of the packs' prices, without tax, in a calendar month in UTC.
	MonthlyCap int64
	State      State
	// Declines counts the payments that failed since the last one that succeeded.
	Declines int64
	SetTime  time.Time
}

// Progress is the state of a purchase.
type Progress string

// The progress of a purchase.
const (
	Begun    Progress = "new"
	Closing  Progress = "closing"
	Paid     Progress = "paid"
	Failed   Progress = "declined"
	Canceled Progress = "canceled"
)

// Charge is one purchase of a pack.
type Charge struct {
	ID, AccountID, PackID string
	// Price is Stripe's id of the pack's price.
	Price string
	Cents int64
	State Progress
	// Verdict is why a purchase is closing: the state that a failed payment leads to, or "" when it is not needed any more.
	Verdict              State
	CreateTime, NextTime time.Time
	// Attempts counts the earlier attempts, and SpentKeys the idempotency keys that cannot be used again.
	Attempts, SpentKeys           int64
	CustomerID, InvoiceID, ItemID string
	Problem                       string
}

// Store keeps settings and purchases.
type Store interface {
	// TopUp reads the account's setting, or ledger.ErrNotFound.
	TopUp(ctx context.Context, accountID string) (Setting, error)
	// SetTopUp replaces it. The next purchase is not before an hour after the last one. An erased person: *ledger.ErasedError.
	SetTopUp(ctx context.Context, s Setting, pause time.Duration) error
	// DueTopUps lists at most limit accounts whose balance is at the threshold.
	DueTopUps(ctx context.Context, at time.Time, limit int) (accountIDs []string, err error)
	// PostponeTopUp has an account wait until next.
	PostponeTopUp(ctx context.Context, accountID string, next time.Time) error
	// TopUpSpent sums the account's purchases since a time, in cents.
	TopUpSpent(ctx context.Context, accountID string, since time.Time) (int64, error)
	// BeginTopUp writes a purchase, unless the setting has changed, another purchase is in progress, the last one began after
	// c.CreateTime less pause, or the purchases since month would exceed maxCents. It reports whether it wrote one.
	BeginTopUp(ctx context.Context, s Setting, c Charge, pause time.Duration, month time.Time, maxCents int64) (bool, error)
	// OpenTopUps lists at most limit purchases in progress that are due.
	OpenTopUps(ctx context.Context, at time.Time, limit int) ([]Charge, error)
	// TopUpCharge reads a purchase.
	TopUpCharge(ctx context.Context, id string) (Charge, error)
	// TopUpCharges lists at most limit purchases of an account, newest first.
	TopUpCharges(ctx context.Context, accountID string, limit int) ([]Charge, error)
	// SaveTopUp writes how far a purchase is, and what its end means for the setting, with the notices of it.
	SaveTopUp(ctx context.Context, c Charge, now time.Time) error
	// Customer reads the account's customer; "" for none.
	Customer(ctx context.Context, accountID string) (string, error)
	// Subscription reads what the account's subscription is; ledger.ErrNotFound when it never had one.
	Subscription(ctx context.Context, accountID string) (subscriptions.State, error)
	// GrantGiven tells whether the account has a grant for a source.
	GrantGiven(ctx context.Context, accountID, source string) (bool, error)
	// HasCards tells whether the account has a payment method at Stripe.
	HasCards(ctx context.Context, accountID string) (bool, error)
}

// NewInvoice is a draft to make for a purchase.
type NewInvoice struct {
	ChargeID, Customer string
	AutomaticTax       bool
	Key                string
}

// NewItem is the line of a draft.
type NewItem struct{ ChargeID, Customer, Invoice, Price, Key string }

// Provider calls Stripe. Errors are those of package outcome.
type Provider interface {
	// OpenSessions lists the customer's open checkout sessions that Trivet made, and ExpireSession ends one.
	OpenSessions(ctx context.Context, customer string) ([]checkout.Session, error)
	ExpireSession(ctx context.Context, id string) error
	// PaymentMethod chooses the payment method: the subscription's, else the customer's default, else the customer's newest card; "" for none.
	PaymentMethod(ctx context.Context, customer, subscription string) (string, error)
	// FindTopUpInvoice searches the customer's invoices since a time for that of a purchase; "" for none.
	FindTopUpInvoice(ctx context.Context, customer, chargeID string, since time.Time) (string, error)
	// NewTopUpInvoice makes a draft that has no items and does not advance. It is idempotent by key.
	NewTopUpInvoice(ctx context.Context, n NewInvoice) (string, error)
	// FindTopUpItem searches an invoice for the item of a purchase; "" for none.
	FindTopUpItem(ctx context.Context, invoiceID, chargeID string) (string, error)
	// NewTopUpItem adds a pack to a draft. It is idempotent by key.
	NewTopUpItem(ctx context.Context, n NewItem) (string, error)
	// InvoiceStatus reads an invoice's status.
	InvoiceStatus(ctx context.Context, id string) (string, error)
	// FinalizeForPayment makes a draft final. Stripe does not collect it by itself.
	FinalizeForPayment(ctx context.Context, id string) error
	// PayInvoice charges an open invoice once, without the payer, and returns its status. It is idempotent by key.
	PayInvoice(ctx context.Context, id, method, key string) (status string, err error)
	// CloseInvoice voids an open invoice and deletes a draft. One that is gone or void stays so.
	CloseInvoice(ctx context.Context, id string) error
}

// Ledger knows the accounts.
type Ledger interface {
	Account(ctx context.Context, id, userID string) (ledger.Account, error)
	Plan(ctx context.Context, accountID string) (plans.Plan, error)
}

// Mirror fetches and stores an object, with what follows from it.
type Mirror interface {
	Sync(ctx context.Context, kind mirror.Kind, id string) (mirror.Object, error)
}

// Options holds the dependencies of a Buyer. All are required, except AutomaticTax.
type Options struct {
	Store    Store
	Ledger   Ledger
	Provider Provider
	Mirror   Mirror
	Catalog  *plans.Catalog
	// Reload reads the applied plans into the catalog. A process that has just begun may not have read them.
	Reload func(ctx context.Context) error
	// Turn runs fn while no other purchase or change of the account runs, or returns job.ErrBusy. fn calls keep before each call at Stripe.
	Turn   func(ctx context.Context, accountID string, fn func(ctx context.Context, keep func(context.Context) error) error) error
	Now    func() time.Time
	Logger *slog.Logger
	// AutomaticTax lets Stripe work out the tax.
	AutomaticTax bool
}

// Buyer makes purchases.
type Buyer struct{ Options }

// New makes a Buyer.
func New(o Options) *Buyer { return &Buyer{o} }

const (
	batch = 100
	// pause is the least time between two purchases of an account.
	pause = time.Hour
	// recheck is after how long an account that may not buy now is checked again.
	recheck = time.Hour
	// renewalPatience is how long after a renewal a purchase waits for the payment of the renewal.
	renewalPatience = 2 * time.Hour
	renewalRecheck  = time.Minute
	// sessionPatience is how long a purchase waits for a checkout of a pack that a person may be paying.
	sessionPatience = 30 * time.Minute
	sessionRecheck  = time.Minute
	// retryPause is the pause of an account after an error, or when another process was first.
	retryPause = time.Minute
	// sessionLife is how long a checkout session is open.
	sessionLife = 24 * time.Hour
)

// Due reports whether Run has something to do.
func (b *Buyer) Due(ctx context.Context) (bool, error) {
	accounts, err := b.Store.DueTopUps(ctx, b.Now(), 1)
	if err != nil || len(accounts) > 0 {
		return len(accounts) > 0, err
	}
	open, err := b.Store.OpenTopUps(ctx, b.Now(), 1)
	return len(open) > 0, err
}

// Run begins the purchases that are due and advances those in progress. An account that fails does not keep others from their turn. It calls keep
// before each account, and ends with its error.
func (b *Buyer) Run(ctx context.Context, keep func(context.Context) error) error {
	if err := b.loaded(ctx); err != nil {
		return err
	}
	due, err := b.Store.DueTopUps(ctx, b.Now(), batch)
	if err != nil {
		return err
	}
	var failed []error
	for _, accountID := range due {
		if err := keep(ctx); err != nil {
			return errors.Join(append(failed, err)...)
		}
		err := b.Turn(ctx, accountID, func(ctx context.Context, keep func(context.Context) error) error {
			return b.begin(ctx, accountID, keep)
		})
		if err != nil && !busy(err) {
			failed = append(failed, fmt.Errorf("top up %s: %w", accountID, err), b.Store.PostponeTopUp(ctx, accountID, b.Now().Add(retryPause)))
		}
		if outcome.Silent(err) {
			break // Stripe does not serve now
		}
	}
	return errors.Join(append(failed, b.advanceAll(ctx, keep))...)
}

// loaded makes sure that the catalog has what was applied.
func (b *Buyer) loaded(ctx context.Context) error {
	if len(b.Catalog.Offers()) > 0 {
		return nil
	}
	return b.Reload(ctx)
}

func busy(err error) bool { return errors.Is(err, job.ErrBusy) || errors.Is(err, job.ErrLost) }

// begin writes a purchase for an account, if it may buy now.
func (b *Buyer) begin(ctx context.Context, accountID string, keep func(context.Context) error) error {
	s, err := b.Store.TopUp(ctx, accountID)
	if err != nil {
		return err
	}
	account, err := b.Ledger.Account(ctx, accountID, "")
	if err != nil || account.Balance > s.Threshold { // it has risen meanwhile
		return err
	}
	renewing, err := b.renewing(ctx, accountID)
	if err != nil {
		return err
	}
	if renewing {
		return b.Store.PostponeTopUp(ctx, accountID, b.Now().Add(renewalRecheck))
	}
	offer, maxCents, err := b.wanted(ctx, s, account)
	if err != nil {
		return err
	}
	if offer.Pack == nil {
		return b.Store.PostponeTopUp(ctx, accountID, b.Now().Add(recheck))
	}
	switch waits, err := b.keeping(keep).sessions(ctx, accountID); {
	case err != nil:
		return err
	case waits:
		return b.Store.PostponeTopUp(ctx, accountID, b.Now().Add(sessionRecheck))
	}
	now := b.Now()
	c := Charge{
		ID: "topup_" + rand.Text(), AccountID: accountID, PackID: offer.Pack.ID, Price: offer.Prices[plans.Once], Cents: offer.Pack.Price / plans.Cent,
		State: Begun, CreateTime: now, NextTime: now,
	}
	begun, err := b.Store.BeginTopUp(ctx, s, c, pause, month(now), maxCents)
	if err != nil || begun {
		return err
	}
	return b.Store.PostponeTopUp(ctx, accountID, now.Add(retryPause))
}

// wanted finds the pack that an account is to buy now, and what it may spend in the month; an offer without a pack for none.
func (b *Buyer) wanted(ctx context.Context, s Setting, account ledger.Account) (offer plans.Offer, maxCents int64, err error) {
	if s.State != On || account.Balance > s.Threshold {
		return plans.Offer{}, 0, nil
	}
	plan, err := b.Ledger.Plan(ctx, s.AccountID)
	if err != nil || plan.TopUp == nil {
		return plans.Offer{}, 0, err
	}
	st, err := b.Store.Subscription(ctx, s.AccountID)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return plans.Offer{}, 0, err
	}
	if st.Access == subscriptions.Suspended {
		return plans.Offer{}, 0, nil
	}
	offer, ok := b.Catalog.OfferOf("", s.PackID)
	if !ok || offer.Pack == nil {
		return plans.Offer{}, 0, nil
	}
	return offer, min(s.MonthlyCap, plan.TopUp.MonthlyCap) / plans.Cent, nil
}

// renewing tells whether an account has the advance of a period whose invoice is not paid yet. Stripe takes about an hour for that, and the rest of
// the included credit comes with it.
func (b *Buyer) renewing(ctx context.Context, accountID string) (bool, error) {
	st, err := b.Store.Subscription(ctx, accountID)
	if errors.Is(err, ledger.ErrNotFound) {
		return false, nil
	}
	if err != nil || st.Access != subscriptions.Active || !b.Now().Before(st.PeriodStart.Add(renewalPatience)) {
		return false, err
	}
	if plan, known := b.Catalog.Get(st.Plan.Ref()); known && plan.Advance() == plan.IncludedCredit {
		return false, nil // nothing comes with the payment
	}
	whole := subscriptions.PeriodSource(st.SubscriptionID, st.PeriodStart)
	advanced, err := b.Store.GrantGiven(ctx, accountID, subscriptions.AdvanceSource(whole))
	if err != nil || !advanced {
		return false, err
	}
	given, err := b.Store.GrantGiven(ctx, accountID, whole)
	return !given, err
}

// month is the start of the calendar month of a time, in UTC.
func month(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// sessions tells whether a person may be paying for a pack in a checkout: the account must not pay twice. A session that was left open is ended.
func (b *Buyer) sessions(ctx context.Context, accountID string) (waits bool, err error) {
	customer, err := b.Store.Customer(ctx, accountID)
	if err != nil || customer == "" {
		return false, err
	}
	open, err := b.Provider.OpenSessions(ctx, customer)
	if err != nil {
		return false, err
	}
	for _, o := range open {
		if !o.Pack {
			continue
		}
		if b.Now().Before(o.ExpireTime.Add(sessionPatience - sessionLife)) {
			return true, nil
		}
		if err := b.Provider.ExpireSession(ctx, o.ID); err != nil { // it may have been paid a moment ago
			if _, synced := b.Mirror.Sync(ctx, mirror.CheckoutSession, o.ID); synced != nil {
				return false, errors.Join(err, synced)
			}
			return true, nil
		}
	}
	return false, nil
}
