package checkout

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// Refusals of changes.
var (
	// ErrNoSubscription says that the account has no live subscription.
	ErrNoSubscription = errors.New("checkout: the account has no live subscription")
	// ErrUnpaid says that an invoice is open.
	ErrUnpaid = errors.New("checkout: the subscription is not paid")
	// ErrPaused says that the trial has ended without a card.
	ErrPaused = fmt.Errorf("%w: its trial has ended without a card", ErrUnpaid)
	// ErrCanceling says that the subscription ends with its period.
	ErrCanceling = errors.New("checkout: the subscription is canceled at the end of its period")
	// ErrSame says that nothing would change.
	ErrSame = errors.New("checkout: the subscription is that already")
	// ErrEnding says that the period, with a scheduled change at its end, is about to end.
	ErrEnding = errors.New("checkout: the period is about to end with a scheduled change")
	// ErrLongList says that Stripe shows only a part of the subscription's items.
	ErrLongList = errors.New("checkout: the subscription has too many items for a scheduled change; change it in Stripe's dashboard")
	// ErrNoCard says that a paused subscription cannot continue, because nothing can pay for it.
	ErrNoCard = errors.New("checkout: the account has no payment method")
	// ErrCardFirst says that a change ends the trial, and that nothing can pay for it.
	ErrCardFirst = errors.New("checkout: the change ends the trial, and the account has no payment method")
	// ErrExpired says that a preview is too old, was replaced, or that the subscription has changed since.
	ErrExpired = errors.New("checkout: the preview has expired")
)

// paused is Stripe's status of a subscription whose trial has ended without a card, where its plan says so.
const paused = "paused"

// previewLife is how long a preview is good: Stripe works out the same amount for the same moment.
const previewLife = 15 * time.Minute

// Preview is what a change will charge and give.
type Preview struct {
	ID string `json:"id"`
	// Subscription and Item are what changes.
	Subscription string `json:"subscription"`
	Item         string `json:"item"`
	// FromPrice, FromQuantity and PeriodStart are what it was when the preview was made.
	FromPrice    string    `json:"fromPrice"`
	FromQuantity int64     `json:"fromQuantity"`
	PeriodStart  time.Time `json:"periodStart"`
	// Price and Quantity are what it becomes.
	Price    string         `json:"price"`
	Quantity int64          `json:"quantity"`
	PlanID   string         `json:"planId"`
	Version  int64          `json:"version"`
	Interval plans.Interval `json:"interval"`
	Seats    int64          `json:"seats"`
	// Date is the moment that the change counts from.
	Date time.Time `json:"date"`
	// Effective is when the change happens: Date, or the end of the period.
	Effective time.Time `json:"effective"`
	// AtOnce is false for a change at the end of the period.
	AtOnce bool `json:"atOnce"`
	// EndTrial says that the change ends the trial and charges the first period, because the plan has no trial.
	EndTrial bool `json:"endTrial,omitempty"`
	// TrialEnd is when a trial that continues ends. Until then nothing is charged. Zero without one.
	TrialEnd time.Time `json:"trialEnd,omitzero"`
	// Amount is what is charged at once, with tax, and Next is the price of the next periods, in the currency's smallest unit.
	Amount   int64  `json:"amount"`
	Next     int64  `json:"next"`
	Currency string `json:"currency"`
	// Credit is what is granted at once, in nano-dollars.
	Credit     int64     `json:"credit"`
	ExpireTime time.Time `json:"expireTime"`
}

// Changer changes subscriptions at Stripe. Errors are those of package outcome.
type Changer interface {
	// PreviewChange returns what a change would charge at once, in the currency's smallest unit.
	PreviewChange(ctx context.Context, p Preview) (amount int64, currency string, err error)
	// Change does a change and charges it. It is idempotent by key. Without a payment the subscription stays as it was.
	Change(ctx context.Context, p Preview, key string) (Changed, error)
	// Reprice changes the price of a subscription's item and charges nothing for the rest of the period. It is idempotent by key.
	Reprice(ctx context.Context, p Preview, key string) error
	// ScheduleChange does a change at the end of the period. Repeating it is harmless.
	ScheduleChange(ctx context.Context, p Preview) error
	// ReleaseSchedule takes a scheduled change back.
	ReleaseSchedule(ctx context.Context, id string) error
	// GiveUpChange drops the change of a subscription that waits for its payment, so that its invoice cannot be paid any more. A change that is
	// paid, and a subscription without one, stay as they are.
	GiveUpChange(ctx context.Context, id string) error
	// CancelAtPeriodEnd cancels a subscription at the end of its period, or takes that back.
	CancelAtPeriodEnd(ctx context.Context, id string, cancel bool) error
	// Unpause continues a subscription that Stripe has paused because its trial ended without a card. It charges a first period, which begins now, and
	// returns the invoice. It is idempotent by key.
	Unpause(ctx context.Context, id, key string) (invoice string, err error)
	// CancelNow ends a subscription. One that Stripe does not have has ended.
	CancelNow(ctx context.Context, id string) error
}

// Changed is the result of a change.
type Changed struct {
	// Invoice is the id of the invoice that charges it.
	Invoice string
	// PaymentURL is where the invoice can be paid, when the change waits for that.
	PaymentURL string
}

// PreviewChange works out a change. It replaces the account's earlier preview. Errors: the refusals, *SeatsError, those of mirror.Fetch, of
// package outcome and of the store.
func (s *Service) PreviewChange(ctx context.Context, r Request) (Preview, error) {
	if err := s.loaded(ctx); err != nil {
		return Preview{}, err
	}
	if err := s.members(ctx, &r); err != nil {
		return Preview{}, err
	}
	item, err := s.item(r)
	if err != nil {
		return Preview{}, err
	}
	sub, st, err := s.live(ctx, r.AccountID)
	if err != nil {
		return Preview{}, err
	}
	if sub.CancelAtPeriodEnd {
		return Preview{}, ErrCanceling
	}
	have, sale, ok := sub.Item(s.Catalog)
	if !ok {
		return Preview{}, ErrNoSubscription
	}
	offer, _ := s.Catalog.OfferOf(r.PlanID, "")
	if r.Seats == 0 && offer.Plan.Seats != nil && sale.Plan.Seats != nil { // the seats stay
		item.Quantity = min(max(have.Quantity, offer.Plan.Seats.Min), offer.Plan.MostSeats(r.Interval))
	}
	if have.Price.ID == item.Price && have.Quantity == item.Quantity {
		return Preview{}, ErrSame
	}
	now := s.Now().UTC().Truncate(time.Second)
	start, end := sub.Period()
	if now.Before(start) {
		now = start // this clock is behind Stripe's
	}
	p := Preview{
		ID: "preview_" + rand.Text(), Subscription: sub.ID, Item: have.ID, FromPrice: have.Price.ID, FromQuantity: have.Quantity, PeriodStart: start,
		Price: item.Price, Quantity: item.Quantity, PlanID: offer.Plan.ID, Version: offer.Plan.Version, Interval: r.Interval, Seats: 1, Date: now, Effective: end,
		Next: charge(*offer.Plan, r.Interval, item.Quantity), Currency: "usd", ExpireTime: now.Add(previewLife),
	}
	if offer.Plan.Seats != nil {
		p.Seats = item.Quantity
	}
	p.AtOnce = atOnce(st, sale, have.Quantity, p)
	if p.AtOnce {
		p.Effective = now
		p.EndTrial = st.Access == subscriptions.Trial && offer.Plan.Trial == nil
	}
	switch {
	case !p.AtOnce:
	case st.Access == subscriptions.Trial && !p.EndTrial:
		p.TrialEnd = st.TrialEnd
	default:
		restart := p.EndTrial || sale.Interval != r.Interval
		p.Credit = subscriptions.CreditOfChange(*sale.Plan, *offer.Plan, have.Quantity, item.Quantity, st, now, restart)
		if p.Amount, p.Currency, err = s.Changer.PreviewChange(ctx, p); err != nil {
			return Preview{}, err
		}
	}
	return p, s.Store.SavePreview(ctx, r.AccountID, p)
}

// charge is the price of a period, in cents.
func charge(p plans.Plan, interval plans.Interval, quantity int64) int64 {
	if interval == plans.Year {
		return p.YearlyPrice / plans.Cent * quantity
	}
	return p.Price / plans.Cent * quantity
}

// atOnce tells whether a change happens now: when it costs more, begins a year, or nothing is paid yet. What costs less, and a month after
// a year, begins with the next period, so that nothing that was paid for is taken away.
func atOnce(st subscriptions.State, from plans.Sale, quantity int64, to Preview) bool {
	switch {
	case st.Access == subscriptions.Trial:
		return true
	case from.Interval != to.Interval:
		return to.Interval == plans.Year
	}
	return to.Next >= charge(*from.Plan, from.Interval, quantity)
}

// live reads the account's subscription at Stripe, and what it entitles to.
func (s *Service) live(ctx context.Context, accountID string) (sub subscriptions.Subscription, st subscriptions.State, err error) {
	known, err := s.Store.Subscription(ctx, accountID)
	if isNotFound(err) || err == nil && known.Access == subscriptions.Ended {
		return sub, st, ErrNoSubscription
	}
	if err != nil {
		return sub, st, err
	}
	o, err := s.Mirror.Sync(ctx, mirror.Subscription, known.SubscriptionID)
	if err != nil {
		return sub, st, err
	}
	if o.Deleted {
		return sub, st, ErrNoSubscription
	}
	if sub, err = subscriptions.ParseSubscription(o.Body); err != nil {
		return sub, st, err
	}
	if err := s.loaded(ctx); err != nil {
		return sub, st, err
	}
	st = subscriptions.Derive(subscriptions.Input{Subscriptions: []subscriptions.Subscription{sub}, Catalog: s.Catalog, Now: s.Now()})
	switch st.Access {
	case subscriptions.Active, subscriptions.Trial:
		return sub, st, nil
	case subscriptions.Ended, subscriptions.None:
		return sub, st, ErrNoSubscription
	default:
		if sub.Status == paused {
			return sub, st, ErrPaused
		}
		return sub, st, ErrUnpaid
	}
}

// Change does what a preview says, and charges exactly that, unless another invoice has used the customer's credit at Stripe meanwhile, which then does not
// pay for a part. Repeating it is harmless. Errors: ErrExpired, ErrEnding, ErrCardFirst, ErrNoSubscription, job.ErrBusy, those of
// mirror.Fetch, of package outcome and of the store.
func (s *Service) Change(ctx context.Context, accountID, previewID string) (done Changed, err error) {
	err = s.alone(ctx, accountID, func(ctx context.Context, s *Service, _ *job.Holder) (err error) {
		done, err = s.change(ctx, accountID, previewID)
		return err
	})
	return done, err
}

func (s *Service) change(ctx context.Context, accountID, previewID string) (Changed, error) {
	p, err := s.Store.Preview(ctx, accountID)
	if isNotFound(err) || err == nil && p.ID != previewID {
		return Changed{}, ErrExpired
	}
	if err != nil {
		return Changed{}, err
	}
	sub, have, err := s.current(ctx, p)
	if err != nil {
		return Changed{}, err
	}
	start, end := sub.Period()
	switch {
	case have.Price.ID == p.Price && have.Quantity == p.Quantity: // an earlier attempt has done it
		return Changed{Invoice: sub.LatestInvoice}, errors.Join(s.follow(ctx, p, sub.LatestInvoice), s.finishReplacement(ctx, accountID))
	case !s.Now().Before(p.ExpireTime), have.Price.ID != p.FromPrice, have.Quantity != p.FromQuantity, !start.Equal(p.PeriodStart), sub.CancelAtPeriodEnd:
		return Changed{}, ErrExpired
	}
	if !p.AtOnce {
		return Changed{}, s.scheduleChange(ctx, accountID, p)
	}
	if sub.Schedule != "" {
		if s.ending(end) {
			return Changed{}, ErrEnding
		}
		r := Replacement{Subscription: p.Subscription, Schedule: sub.Schedule, Price: p.Price, Quantity: p.Quantity}
		if err := s.Store.SaveReplacement(ctx, accountID, r, s.Now().Add(replacementCheck)); err != nil {
			return Changed{}, err
		}
	}
	done, err := s.Changer.Change(ctx, p, "trivet/"+accountID+"/change/"+p.ID)
	if err != nil {
		return Changed{}, s.changeFailed(ctx, accountID, p, err)
	}
	return done, errors.Join(s.follow(ctx, p, done.Invoice), s.finishReplacement(ctx, accountID))
}

// scheduleChange does a change at the end of the period. It is the caller's latest wish, so no payment that is still open takes it back. A schedule that a
// paid change has replaced is released before. A change that fails leaves the replacement as it is, because the schedule is still the earlier one.
func (s *Service) scheduleChange(ctx context.Context, accountID string, p Preview) error {
	if err := s.finishReplacement(ctx, accountID); err != nil {
		return err
	}
	if err := s.Changer.ScheduleChange(ctx, p); err != nil {
		return err
	}
	if err := s.Store.DropReplacement(ctx, accountID); err != nil {
		return err
	}
	return s.follow(ctx, p, "")
}

// current reads the subscription of a preview at Stripe, and its item.
func (s *Service) current(ctx context.Context, p Preview) (sub subscriptions.Subscription, have subscriptions.Item, err error) {
	o, err := s.Mirror.Sync(ctx, mirror.Subscription, p.Subscription)
	if err != nil {
		return sub, have, err
	}
	if o.Deleted {
		return sub, have, ErrNoSubscription
	}
	if sub, err = subscriptions.ParseSubscription(o.Body); err != nil {
		return sub, have, err
	}
	if err := s.loaded(ctx); err != nil {
		return sub, have, err
	}
	have, _, ok := sub.Item(s.Catalog)
	if !ok {
		return sub, have, ErrExpired
	}
	return sub, have, nil
}

// changeFailed forgets a preview whose key cannot be used again: whether the change was done shows in the subscription.
func (s *Service) changeFailed(ctx context.Context, accountID string, p Preview, err error) error {
	if !outcome.Spent(err) {
		return err
	}
	if p.EndTrial && outcome.Missing(err) { // a trial may begin without a card
		has, failed := s.Store.HasCards(ctx, accountID)
		if failed == nil && !has {
			err = ErrCardFirst
		}
	}
	return errors.Join(err, s.Store.DropPreview(ctx, accountID))
}

// follow brings the account up to what has changed at Stripe.
func (s *Service) follow(ctx context.Context, p Preview, invoice string) error {
	if invoice != "" {
		if _, err := s.Mirror.Sync(ctx, mirror.Invoice, invoice); err != nil {
			return err
		}
	}
	o, err := s.Mirror.Sync(ctx, mirror.Subscription, p.Subscription)
	if err != nil || o.Deleted {
		return err
	}
	sub, err := subscriptions.ParseSubscription(o.Body)
	if err != nil || sub.Schedule == "" {
		return err
	}
	_, err = s.Mirror.Sync(ctx, mirror.Schedule, sub.Schedule)
	return err
}

// EncodePreview writes a preview for the store.
func EncodePreview(p Preview) ([]byte, error) { return json.Marshal(p) }

// DecodePreview reads a preview from the store.
func DecodePreview(data []byte) (p Preview, err error) {
	if err := json.Unmarshal(data, &p); err != nil {
		return Preview{}, fmt.Errorf("checkout: a stored preview cannot be read: %w", err)
	}
	return p, nil
}
