package stripe

import (
	"context"
	"errors"
	"slices"

	sdk "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/invoice"
	"github.com/stripe/stripe-go/v76/subscription"
	"github.com/stripe/stripe-go/v76/subscriptionschedule"

	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
)

var _ checkout.Changer = (*Client)(nil)

// alwaysInvoice charges a change at once.
const alwaysInvoice = "always_invoice"

// PreviewChange returns what a change would charge at once. Stripe works out the same for the same moment.
func (c *Client) PreviewChange(ctx context.Context, p checkout.Preview) (int64, string, error) {
	params := &sdk.InvoiceUpcomingParams{
		Subscription: sdk.String(p.Subscription), SubscriptionProrationDate: sdk.Int64(p.Date.Unix()),
		SubscriptionProrationBehavior: sdk.String(alwaysInvoice), SubscriptionItems: itemsOf(p),
	}
	if p.EndTrial {
		params.SubscriptionTrialEndNow = sdk.Bool(true)
	}
	inv, err := call(ctx, c, &params.Context, func() (*sdk.Invoice, error) { return invoice.Client{B: c.backend, Key: c.key}.Upcoming(params) })
	if refused, ok := errors.AsType[*outcome.RefusedError](err); ok && refused.Code == string(sdk.ErrorCodeInvoiceUpcomingNone) {
		return 0, string(sdk.CurrencyUSD), nil // nothing is charged
	}
	if err != nil {
		return 0, "", err
	}
	if inv.Total < 0 {
		return inv.Total, string(inv.Currency), nil // it becomes the customer's credit
	}
	return inv.AmountDue, string(inv.Currency), nil // the total, less the credit that the customer has at Stripe
}

// itemsOf names the price only if it changes: that of an earlier version is inactive, and Stripe takes only active ones.
func itemsOf(p checkout.Preview) []*sdk.SubscriptionItemsParams {
	item := &sdk.SubscriptionItemsParams{ID: sdk.String(p.Item), Quantity: sdk.Int64(p.Quantity)}
	if p.Price != p.FromPrice {
		item.Price = sdk.String(p.Price)
	}
	return []*sdk.SubscriptionItemsParams{item}
}

// Change does a change. Without a payment the subscription stays as it was.
func (c *Client) Change(ctx context.Context, p checkout.Preview, key string) (checkout.Changed, error) {
	params := &sdk.SubscriptionParams{
		Items: itemsOf(p), ProrationBehavior: sdk.String(alwaysInvoice), ProrationDate: sdk.Int64(p.Date.Unix()), PaymentBehavior: sdk.String("pending_if_incomplete"),
	}
	switch {
	case p.EndTrial:
		params.TrialEndNow = sdk.Bool(true)
	case !p.TrialEnd.IsZero(): // also when the interval changes
		params.TrialEnd, params.ProrationBehavior, params.ProrationDate = sdk.Int64(p.TrialEnd.Unix()), sdk.String("none"), nil
	}
	params.AddExpand("latest_invoice")
	params.SetIdempotencyKey(key)
	s, err := c.update(ctx, p.Subscription, params)
	if err != nil || s.LatestInvoice == nil {
		return checkout.Changed{}, err
	}
	done := checkout.Changed{Invoice: s.LatestInvoice.ID}
	if s.PendingUpdate != nil {
		done.PaymentURL = s.LatestInvoice.HostedInvoiceURL
	}
	return done, nil
}

// Reprice changes the price of an item and charges nothing for the rest of the period: the next invoice has the new price.
func (c *Client) Reprice(ctx context.Context, p checkout.Preview, key string) error {
	params := &sdk.SubscriptionParams{Items: itemsOf(p), ProrationBehavior: sdk.String("none")}
	params.SetIdempotencyKey(key)
	_, err := c.update(ctx, p.Subscription, params)
	return err
}

func (c *Client) update(ctx context.Context, id string, params *sdk.SubscriptionParams) (*sdk.Subscription, error) {
	return call(ctx, c, &params.Context, func() (*sdk.Subscription, error) {
		return subscription.Client{B: c.backend, Key: c.key}.Update(id, params)
	})
}

// CancelAtPeriodEnd cancels a subscription at the end of its period, or takes that back.
func (c *Client) CancelAtPeriodEnd(ctx context.Context, id string, cancel bool) error {
	_, err := c.update(ctx, id, &sdk.SubscriptionParams{CancelAtPeriodEnd: sdk.Bool(cancel)})
	return err
}

// Unpause continues a paused subscription. Its period begins now, or else the time of the pause would be charged.
func (c *Client) Unpause(ctx context.Context, id, key string) (invoice string, err error) {
	params := &sdk.SubscriptionResumeParams{BillingCycleAnchor: sdk.String("now")}
	params.SetIdempotencyKey(key)
	s, err := call(ctx, c, &params.Context, func() (*sdk.Subscription, error) {
		return subscription.Client{B: c.backend, Key: c.key}.Resume(id, params)
	})
	if err != nil || s.LatestInvoice == nil {
		return "", err
	}
	return s.LatestInvoice.ID, nil
}

// CancelNow ends a subscription. One that Stripe does not have has ended.
func (c *Client) CancelNow(ctx context.Context, id string) error {
	params := &sdk.SubscriptionCancelParams{}
	_, err := call(ctx, c, &params.Context, func() (*sdk.Subscription, error) {
		return subscription.Client{B: c.backend, Key: c.key}.Cancel(id, params)
	})
	if outcome.Missing(err) {
		return nil
	}
	return err
}

// ScheduleChange does a change at the end of the period. A schedule that is there is used again: an interrupted call made it, or an earlier change. Its
// present phase may be older than the subscription, so the items are the subscription's. A change that is not possible makes no schedule.
func (c *Client) ScheduleChange(ctx context.Context, p checkout.Preview) error {
	sub, err := c.withSchedule(ctx, p.Subscription)
	if err != nil {
		return err
	}
	if sub.CancelAtPeriodEnd || sub.CancelAt != 0 { // canceled since it was read: a next phase would undo that
		return checkout.ErrCanceling
	}
	if !slices.ContainsFunc(sub.Items.Data, func(i *sdk.SubscriptionItem) bool { return i.Price.ID == p.FromPrice }) {
		return checkout.ErrExpired
	}
	schedule, err := c.scheduleOf(ctx, sub)
	if err != nil {
		return err
	}
	now := schedule.Phases[0]
	for _, phase := range schedule.Phases {
		if schedule.CurrentPhase != nil && phase.StartDate == schedule.CurrentPhase.StartDate {
			now = phase
		}
	}
	now.Items = itemsNow(sub, now)
	present := carried(now)
	present.StartDate, present.EndDate = sdk.Int64(now.StartDate), sdk.Int64(p.Effective.Unix())
	if now.TrialEnd != 0 {
		present.TrialEnd = sdk.Int64(now.TrialEnd)
	}
	next := carried(now)
	next.Iterations = sdk.Int64(1)
	at := slices.IndexFunc(next.Items, func(i *sdk.SubscriptionSchedulePhaseItemParams) bool { return sdk.StringValue(i.Price) == p.FromPrice })
	next.Items[at].Price, next.Items[at].Quantity = sdk.String(p.Price), sdk.Int64(p.Quantity)
	params := &sdk.SubscriptionScheduleParams{
		EndBehavior: sdk.String(string(sdk.SubscriptionScheduleEndBehaviorRelease)), ProrationBehavior: sdk.String("none"),
		Phases: []*sdk.SubscriptionSchedulePhaseParams{present, next},
	}
	return c.withRetired(ctx, params.Phases, func() error {
		_, err := call(ctx, c, &params.Context, func() (*sdk.SubscriptionSchedule, error) {
			return subscriptionschedule.Client{B: c.backend, Key: c.key}.Update(schedule.ID, params)
		})
		return err
	})
}

// withSchedule returns the subscription with its schedule.
func (c *Client) withSchedule(ctx context.Context, id string) (*sdk.Subscription, error) {
	read := &sdk.SubscriptionParams{}
	read.AddExpand("schedule")
	sub, err := call(ctx, c, &read.Context, func() (*sdk.Subscription, error) { return subscription.Client{B: c.backend, Key: c.key}.Get(id, read) })
	if err == nil && sub.Items.HasMore {
		return nil, checkout.ErrLongList // a phase that is made of a part of the items would end the others
	}
	return sub, err
}

// scheduleOf returns the schedule of a subscription, and creates one if necessary.
func (c *Client) scheduleOf(ctx context.Context, sub *sdk.Subscription) (*sdk.SubscriptionSchedule, error) {
	if sub.Schedule != nil {
		return sub.Schedule, nil
	}
	params := &sdk.SubscriptionScheduleParams{FromSubscription: sdk.String(sub.ID)}
	return call(ctx, c, &params.Context, func() (*sdk.SubscriptionSchedule, error) {
		return subscriptionschedule.Client{B: c.backend, Key: c.key}.New(params)
	})
}

// GiveUpChange voids the invoice that a change waits for, which drops the change. Without such an invoice it does nothing.
func (c *Client) GiveUpChange(ctx context.Context, id string) error {
	read := &sdk.SubscriptionParams{}
	read.AddExpand("latest_invoice")
	sub, err := call(ctx, c, &read.Context, func() (*sdk.Subscription, error) { return subscription.Client{B: c.backend, Key: c.key}.Get(id, read) })
	if err != nil || sub.PendingUpdate == nil || sub.LatestInvoice == nil || sub.LatestInvoice.Status != sdk.InvoiceStatusOpen {
		return err
	}
	params := &sdk.InvoiceVoidInvoiceParams{}
	_, err = call(ctx, c, &params.Context, func() (*sdk.Invoice, error) { return c.invoices().VoidInvoice(sub.LatestInvoice.ID, params) })
	return err
}

// ReleaseSchedule takes a scheduled change back. A schedule that has ended is released.
func (c *Client) ReleaseSchedule(ctx context.Context, id string) error {
	params := &sdk.SubscriptionScheduleReleaseParams{}
	_, err := call(ctx, c, &params.Context, func() (*sdk.SubscriptionSchedule, error) {
		return subscriptionschedule.Client{B: c.backend, Key: c.key}.Release(id, params)
	})
	if outcome.Missing(err) {
		return nil
	}
	return err
}
