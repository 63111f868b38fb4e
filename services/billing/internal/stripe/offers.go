package stripe

import (
	"context"
	"strings"

	sdk "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/billingportal/configuration"
	"github.com/stripe/stripe-go/v76/price"
	"github.com/stripe/stripe-go/v76/product"

	"github.com/trivet-dev/trivet/services/billing/internal/offers"
	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

var _ offers.Provider = (*Client)(nil)

// Mode is "live" or "test", by the key.
func (c *Client) Mode() string {
	if _, rest, _ := strings.Cut(c.key, "_"); strings.HasPrefix(rest, "live_") {
		return "live"
	}
	return "test"
}

// Product reads a product; false for an unknown id.
func (c *Client) Product(ctx context.Context, id string) (offers.Product, bool, error) {
	params := &sdk.ProductParams{}
	p, err := call(ctx, c, &params.Context, func() (*sdk.Product, error) { return product.Client{B: c.backend, Key: c.key}.Get(id, params) })
	if outcome.Missing(err) {
		return offers.Product{}, false, nil
	}
	if err != nil {
		return offers.Product{}, false, err
	}
	out := offers.Product{ID: p.ID, Name: p.Name, Active: p.Active}
	if p.TaxCode != nil {
		out.TaxCode = p.TaxCode.ID
	}
	return out, true, nil
}

// CreateProduct makes a product. One that exists already is as good: the caller compares it next time.
func (c *Client) CreateProduct(ctx context.Context, p offers.Product) error {
	params := &sdk.ProductParams{ID: sdk.String(p.ID), Name: sdk.String(p.Name), Active: sdk.Bool(p.Active)}
	if p.TaxCode != "" {
		params.TaxCode = sdk.String(p.TaxCode)
	}
	_, err := call(ctx, c, &params.Context, func() (*sdk.Product, error) { return product.Client{B: c.backend, Key: c.key}.New(params) })
	return err
}

// UpdateProduct writes a product's name, tax code and whether it is active.
func (c *Client) UpdateProduct(ctx context.Context, p offers.Product) error {
	params := &sdk.ProductParams{Name: sdk.String(p.Name), TaxCode: sdk.String(p.TaxCode), Active: sdk.Bool(p.Active)}
	_, err := call(ctx, c, &params.Context, func() (*sdk.Product, error) { return product.Client{B: c.backend, Key: c.key}.Update(p.ID, params) })
	return err
}

// PricesByKey reads the prices with these lookup keys; at most ten.
func (c *Client) PricesByKey(ctx context.Context, keys []string) ([]offers.Price, error) {
	params := &sdk.PriceListParams{LookupKeys: sdk.StringSlice(keys)}
	params.Single = true
	return call(ctx, c, &params.Context, func() ([]offers.Price, error) {
		list := price.Client{B: c.backend, Key: c.key}.List(params)
		if list.Err() != nil {
			return nil, list.Err()
		}
		var found []offers.Price
		for _, p := range list.PriceList().Data {
			found = append(found, toPrice(p))
		}
		return found, nil
	})
}

func toPrice(p *sdk.Price) offers.Price {
	out := offers.Price{
		ID: p.ID, LookupKey: p.LookupKey, Cents: p.UnitAmount, TaxBehavior: string(p.TaxBehavior), Active: p.Active, Metadata: p.Metadata,
	}
	if p.Product != nil {
		out.Product = p.Product.ID
	}
	if p.Recurring != nil {
		out.Interval = plans.Interval(p.Recurring.Interval)
	}
	return out
}

// CreatePrice makes a price. Its lookup key is taken by one price at most, so that a repeated call cannot make a second one.
func (c *Client) CreatePrice(ctx context.Context, p offers.Price) (offers.Price, error) {
	params := &sdk.PriceParams{
		Product: sdk.String(p.Product), Currency: sdk.String(string(sdk.CurrencyUSD)), UnitAmount: sdk.Int64(p.Cents), LookupKey: sdk.String(p.LookupKey),
		TaxBehavior: sdk.String(p.TaxBehavior), Metadata: p.Metadata,
	}
	if p.Interval != plans.Once {
		params.Recurring = &sdk.PriceRecurringParams{Interval: sdk.String(string(p.Interval))}
	}
	made, err := call(ctx, c, &params.Context, func() (*sdk.Price, error) { return price.Client{B: c.backend, Key: c.key}.New(params) })
	if err != nil {
		return offers.Price{}, err
	}
	return toPrice(made), nil
}

// SetPriceActive puts a price on sale or takes it off.
func (c *Client) SetPriceActive(ctx context.Context, id string, active bool) error {
	params := &sdk.PriceParams{Active: sdk.Bool(active)}
	_, err := call(ctx, c, &params.Context, func() (*sdk.Price, error) { return price.Client{B: c.backend, Key: c.key}.Update(id, params) })
	return err
}

// PortalExists tells whether there is an active configuration of the portal.
func (c *Client) PortalExists(ctx context.Context, id string) (bool, error) {
	params := &sdk.BillingPortalConfigurationParams{}
	found, err := call(ctx, c, &params.Context, func() (*sdk.BillingPortalConfiguration, error) {
		return configuration.Client{B: c.backend, Key: c.key}.Get(id, params)
	})
	if outcome.Missing(err) {
		return false, nil
	}
	return err == nil && found.Active, err
}

// CreatePortal makes a configuration of the portal. Plans are changed by Trivet's own API, because the portal cannot change a
// subscription with several products and does not know when a change takes effect.
func (c *Client) CreatePortal(ctx context.Context) (string, error) {
	on := func() *bool { return sdk.Bool(true) }
	params := &sdk.BillingPortalConfigurationParams{
		BusinessProfile: &sdk.BillingPortalConfigurationBusinessProfileParams{Headline: sdk.String("Cards, tax ids and invoices")},
		Features: &sdk.BillingPortalConfigurationFeaturesParams{
			CustomerUpdate: &sdk.BillingPortalConfigurationFeaturesCustomerUpdateParams{
				Enabled: on(), AllowedUpdates: sdk.StringSlice([]string{"address", "email", "name", "tax_id"}),
			},
			InvoiceHistory:      &sdk.BillingPortalConfigurationFeaturesInvoiceHistoryParams{Enabled: on()},
			PaymentMethodUpdate: &sdk.BillingPortalConfigurationFeaturesPaymentMethodUpdateParams{Enabled: on()},
			SubscriptionCancel: &sdk.BillingPortalConfigurationFeaturesSubscriptionCancelParams{
				Enabled: on(), Mode: sdk.String("at_period_end"),
			},
			SubscriptionUpdate: &sdk.BillingPortalConfigurationFeaturesSubscriptionUpdateParams{
				Enabled: sdk.Bool(false), DefaultAllowedUpdates: []*string{}, Products: []*sdk.BillingPortalConfigurationFeaturesSubscriptionUpdateProductParams{},
			},
		},
	}
	params.AddMetadata(metadataPortal, "true")
	made, err := call(ctx, c, &params.Context, func() (*sdk.BillingPortalConfiguration, error) {
		return configuration.Client{B: c.backend, Key: c.key}.New(params)
	})
	if err != nil {
		return "", err
	}
	return made.ID, nil
}

// metadataPortal marks the configuration of the portal that Trivet made.
const metadataPortal = "trivet_portal"

// FindPortal returns the configuration that an interrupted CreatePortal made, or "".
func (c *Client) FindPortal(ctx context.Context) (string, error) {
	params := &sdk.BillingPortalConfigurationListParams{Active: sdk.Bool(true)}
	params.Single = true
	params.Limit = sdk.Int64(100)
	return call(ctx, c, &params.Context, func() (string, error) {
		list := configuration.Client{B: c.backend, Key: c.key}.List(params)
		if list.Err() != nil {
			return "", list.Err()
		}
		for _, found := range list.BillingPortalConfigurationList().Data {
			if found.Metadata[metadataPortal] != "" {
				return found.ID, nil
			}
		}
		return "", nil
	})
}
