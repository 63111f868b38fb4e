package stripe

import (
	"context"
	"errors"
	"strings"

	sdk "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/price"

	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
)

// retiredAttempts bounds how often prices are put on sale for one call: another process may take them off in between.
const retiredAttempts = 3

// withRetired makes a call that names the prices of phases. Stripe may refuse one that was taken off sale, although the subscription has it; its
// documentation does not say. Then the price is on sale for the call alone. Nobody can buy it meanwhile, because a checkout offers the applied versions only.
func (c *Client) withRetired(ctx context.Context, phases []*sdk.SubscriptionSchedulePhaseParams, do func() error) error {
	err := do()
	for range retiredAttempts {
		if !refusesPrice(err) {
			break
		}
		retired, failed := c.retired(ctx, phases)
		if failed != nil || len(retired) == 0 {
			return errors.Join(err, failed)
		}
		err = c.onSale(ctx, retired, do)
	}
	return err
}

// refusesPrice tells whether Stripe refused a call because of a price that it names.
func refusesPrice(err error) bool {
	refused, ok := errors.AsType[*outcome.RefusedError](err)
	return ok && (strings.HasSuffix(refused.Param, "[price]") || strings.Contains(refused.Message, "inactive"))
}

// retired lists the prices of phases that are not on sale.
func (c *Client) retired(ctx context.Context, phases []*sdk.SubscriptionSchedulePhaseParams) (ids []string, err error) {
	seen := map[string]bool{}
	for _, phase := range phases {
		for _, item := range phase.Items {
			id := sdk.StringValue(item.Price)
			if seen[id] {
				continue
			}
			seen[id] = true
			params := &sdk.PriceParams{}
			found, err := call(ctx, c, &params.Context, func() (*sdk.Price, error) { return price.Client{B: c.backend, Key: c.key}.Get(id, params) })
			if err != nil {
				return nil, err
			}
			if !found.Active {
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

// onSale makes a call while prices are on sale, and takes them off again.
func (c *Client) onSale(ctx context.Context, ids []string, do func() error) error {
	for i, id := range ids {
		if err := c.SetPriceActive(ctx, id, true); err != nil {
			return errors.Join(err, c.offSale(ctx, ids[:i+1])) // it may have been done
		}
	}
	return errors.Join(do(), c.offSale(ctx, ids))
}

// offSale takes prices off sale, also when the caller has left.
func (c *Client) offSale(ctx context.Context, ids []string) error {
	var failed []error
	for _, id := range ids {
		failed = append(failed, c.SetPriceActive(context.WithoutCancel(ctx), id, false))
	}
	return errors.Join(failed...)
}
