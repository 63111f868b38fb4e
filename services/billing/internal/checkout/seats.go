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
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// Members is how many members an organization has.
type Members struct {
	Count int64
	// Sequence numbers the reports of an organization: a later one replaces an earlier one.
	Sequence int64
	// Attempt is the change of seats whose outcome may be unknown.
	Attempt string
	// Deleted says that the organization was deleted.
	Deleted bool
}

// SeatsDelay is how long reports are gathered before the seats follow.
const SeatsDelay = 10 * time.Second

const (
	// seatsRetry and seatsLater are the pauses before seats are compared again: after a change or a failure, and when nothing may change now.
	seatsRetry = time.Minute
	seatsLater = time.Hour
	// seatsAgain is after how long a change whose payment failed is made again: each makes an invoice. A card that was made after the
	// attempt, another number of members and the next period do not wait for it. An older card that becomes the default one does: the mirror does not show when.
	seatsAgain = 7 * 24 * time.Hour
	// seatsBatch is how many accounts are compared in one round.
	seatsBatch = 100
)

// SeatsDue reports whether FollowSeats has something to do.
func (s *Service) SeatsDue(ctx context.Context) (bool, error) {
	due, err := s.Store.DueSeats(ctx, s.Now(), 1)
	return len(due) > 0, err
}

// FollowSeats has the seats of subscriptions follow the members, where the plan says so, and ends the subscriptions of deleted organizations. It calls keep before each account and ends with its error,
// or when Stripe does not answer.
// Errors: those of mirror.Fetch, of package outcome and of the store.
func (s *Service) FollowSeats(ctx context.Context, keep func(context.Context) error) error {
	if err := s.loaded(ctx); err != nil {
		return err
	}
	due, err := s.Store.DueSeats(ctx, s.Now(), seatsBatch)
	if err != nil {
		return err
	}
	var failed []error
	for _, accountID := range due {
		if err := keep(ctx); err != nil {
			return errors.Join(append(failed, err)...)
		}
		if err := s.followAccount(ctx, accountID); err != nil {
			failed = append(failed, fmt.Errorf("change the seats of %s: %w", accountID, err))
			if outcome.Silent(err) {
				break // the next round tries the others
			}
		}
	}
	return errors.Join(failed...)
}

// followAccount compares the seats of one account, and postpones the next comparison. An account whose plan has no seats for members needs no turn.
func (s *Service) followAccount(ctx context.Context, accountID string) error {
	m, err := s.Store.Members(ctx, accountID)
	if err != nil {
		return err
	}
	wait, follows := seatsRetry, m.Deleted
	if !follows {
		follows, err = s.seatsFollow(ctx, accountID)
	}
	switch {
	case err != nil:
	case !follows:
		wait = seatsLater
	default:
		err = s.aside(ctx, accountID, func(ctx context.Context, s *Service) (err error) {
			if m, err = s.Store.Members(ctx, accountID); err != nil { // a report may have come before the turn
				return err
			}
			if m.Deleted {
				wait, err = pause(seatsLater, s.endAll(ctx, accountID))
				return err
			}
			wait, err = s.followSeats(ctx, accountID, m)
			return err
		})
	}
	if errors.Is(err, job.ErrBusy) {
		err = nil
	}
	return errors.Join(err, s.Store.PostponeSeats(ctx, accountID, m.Sequence, s.Now().Add(max(wait, seatsRetry))))
}

// seatsFollow tells whether the account's plan, or the one that is scheduled, has seats that follow the members. A plan that is not known may have.
func (s *Service) seatsFollow(ctx context.Context, accountID string) (bool, error) {
	known, err := s.Store.Subscription(ctx, accountID)
	if err != nil {
		return false, err
	}
	plan, ok := s.Catalog.Get(known.Plan.Ref())
	return !ok || plan.FollowsMembers() || scheduledFollows(s.Catalog, known), nil
}

// followSeats brings the seats of one subscription closer to the members, and returns after how long they are compared again.
func (s *Service) followSeats(ctx context.Context, accountID string, m Members) (time.Duration, error) {
	if waits, err := s.replacementWaits(ctx, accountID); waits || err != nil {
		return seatsRetry, err
	}
	sub, st, err := s.live(ctx, accountID)
	if errors.Is(err, ErrNoSubscription) {
		return seatsLater, nil
	}
	if err != nil && !errors.Is(err, ErrUnpaid) {
		return seatsRetry, err
	}
	have, sale, ok := sub.Item(s.Catalog)
	_, end := sub.Period()
	switch {
	case !s.Now().Before(end), sub.PendingUpdate != nil: // Stripe is about to renew, or an earlier change waits for its payment
		return seatsRetry, nil
	case !ok, errors.Is(err, ErrUnpaid):
		return seatsLater, nil
	}
	if err := s.tellSeats(ctx, accountID, m, sub, sale); err != nil {
		return seatsRetry, err
	}
	want := sale.Plan.SeatsFor(sale.Interval, m.Count, have.Quantity)
	if want > have.Quantity || want < have.Quantity && st.Access == subscriptions.Trial {
		if waits, err := s.seatsUnpaid(ctx, accountID, m, sub, have, want); waits || err != nil {
			return seatsLater, err
		}
		return pause(seatsRetry, s.changeSeats(ctx, accountID, m, sub, have, want))
	}
	if sub.CancelAtPeriodEnd || sub.CancelAt != 0 {
		return seatsLater, nil // a next phase would undo the end
	}
	return pause(seatsLater, s.scheduleSeats(ctx, m, sub, have, sale))
}

// tellSeats tells, once a billing period, that an organization has more members than the plan has seats at most.
func (s *Service) tellSeats(ctx context.Context, accountID string, m Members, sub subscriptions.Subscription, sale plans.Sale) error {
	plan := sale.Plan
	if !plan.FollowsMembers() || m.Count <= plan.MostSeats(sale.Interval) {
		return nil
	}
	most := plan.MostSeats(sale.Interval)
	start, _ := sub.Period()
	return s.Notify(ctx, accountID, notices.Notice{
		Source: subscriptions.SourceOf(sub.ID) + fmt.Sprintf("seats_exceeded:%d:%d", start.Unix(), most), Kind: notices.SeatsExceeded,
		Data: notices.Data{
			Time: s.Now(), PlanID: plan.ID, PlanVersion: plan.Version, Seats: most, Members: m.Count, SubscriptionID: sub.ID,
		},
	})
}

// replacementWaits finishes the account's replacement and tells whether it still waits for its payment. Other seats would hide that it is done.
func (s *Service) replacementWaits(ctx context.Context, accountID string) (bool, error) {
	if err := s.finishReplacement(ctx, accountID); err != nil {
		return false, err
	}
	_, err := s.Store.Replacement(ctx, accountID)
	if isNotFound(err) {
		return false, nil
	}
	return true, err
}

// pause returns how long to wait after a change. Stripe would refuse again in a minute what it refuses now. Other failures must not miss the renewal.
func pause(success time.Duration, err error) (time.Duration, error) {
	_, refused := errors.AsType[*outcome.RefusedError](err)
	switch {
	case err == nil:
		return success, nil
	case refused || errors.Is(err, ErrExpired):
		return seatsLater, err
	}
	return seatsRetry, err
}

func scheduledFollows(catalog *plans.Catalog, st subscriptions.State) bool {
	plan, ok := catalog.Get(st.Scheduled.Plan.Ref())
	return ok && !st.Scheduled.Time.IsZero() && plan.FollowsMembers()
}

// seatAttempt is a change of seats. It is stored before the call: the same key must come with the same parameters.
type seatAttempt struct {
	Subscription, Price string
	From, To            int64
	Key                 string
	Time                time.Time
	// Unpaid says that Stripe took the change and that its payment failed.
	Unpaid bool `json:",omitempty"`
}

// seatsUnpaid tells whether the last attempt was the same change, in the same period, and its payment failed a short time ago.
func (s *Service) seatsUnpaid(ctx context.Context, accountID string, m Members, sub subscriptions.Subscription, have subscriptions.Item, want int64) (bool, error) {
	var a seatAttempt
	if m.Attempt == "" || json.Unmarshal([]byte(m.Attempt), &a) != nil || !a.Unpaid {
		return false, nil
	}
	start, _ := sub.Period()
	same := a.Subscription == sub.ID && a.Price == have.Price.ID && a.From == have.Quantity && a.To == want && !a.Time.Before(start)
	if !same || s.Now().Sub(a.Time) >= seatsAgain {
		return false, nil
	}
	fresh, err := s.Store.CardSince(ctx, accountID, a.Time)
	return !fresh, err
}

// changeSeats changes the seats at once and charges them. Without a payment they stay as they were until the invoice is paid.
func (s *Service) changeSeats(ctx context.Context, accountID string, m Members, sub subscriptions.Subscription, have subscriptions.Item, want int64) error {
	now := s.Now().UTC().Truncate(time.Second)
	start, end := sub.Period()
	if now.Before(start) {
		now = start // this clock is behind Stripe's
	}
	fresh := seatAttempt{
		Subscription: sub.ID, Price: have.Price.ID, From: have.Quantity, To: want, Key: "trivet/" + accountID + "/seats/" + rand.Text(), Time: now,
	}
	var a seatAttempt
	same := m.Attempt != "" && json.Unmarshal([]byte(m.Attempt), &a) == nil && a.Subscription == fresh.Subscription && a.Price == fresh.Price &&
		a.From == fresh.From && a.To == fresh.To && now.Sub(a.Time) < keyLife && !a.Time.Before(start) && !a.Unpaid
	if !same {
		a = fresh
		text, err := json.Marshal(a)
		if err != nil {
			return err
		}
		if err := s.Store.SaveSeatAttempt(ctx, accountID, string(text)); err != nil {
			return err
		}
	}
	p := Preview{
		Subscription: sub.ID, Item: have.ID, FromPrice: have.Price.ID, FromQuantity: have.Quantity, PeriodStart: start, Price: have.Price.ID,
		Quantity: want, Date: a.Time, Effective: end, AtOnce: true,
	}
	done, err := s.Changer.Change(ctx, p, a.Key)
	switch {
	case err == nil && done.PaymentURL != "":
		a.Unpaid = true
		text, err := json.Marshal(a)
		if err != nil {
			return err
		}
		return errors.Join(s.Store.SaveSeatAttempt(ctx, accountID, string(text)), s.follow(ctx, p, done.Invoice))
	case err == nil: // the key would repeat this answer to the same change later on
		return errors.Join(s.Store.SaveSeatAttempt(ctx, accountID, ""), s.follow(ctx, p, done.Invoice))
	case outcome.Spent(err):
		return errors.Join(err, s.Store.SaveSeatAttempt(ctx, accountID, "")) // whether it was done shows in the subscription
	}
	return err
}

// scheduleSeats makes the seats of the next period what the members need. It keeps a change of plan that is scheduled, and takes back a change of seats
// that is not needed any more. A schedule that Trivet did not make stays as it is: one with more than one later phase, with a price that is not in the
// catalog, or that cancels the subscription at its end.
func (s *Service) scheduleSeats(ctx context.Context, m Members, sub subscriptions.Subscription, have subscriptions.Item, sale plans.Sale) error {
	next := nextItem{price: have.Price.ID, quantity: have.Quantity, sale: sale}
	_, end := sub.Period()
	scheduled := false
	if sub.Schedule != "" {
		o, err := s.Mirror.Sync(ctx, mirror.Schedule, sub.Schedule)
		if err != nil {
			return err
		}
		schedule, err := subscriptions.ParseSchedule(o.Body)
		if err != nil {
			return err
		}
		if schedule.EndBehavior == "cancel" {
			return nil
		}
		later := laterPhases(schedule, end)
		if scheduled = len(later) > 0; scheduled {
			item, ok := s.itemOf(later[0])
			if !ok || len(later) > 1 {
				return nil
			}
			next = item
		}
	}
	want := next.sale.Plan.SeatsFor(next.sale.Interval, m.Count, next.quantity)
	p := Preview{Subscription: sub.ID, FromPrice: have.Price.ID, Price: next.price, Quantity: want, Effective: end}
	switch {
	case want == next.quantity:
		return nil
	case scheduled && next.price == have.Price.ID && want == have.Quantity:
		if err := s.Changer.ReleaseSchedule(ctx, sub.Schedule); err != nil {
			return err
		}
	default:
		if err := s.Changer.ScheduleChange(ctx, p); err != nil {
			return err
		}
	}
	return s.follow(ctx, p, "")
}

// nextItem is what a subscription has in its next period.
type nextItem struct {
	price    string
	quantity int64
	sale     plans.Sale
}

// laterPhases returns the phases of a schedule that begin with the next period or later, by Stripe's clock.
func laterPhases(schedule subscriptions.Schedule, end time.Time) (later []subscriptions.Phase) {
	for _, phase := range schedule.Phases {
		if !phase.Begin().Before(end) {
			later = append(later, phase)
		}
	}
	return later
}

// itemOf finds what a phase has of a plan in the catalog.
func (s *Service) itemOf(phase subscriptions.Phase) (nextItem, bool) {
	for _, i := range phase.Items {
		if sale, ok := s.Catalog.ByPrice(i.Price); ok && sale.Plan != nil {
			return nextItem{i.Price, i.Quantity, sale}, true
		}
	}
	return nextItem{}, false
}

// members fills in the seats of a plan that follow the organization's members. Other numbers are refused.
func (s *Service) members(ctx context.Context, r *Request) error {
	offer, ok := s.Catalog.OfferOf(r.PlanID, "")
	if !ok || offer.Plan == nil || !offer.Plan.FollowsMembers() {
		return nil
	}
	m, err := s.Store.Members(ctx, r.AccountID)
	if isNotFound(err) {
		return nil // a person's account, or auth has not reported yet
	}
	if err != nil {
		return err
	}
	n := offer.Plan.SeatsFor(r.Interval, m.Count, 0)
	if r.Seats != 0 && r.Seats != n {
		return &SeatsError{Min: n, Max: n}
	}
	r.Seats = n
	return nil
}
