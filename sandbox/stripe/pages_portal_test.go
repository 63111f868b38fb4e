package stripe_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"
)

// The portal adds and removes tax ids where its configuration allows it. Later invoices have those of the moment.
func TestPortalEditsTaxIDs(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.pro))
	on := stripesdk.Bool(true)
	open := func(allowed ...string) string {
		configured, err := s.client.BillingPortalConfigurations.New(&stripesdk.BillingPortalConfigurationParams{
			BusinessProfile: &stripesdk.BillingPortalConfigurationBusinessProfileParams{Headline: stripesdk.String("Tax ids")},
			Features: &stripesdk.BillingPortalConfigurationFeaturesParams{
				CustomerUpdate: &stripesdk.BillingPortalConfigurationFeaturesCustomerUpdateParams{Enabled: on, AllowedUpdates: stripesdk.StringSlice(allowed)},
				InvoiceHistory: &stripesdk.BillingPortalConfigurationFeaturesInvoiceHistoryParams{Enabled: on},
			},
		})
		require.NoError(t, err)
		portal, err := s.client.BillingPortalSessions.New(&stripesdk.BillingPortalSessionParams{Customer: &s.customer, Configuration: &configured.ID})
		require.NoError(t, err)
		return "/portal/" + portal.ID
	}
	renewed := func() []*stripesdk.InvoiceCustomerTaxID {
		_, err := s.Renew(sub.ID)
		require.NoError(t, err)
		got, err := s.client.Subscriptions.Get(sub.ID, nil)
		require.NoError(t, err)
		invoice, err := s.client.Invoices.Get(got.LatestInvoice.ID, nil)
		require.NoError(t, err)
		return invoice.CustomerTaxIDs
	}
	page := open("address", "tax_id")
	s.recorded.take(t)
	status, _, body := s.browse(t, "POST", page, url.Values{"action": {"add_tax_id"}, "tax_kind": {"eu_vat"}, "tax_id": {"DE123456789"}})
	require.Equal(t, http.StatusSeeOther, status, body)
	require.Equal(t, "customer.tax_id.created", s.recorded.types(t))
	_, _, body = s.browse(t, "GET", page, nil)
	require.Contains(t, body, `DE123456789 <span class="badge">eu_vat</span>`)
	ids := renewed()
	require.Len(t, ids, 1)
	require.Equal(t, "DE123456789", ids[0].Value)

	var list struct{ Data []struct{ ID string } }
	require.NoError(t, json.Unmarshal([]byte(s.do(t, "GET", "/v1/customers/"+s.customer+"/tax_ids", "").body), &list))
	require.Len(t, list.Data, 1)
	remove := url.Values{"action": {"remove_tax_id"}, "tax_id": {list.Data[0].ID}}
	var other, foreign struct{ ID string }
	require.NoError(t, json.Unmarshal([]byte(s.do(t, "POST", "/v1/customers", "email=bob@example.test").body), &other))
	require.NoError(t, json.Unmarshal([]byte(s.do(t, "POST", "/v1/customers/"+other.ID+"/tax_ids", "type=eu_vat&value=FR123456789").body), &foreign))
	require.NotEmpty(t, foreign.ID)
	for name, refused := range map[string]struct {
		page   string
		values url.Values
		want   string
	}{
		"a short one":          {page, url.Values{"action": {"add_tax_id"}, "tax_kind": {"eu_vat"}, "tax_id": {"DE1"}}, "Invalid value for eu_vat."},
		"an unknown kind":      {page, url.Values{"action": {"add_tax_id"}, "tax_kind": {"xx_vat"}, "tax_id": {"XX123456789"}}, "and not xx_vat."},
		"one that is gone":     {page, url.Values{"action": {"remove_tax_id"}, "tax_id": {"txi_x"}}, "No such tax ID"},
		"another customer's":   {page, url.Values{"action": {"remove_tax_id"}, "tax_id": {foreign.ID}}, "No such tax ID"},
		"a portal without":     {open("address"), remove, "does not allow the action remove_tax_id"},
		"an addition, without": {open("email"), url.Values{"action": {"add_tax_id"}, "tax_kind": {"eu_vat"}, "tax_id": {"FR123456789"}}, "does not allow the action add_tax_id"},
	} {
		status, _, body := s.browse(t, "POST", refused.page, refused.values)
		require.GreaterOrEqual(t, status, 400, name)
		require.Contains(t, body, refused.want, name)
	}
	_, _, body = s.browse(t, "GET", open("address"), nil)
	require.NotContains(t, body, "DE123456789")
	_, _, body = s.browse(t, "GET", page, nil)
	require.NotContains(t, body, "FR123456789")
	s.recorded.take(t)
	status, _, body = s.browse(t, "POST", page, remove)
	require.Equal(t, http.StatusSeeOther, status, body)
	require.Equal(t, "customer.tax_id.deleted", s.recorded.types(t))
	require.Empty(t, renewed())
}
