// Package checkout sells to an account: it opens Stripe's pages, which are checkout, for plans and packs, and the portal, and it changes
// subscriptions.
package checkout

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/platform/wait"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/offers"
	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// Session is a checkout session at Stripe.
type Session struct {
	ID, URL, Status string
	ExpireTime      time.Time
	// Request identifies what was asked for.
	Request string
	// Pack tells whether it sells a pack.
	Pack bool
}

// NewSession is a session to make.
type NewSession struct {
	AccountID, Customer string
	// UserID is who buys, and may have a trial; it is not sent.
	UserID string `json:"-"`
	// Request identifies what is asked for.
	Request string
	// Price is the id of the price, and Quantity how many.
	Price    string
	Quantity int64
	// Subscription is true for a plan and false for a pack.
	Subscription bool
	// Trial is nil without one.
	Trial                 *plans.Trial
	AutomaticTax          bool
	SuccessURL, CancelURL string
	// Key is the idempotency key.
	Key string
}

// Provider calls Stripe. Errors are those of package outcome.
type Provider interface {
	// LiveSubscriptions lists the customer's subscriptions that have begun and not ended.
	LiveSubscriptions(ctx context.Context, customer string) (ids []string, err error)
	// OpenSessions lists the customer's open checkout sessions that Trivet made.
	OpenSessions(ctx context.Context, customer string) ([]Session, error)
	// ExpireSession ends an open session. Stripe refuses to expire any other.
	ExpireSession(ctx context.Context, id string) error
	// NewCheckout makes a session. It is idempotent by key.
	NewCheckout(ctx context.Context, s NewSession) (Session, error)
	// NewPortal makes a session of the portal and returns its address.
	NewPortal(ctx context.Context, customer, configuration, returnURL string) (url string, err error)
	// Invoices reads a page of the customer's invoices with a status, newest first, after one. "" means all statuses.
	Invoices(ctx context.Context, customer, status, after string, limit int) (page []Invoice, more bool, err error)
	// Invoice reads an invoice of any customer.
	Invoice(ctx context.Context, id string) (Invoice, error)
}

// Store reads what an account has.
type Store interface {
	Subscribers
	// Customer reads the account's customer; "" for none.
	Customer(ctx context.Context, accountID string) (string, error)
	// AccountOfCustomer finds the account of a customer. An unknown customer gives ledger.ErrNotFound.
	AccountOfCustomer(ctx context.Context, customer string) (string, error)
	// Subscription reads what the account's subscription is; ledger.ErrNotFound when it never had one.
	Subscription(ctx context.Context, accountID string) (subscriptions.State, error)
	// GrantGiven tells whether the account has a grant for a source.
	GrantGiven(ctx context.Context, accountID, source string) (bool, error)
	// Catalog reads what was applied last.
	Catalog(ctx context.Context) (offers.Catalog, error)
	// SavePreview replaces the account's preview, Preview reads it, or ledger.ErrNotFound, and DropPreview deletes it.
	SavePreview(ctx context.Context, accountID string, p Preview) error
	Preview(ctx context.Context, accountID string) (Preview, error)
	DropPreview(ctx context.Context, accountID string) error
	// SaveReplacement replaces the account's replacement, which is checked again at a time. Replacement reads it, or ledger.ErrNotFound, and
	// DropReplacement deletes it. DueReplacements lists at most limit accounts whose replacement is to be checked.
	SaveReplacement(ctx context.Context, accountID string, r Replacement, check time.Time) error
	Replacement(ctx context.Context, accountID string) (Replacement, error)
	DropReplacement(ctx context.Context, accountID string) error
	DueReplacements(ctx context.Context, at time.Time, limit int) ([]string, error)
	// SaveMembers writes a report, unless a later one was written. The seats follow at next, or when an earlier report of a moment ago is due.
	SaveMembers(ctx context.Context, accountID string, m Members, now, next time.Time) error
	// Members reads the newest report; ledger.ErrNotFound for none.
	Members(ctx context.Context, accountID string) (Members, error)
	// DueSeats lists at most limit accounts with a live subscription whose seats may differ from their members, or that is to end with its organization.
	DueSeats(ctx context.Context, at time.Time, limit int) ([]string, error)
	// PostponeSeats has an account wait, unless a later report than sequence has come.
	PostponeSeats(ctx context.Context, accountID string, sequence int64, next time.Time) error
	// SaveSeatAttempt writes a change of seats before Stripe is called; "" for none.
	SaveSeatAttempt(ctx context.Context, accountID, attempt string) error
	// HasCards tells whether the account has a payment method at Stripe.
	HasCards(ctx context.Context, accountID string) (bool, error)
	// CardSince tells whether the account has a payment method at Stripe that was made after a time.
	CardSince(ctx context.Context, accountID string, since time.Time) (bool, error)
}

// Customers makes the account's customer.
type Customers interface {
	Ensure(ctx context.Context, accountID string) (string, error)
}

// Trials decides who may begin a trial.
type Trials interface {
	MayHaveTrial(ctx context.Context, accountID, userID string) (bool, error)
}

// Mirror fetches and stores an object, with what follows from it.
type Mirror interface {
	Sync(ctx context.Context, kind mirror.Kind, id string) (mirror.Object, error)
	// Look fetches an object and stores nothing.
	Look(ctx context.Context, kind mirror.Kind, id string) (mirror.Object, error)
}

// Options holds the dependencies of a Service.
type Options struct {
	Database  *database.DB
	Store     Store
	Provider  Provider
	Changer   Changer
	Customers Customers
	Trials    Trials
	Mirror    Mirror
	Catalog   *plans.Catalog
	// Reload reads the applied plans into the catalog. A process that has just begun may be asked before it has read them.
	Reload func(ctx context.Context) error
	// Notify writes a notice of an account, once for each source.
	Notify func(ctx context.Context, accountID string, n notices.Notice) error
	Now    func() time.Time
	// Alone says that no other process uses the database.
	Alone bool
	// AutomaticTax lets Stripe work out the tax.
	AutomaticTax bool
}

// Service opens pages.
type Service struct{ Options }

// New makes a Service.
func New(o Options) *Service { return &Service{o} }

// Refusals.
var (
	// ErrUnknownOffer says that no such plan or pack is on sale.
	ErrUnknownOffer = errors.New("checkout: no such plan or pack is on sale")
	// ErrNotApplied says that the plans were not applied to Stripe.
	ErrNotApplied = errors.New("checkout: the plans were not applied to Stripe")
	// ErrFree says that the plan has no price.
	ErrFree = errors.New("checkout: the plan is free")
	// ErrNotYearly says that the plan is not sold by the year.
	ErrNotYearly = errors.New("checkout: the plan is not sold by the year")
	// ErrSubscribed says that the account has a live subscription.
	ErrSubscribed = errors.New("checkout: the account has a subscription")
	// ErrNoCustomer says that the account has bought nothing yet.
	ErrNoCustomer = errors.New("checkout: the account has no customer at Stripe")
	// ErrNotFound says that the account has no such session.
	ErrNotFound = errors.New("checkout: no such session")
)

// SeatsError says that the number of seats is not allowed.
type SeatsError struct{ Min, Max int64 }

// Error names the bounds; both are 0 for a plan without seats.
func (e *SeatsError) Error() string { return fmt.Sprintf("must be from %d to %d", e.Min, e.Max) }

// Request says what to buy.
type Request struct {
	AccountID string
	// UserID is who buys, and may have a trial; empty for nobody.
	UserID string
	// PlanID or PackID is set.
	PlanID, PackID string
	Interval       plans.Interval
	// Seats is 0 for the minimum.
	Seats                 int64
	SuccessURL, CancelURL string
}

const (
	// patience is how long a request waits for another one of the same account.
	patience = 20 * time.Second
	lease    = 45 * time.Second
	turn     = 50 * time.Millisecond
)

// Create returns an open session for the request: one for each account, whatever is asked for at once. Errors: the refusals, *SeatsError,
// *ledger.ErasedError, job.ErrBusy, those of package outcome and of the store.
func (s *Service) Create(ctx context.Context, r Request) (Session, error) {
	if err := s.loaded(ctx); err != nil {
		return Session{}, err
	}
	if err := s.members(ctx, &r); err != nil {
		return Session{}, err
	}
	item, err := s.item(r)
	if err != nil {
		return Session{}, err
	}
	var made Session
	err = s.alone(ctx, r.AccountID, func(ctx context.Context, s *Service, h *job.Holder) (err error) {
		made, err = s.create(ctx, h, item)
		return err
	})
	return made, err
}

// loaded makes sure that the catalog has what was applied.
func (s *Service) loaded(ctx context.Context) error {
	if s.Reload == nil || len(s.Catalog.Offers()) > 0 {
		return nil
	}
	return s.Reload(ctx)
}

// alone waits for the account's turn. The service that fn gets keeps the account's lease. What others have saved stays: a change of plan must not erase
// the key of a checkout whose outcome is unknown.
func (s *Service) alone(ctx context.Context, accountID string, fn func(context.Context, *Service, *job.Holder) error) error {
	options := job.Options{Lease: lease, Alone: s.Alone, Now: s.Now, Aside: true}
	for end := time.Now().Add(patience); ; {
		err := job.Run(ctx, s.Database, jobName(accountID), options, func(ctx context.Context, h *job.Holder) error { return fn(ctx, s.keeping(h), h) })
		if !errors.Is(err, job.ErrBusy) || time.Now().After(end) {
			return err
		}
		if err := wait.For(ctx, turn); err != nil {
			return err
		}
	}
}

// aside runs fn in the account's turn, or returns job.ErrBusy. The service that fn gets keeps the account's lease.
func (s *Service) aside(ctx context.Context, accountID string, fn func(context.Context, *Service) error) error {
	options := job.Options{Lease: lease, Alone: s.Alone, Now: s.Now, Aside: true}
	return job.Run(ctx, s.Database, jobName(accountID), options, func(ctx context.Context, h *job.Holder) error { return fn(ctx, s.keeping(h)) })
}

// Turn runs fn in the account's turn, or returns job.ErrBusy. fn calls keep before each call at Stripe, which keeps the account's lease.
func (s *Service) Turn(ctx context.Context, accountID string, fn func(ctx context.Context, keep func(context.Context) error) error) error {
	options := job.Options{Lease: lease, Alone: s.Alone, Now: s.Now, Aside: true}
	return job.Run(ctx, s.Database, jobName(accountID), options, func(ctx context.Context, h *job.Holder) error { return fn(ctx, h.Keep) })
}

// jobName has no id of a person, because the names of jobs outlive an erasure.
func jobName(accountID string) string {
	sum := sha256.Sum256([]byte(accountID))
	return "checkout " + hex.EncodeToString(sum[:16])
}

// item finds what is sold for a request.
func (s *Service) item(r Request) (NewSession, error) {
	n := NewSession{
		AccountID: r.AccountID, UserID: r.UserID, Quantity: 1, Subscription: r.PlanID != "", AutomaticTax: s.AutomaticTax, SuccessURL: r.SuccessURL, CancelURL: r.CancelURL,
	}
	if len(s.Catalog.Offers()) == 0 {
		return n, ErrNotApplied
	}
	offer, ok := s.Catalog.OfferOf(r.PlanID, r.PackID)
	switch {
	case !ok || offer.Plan != nil && offer.Plan.Internal:
		return n, ErrUnknownOffer
	case offer.Pack != nil:
		if r.Seats > 0 {
			return n, &SeatsError{}
		}
		n.Price = offer.Prices[plans.Once]
		return n, nil
	case !offer.Plan.Sold():
		return n, ErrFree
	}
	if n.Price, ok = offer.Prices[r.Interval]; !ok {
		return n, ErrNotYearly
	}
	n.Trial = offer.Plan.Trial
	seats := offer.Plan.Seats
	switch {
	case seats == nil && r.Seats > 1:
		return n, &SeatsError{Min: 1, Max: 1}
	case seats == nil:
		return n, nil
	}
	if n.Quantity = r.Seats; n.Quantity == 0 {
		n.Quantity = seats.Min
	}
	if n.Quantity < seats.Min || n.Quantity > offer.Plan.MostSeats(r.Interval) {
		return n, &SeatsError{Min: seats.Min, Max: offer.Plan.MostSeats(r.Interval)}
	}
	return n, nil
}

// attempt is a call to Stripe whose outcome may be unknown. It is stored before the call.
type attempt struct {
	Request string `json:"request"`
	Key     string `json:"key"`
	// Time is when the key was made. Stripe forgets keys after a day.
	Time time.Time `json:"time"`
}

// attempts are the calls of an account whose outcome may be unknown: that of a checkout, as earlier versions stored it too, and others.
type attempts struct {
	attempt

	Migrate attempt `json:"migrate,omitzero"`
	Resume  attempt `json:"resume,omitzero"`
}

// saved reads the stored attempts.
func saved(h *job.Holder) attempts {
	var a attempts
	if !h.Load(&a) {
		return attempts{}
	}
	return a
}

// saveCheckout replaces the attempt of a checkout, and keeps the others.
func saveCheckout(ctx context.Context, h *job.Holder, a attempt) error {
	all := saved(h)
	if a.Key == all.Key {
		return nil
	}
	all.attempt = a
	return h.Save(ctx, all)
}

// keyed makes a call under a key that is stored before it, and that is used again while it is unknown whether the call was done. fresh has the key of a new
// call, and of finds the call among the attempts.
func (s *Service) keyed(ctx context.Context, h *job.Holder, of func(*attempts) *attempt, fresh attempt, call func(key string) error) error {
	all := saved(h)
	last := of(&all)
	if last.Key == "" || last.Request != fresh.Request || s.Now().Sub(last.Time) > keyLife {
		*last = fresh
		if err := h.Save(ctx, all); err != nil {
			return err
		}
	}
	err := call(last.Key)
	if err != nil && !outcome.Spent(err) {
		return err
	}
	*last = attempt{} // done or refused, or Stripe repeats the failure for the key
	return errors.Join(err, h.Save(ctx, all))
}

const keyLife = 20 * time.Hour

func (s *Service) create(ctx context.Context, h *job.Holder, n NewSession) (Session, error) {
	var err error
	if n.Customer, err = s.customer(ctx, &n); err != nil {
		return Session{}, err
	}
	n.Request = fingerprint(n)
	for {
		open, err := s.clear(ctx, n)
		if err == nil && n.Subscription { // only now: a session that was open could end in a subscription
			err = s.refuseLive(ctx, n.Customer)
		}
		if err != nil {
			return Session{}, err
		}
		if open.ID != "" {
			return open, saveCheckout(ctx, h, attempt{})
		}
		last := saved(h).attempt
		if last.Key == "" || last.Request != n.Request || s.Now().Sub(last.Time) > keyLife {
			last = attempt{Request: n.Request, Key: "trivet/" + n.AccountID + "/checkout/" + rand.Text(), Time: s.Now()}
			if err := saveCheckout(ctx, h, last); err != nil {
				return Session{}, err
			}
		}
		n.Key = last.Key
		made, err := s.Provider.NewCheckout(ctx, n)
		if err != nil {
			return Session{}, s.failed(ctx, h, n, err)
		}
		err = saveCheckout(ctx, h, attempt{}) // the key would repeat a session that has ended since
		if err != nil || made.Status == "open" {
			return made, err
		}
	}
}

// customer returns the account's customer. A trial is for a first subscription only.
func (s *Service) customer(ctx context.Context, n *NewSession) (string, error) {
	if !n.Subscription {
		return s.Customers.Ensure(ctx, n.AccountID)
	}
	known, err := s.Store.Subscription(ctx, n.AccountID)
	switch {
	case isNotFound(err):
	case err != nil:
		return "", err
	case known.Access != subscriptions.Ended:
		return "", ErrSubscribed
	default:
		n.Trial = nil
	}
	if n.Trial != nil {
		may, err := s.Trials.MayHaveTrial(ctx, n.AccountID, n.UserID)
		if err != nil {
			return "", err
		}
		if !may {
			n.Trial = nil
		}
	}
	return s.Customers.Ensure(ctx, n.AccountID)
}

// refuseLive refuses a second subscription while the customer has a live one whose event has not come yet.
func (s *Service) refuseLive(ctx context.Context, customer string) error {
	live, err := s.Provider.LiveSubscriptions(ctx, customer)
	if err != nil {
		return s.gone(ctx, customer, err)
	}
	if len(live) == 0 {
		return nil
	}
	for _, id := range live {
		if _, err := s.Mirror.Sync(ctx, mirror.Subscription, id); err != nil {
			return err
		}
	}
	return ErrSubscribed
}

// clear ends the open sessions that are for something else, and returns one that is for the same.
func (s *Service) clear(ctx context.Context, n NewSession) (same Session, err error) {
	open, err := s.Provider.OpenSessions(ctx, n.Customer)
	if err != nil {
		return Session{}, s.gone(ctx, n.Customer, err)
	}
	for _, o := range open {
		if o.Request == n.Request && same.ID == "" && s.Now().Before(o.ExpireTime.Add(-30*time.Minute)) {
			same = o
			continue
		}
		err := s.Provider.ExpireSession(ctx, o.ID)
		if _, refused := errors.AsType[*outcome.RefusedError](err); refused { // it was paid a moment ago, or has expired
			if _, err := s.Mirror.Sync(ctx, mirror.CheckoutSession, o.ID); err != nil {
				return Session{}, err
			}
			continue
		}
		if err != nil {
			return Session{}, err
		}
	}
	return same, nil
}

// failed decides what the next attempt does with the key: after a refusal or a failure that Stripe repeats for the key, it takes a new
// one, and clear has looked for what the old one made.
func (s *Service) failed(ctx context.Context, h *job.Holder, n NewSession, err error) error {
	if !outcome.Spent(err) {
		return err
	}
	return errors.Join(s.gone(ctx, n.Customer, err), saveCheckout(ctx, h, attempt{}))
}

// gone learns of a customer that Stripe does not have, so that the next attempt makes another one.
func (s *Service) gone(ctx context.Context, customer string, err error) error {
	refused, ok := errors.AsType[*outcome.RefusedError](err)
	if !ok || refused.Code != "resource_missing" || refused.Param != "customer" {
		return err
	}
	if _, synced := s.Mirror.Sync(ctx, mirror.Customer, customer); synced != nil {
		return errors.Join(err, synced)
	}
	return &outcome.BusyError{Err: err}
}

// fingerprint identifies what is asked for.
func fingerprint(n NewSession) string {
	n.Key, n.Request = "", ""
	text, err := json.Marshal(n)
	if err != nil {
		return "" // NewSession is plain
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}
