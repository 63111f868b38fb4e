package stripe

import (
	"context"
	"slices"
	"time"

	sdk "github.com/stripe/stripe-go/v76"
	portal "github.com/stripe/stripe-go/v76/billingportal/session"
	"github.com/stripe/stripe-go/v76/checkout/session"
	"github.com/stripe/stripe-go/v76/subscription"

	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
)

var _ checkout.Provider = (*Client)(nil)

// metadataRequest is the metadata key of a checkout session that identifies what was asked for.
const metadataRequest = "trivet_request"

// LiveSubscriptions lists the customer's subscriptions that have begun and not ended.
func (c *Client) LiveSubscriptions(ctx context.Context, customer string) ([]string, error) {
	params := &sdk.SubscriptionListParams{Customer: sdk.String(customer)}
	params.Single, params.Limit = true, sdk.Int64(100)
	return call(ctx, c, &params.Context, func() ([]string, error) {
		list := subscription.Client{B: c.backend, Key: c.key}.List(params)
		if list.Err() != nil {
			return nil, list.Err()
		}
		var ids []string
		over := []sdk.SubscriptionStatus{sdk.SubscriptionStatusCanceled, sdk.SubscriptionStatusIncomplete, sdk.SubscriptionStatusIncompleteExpired}
		for _, s := range list.SubscriptionList().Data {
			if !slices.Contains(over, s.Status) {
				ids = append(ids, s.ID)
			}
		}
		return ids, nil
	})
}

// OpenSessions lists the customer's open checkout sessions that Trivet made.
func (c *Client) OpenSessions(ctx context.Context, customer string) ([]checkout.Session, error) {
	params := &sdk.CheckoutSessionListParams{Customer: sdk.String(customer), Status: sdk.String(string(sdk.CheckoutSessionStatusOpen))}
	params.Single, params.Limit = true, sdk.Int64(100)
	return call(ctx, c, &params.Context, func() ([]checkout.Session, error) {
		list := session.Client{B: c.backend, Key: c.key}.List(params)
		if list.Err() != nil {
			return nil, list.Err()
		}
		var open []checkout.Session
		for _, s := range list.CheckoutSessionList().Data {
			if s.Metadata[metadataRequest] != "" && s.Status == sdk.CheckoutSessionStatusOpen {
				open = append(open, toSession(s))
			}
		}
		return open, nil
	})
}

func toSession(s *sdk.CheckoutSession) checkout.Session {
	return checkout.Session{
		ID: s.ID, URL: s.URL, Status: string(s.Status), ExpireTime: time.Unix(s.ExpiresAt, 0).UTC(), Request: s.Metadata[metadataRequest],
		Pack: s.Mode == sdk.CheckoutSessionModePayment,
	}
}

// ExpireSession ends an open session.
func (c *Client) ExpireSession(ctx context.Context, id string) error {
	params := &sdk.CheckoutSessionExpireParams{}
	_, err := call(ctx, c, &params.Context, func() (*sdk.CheckoutSession, error) {
		return session.Client{B: c.backend, Key: c.key}.Expire(id, params)
	})
	return err
}

// NewCheckout makes a checkout session. It is idempotent by key.
func (c *Client) NewCheckout(ctx context.Context, n checkout.NewSession) (checkout.Session, error) {
	metadata := map[string]string{metadataAccount: n.AccountID, metadataRequest: n.Request}
	params := &sdk.CheckoutSessionParams{
		Customer: sdk.String(n.Customer), ClientReferenceID: sdk.String(n.AccountID), Metadata: metadata,
		LineItems:           []*sdk.CheckoutSessionLineItemParams{{Price: sdk.String(n.Price), Quantity: sdk.Int64(n.Quantity)}},
		SuccessURL:          sdk.String(n.SuccessURL),
		CancelURL:           sdk.String(n.CancelURL),
		AllowPromotionCodes: sdk.Bool(true),
		AutomaticTax:        &sdk.CheckoutSessionAutomaticTaxParams{Enabled: sdk.Bool(n.AutomaticTax)},
		TaxIDCollection:     &sdk.CheckoutSessionTaxIDCollectionParams{Enabled: sdk.Bool(true)},
		// Without these, Stripe refuses automatic tax and tax ids for a customer who exists already.
		CustomerUpdate: &sdk.CheckoutSessionCustomerUpdateParams{Address: sdk.String("auto"), Name: sdk.String("auto")},
	}
	if n.Subscription {
		params.Mode = sdk.String(string(sdk.CheckoutSessionModeSubscription))
		params.SubscriptionData = &sdk.CheckoutSessionSubscriptionDataParams{Metadata: map[string]string{metadataAccount: n.AccountID}}
		addTrial(params, n)
	} else {
		params.Mode = sdk.String(string(sdk.CheckoutSessionModePayment))
		params.InvoiceCreation = &sdk.CheckoutSessionInvoiceCreationParams{Enabled: sdk.Bool(true)}
		params.PaymentIntentData = &sdk.CheckoutSessionPaymentIntentDataParams{Metadata: map[string]string{metadataAccount: n.AccountID}}
	}
	params.SetIdempotencyKey(n.Key)
	made, err := call(ctx, c, &params.Context, func() (*sdk.CheckoutSession, error) {
		return session.Client{B: c.backend, Key: c.key}.New(params)
	})
	if err != nil {
		return checkout.Session{}, err
	}
	return toSession(made), nil
}

func addTrial(params *sdk.CheckoutSessionParams, n checkout.NewSession) {
	if n.Trial == nil {
		return
	}
	params.SubscriptionData.TrialPeriodDays = sdk.Int64(n.Trial.Days)
	if n.Trial.CardRequired {
		return
	}
	params.PaymentMethodCollection = sdk.String(string(sdk.CheckoutSessionPaymentMethodCollectionIfRequired))
	params.SubscriptionData.TrialSettings = &sdk.CheckoutSessionSubscriptionDataTrialSettingsParams{
		EndBehavior: &sdk.CheckoutSessionSubscriptionDataTrialSettingsEndBehaviorParams{MissingPaymentMethod: sdk.String(n.Trial.WithoutCard)},
	}
}

// NewPortal makes a session of the portal and returns its address.
func (c *Client) NewPortal(ctx context.Context, customer, configuration, returnURL string) (string, error) {
	params := &sdk.BillingPortalSessionParams{
		Customer: sdk.String(customer), Configuration: sdk.String(configuration), ReturnURL: sdk.String(returnURL),
	}
	made, err := call(ctx, c, &params.Context, func() (*sdk.BillingPortalSession, error) {
		return portal.Client{B: c.backend, Key: c.key}.New(params)
	})
	if err != nil {
		return "", err
	}
	return made.URL, nil
}
