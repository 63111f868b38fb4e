package stripe

import (
	"context"
	"errors"

	sdk "github.com/stripe/stripe-go/v76"

	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
)

// note records the result of a call. A caller that left says nothing about Stripe.
func (c *Client) note(err error) {
	var api *sdk.Error
	switch {
	case errors.Is(err, context.Canceled):
	case err == nil:
		c.health.Good()
	case errors.As(err, &api):
		c.health.Note(api.HTTPStatusCode)
	default:
		c.health.Bad()
	}
}

// Condition returns Stripe's health.
func (c *Client) Condition() *statusv1.Health { return c.health.Condition() }

// Probe reads one customer and so records whether Stripe answers.
func (c *Client) Probe(ctx context.Context) {
	params := &sdk.CustomerListParams{}
	params.Limit = sdk.Int64(1)
	params.Single = true
	_, _ = c.customersPage(ctx, params) // it records the result
}
