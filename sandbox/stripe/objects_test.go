package stripe_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trivet-dev/trivet/sandbox/stripe"
)

func TestCustomerLifecycle(t *testing.T) {
	s := serve(t, stripe.Config{Now: newClock().Now})
	params := &stripesdk.CustomerParams{
		Email: stripesdk.String("ada@example.test"), Name: stripesdk.String("Ada"),
		Address:          &stripesdk.AddressParams{City: stripesdk.String("London"), Country: stripesdk.String("GB")},
		PreferredLocales: stripesdk.StringSlice([]string{"en", "de"}),
	}
	params.AddMetadata("account", "user:alice")
	params.AddMetadata("plan", "free")
	params.AddExpand("subscriptions")
	c, err := s.client.Customers.New(params)
	require.NoError(t, err)
	require.Regexp(t, `^cus_[0-9A-Za-z]{14}$`, c.ID)
	require.Equal(t, "customer", c.Object)
	require.EqualValues(t, 1_700_000_000, c.Created)
	require.Equal(t, "London", c.Address.City)
	require.Equal(t, []string{"en", "de"}, c.PreferredLocales)
	require.Equal(t, map[string]string{"account": "user:alice", "plan": "free"}, c.Metadata)
	require.False(t, c.Livemode)

	change := &stripesdk.CustomerParams{Name: stripesdk.String(""), Address: &stripesdk.AddressParams{Line1: stripesdk.String("1 High St")}}
	change.AddMetadata("plan", "")
	change.AddMetadata("seats", "3")
	c, err = s.client.Customers.Update(c.ID, change)
	require.NoError(t, err)
	require.Empty(t, c.Name)
	require.Equal(t, "ada@example.test", c.Email)
	require.Equal(t, "London", c.Address.City)
	require.Equal(t, "1 High St", c.Address.Line1)
	require.Equal(t, map[string]string{"account": "user:alice", "seats": "3"}, c.Metadata)
	require.Contains(t, s.do(t, "POST", "/v1/customers/"+c.ID, "metadata=").body, `"metadata": {}`)

	gone, err := s.client.Customers.Del(c.ID, nil)
	require.NoError(t, err)
	require.True(t, gone.Deleted)
	c, err = s.client.Customers.Get(c.ID, nil)
	require.NoError(t, err, "a deleted customer can be read")
	require.True(t, c.Deleted)
	require.NotContains(t, s.do(t, "GET", "/v1/customers/"+c.ID, "").body, "ada@")
	_, err = s.client.Customers.Update(c.ID, change)
	e := sdkError(t, err)
	require.Equal(t, http.StatusNotFound, e.HTTPStatusCode)
	require.Equal(t, stripesdk.ErrorCodeResourceMissing, e.Code)
	require.Equal(t, "No such customer: '"+c.ID+"'", e.Msg)
	_, err = s.client.Customers.Get("cus_none", nil)
	require.Equal(t, "id", sdkError(t, err).Param)
}

func TestAutoPaging(t *testing.T) {
	now := newClock()
	s := serve(t, stripe.Config{Now: now.Now})
	var ids []string
	for i := range 25 {
		c, err := s.client.Customers.New(&stripesdk.CustomerParams{Email: stripesdk.String(fmt.Sprintf("user%d@example.test", i%5))})
		require.NoError(t, err)
		ids = append([]string{c.ID}, ids...)
		now.at = now.at.Add(time.Second)
	}
	list := func(p *stripesdk.CustomerListParams) (got []string) {
		p.Limit = stripesdk.Int64(4)
		it := s.client.Customers.List(p)
		for it.Next() {
			got = append(got, it.Customer().ID)
		}
		require.NoError(t, it.Err())
		return got
	}
	require.Equal(t, ids, list(&stripesdk.CustomerListParams{}), "newest first, over seven pages")
	require.Len(t, list(&stripesdk.CustomerListParams{Email: stripesdk.String("user3@example.test")}), 5)
	require.Equal(t, ids[:5], list(&stripesdk.CustomerListParams{CreatedRange: &stripesdk.RangeQueryParams{GreaterThanOrEqual: 1_700_000_020}}))
	require.Equal(t, ids[24:], list(&stripesdk.CustomerListParams{Created: stripesdk.Int64(1_700_000_000)}))

	back := &stripesdk.CustomerListParams{}
	back.EndingBefore, back.Limit, back.Single = stripesdk.String(ids[10]), stripesdk.Int64(3), true
	page := s.client.Customers.List(back)
	require.True(t, page.Next())
	require.NoError(t, page.Err())
	require.True(t, page.CustomerList().HasMore)
	require.Len(t, page.CustomerList().Data, 3)
	require.Contains(t, ids[7:10], page.Customer().ID)

	_, err := s.client.Customers.Del(ids[0], nil)
	require.NoError(t, err)
	require.Equal(t, ids[1:], list(&stripesdk.CustomerListParams{}), "a deleted one is not listed")
	after := &stripesdk.CustomerListParams{}
	after.StartingAfter = stripesdk.String(ids[0])
	require.Equal(t, ids[1:], list(after), "but still a cursor")

	for query, param := range map[string]string{"starting_after=cus_none": "starting_after", "limit=0": "limit", "limit=101": "limit", "starting_after=a&ending_before=b": "ending_before", "odd=1": "odd"} {
		require.Equal(t, param, s.do(t, "GET", "/v1/customers?"+query, "").problem(t).Param, query)
	}
}

func TestProductsAndPrices(t *testing.T) {
	now := newClock()
	s := serve(t, stripe.Config{Now: now.Now})
	p, err := s.client.Products.New(&stripesdk.ProductParams{
		ID: stripesdk.String("trivet_pro"), Name: stripesdk.String("Pro"), Description: stripesdk.String("for teams"),
		Features:         []*stripesdk.ProductFeatureParams{{Name: stripesdk.String("streams")}},
		DefaultPriceData: &stripesdk.ProductDefaultPriceDataParams{Currency: stripesdk.String("usd"), UnitAmount: stripesdk.Int64(2000), Recurring: &stripesdk.ProductDefaultPriceDataRecurringParams{Interval: stripesdk.String("month")}},
	})
	require.NoError(t, err)
	require.Equal(t, "trivet_pro", p.ID)
	require.Equal(t, "streams", p.Features[0].Name)
	require.NotEmpty(t, p.DefaultPrice.ID)
	_, err = s.client.Products.New(&stripesdk.ProductParams{ID: stripesdk.String("trivet_pro"), Name: stripesdk.String("Again")})
	require.Equal(t, stripesdk.ErrorCodeResourceAlreadyExists, sdkError(t, err).Code)

	price, err := s.client.Prices.Get(p.DefaultPrice.ID, nil)
	require.NoError(t, err)
	require.Regexp(t, `^price_1[0-9A-Za-z]{23}$`, price.ID)
	require.EqualValues(t, 2000, price.UnitAmount)
	require.Equal(t, "trivet_pro", price.Product.ID)
	require.Empty(t, price.Product.Name)
	require.Equal(t, stripesdk.PriceTypeRecurring, price.Type)
	require.EqualValues(t, 1, price.Recurring.IntervalCount)

	expanded := &stripesdk.PriceParams{}
	expanded.AddExpand("product")
	price, err = s.client.Prices.Get(p.DefaultPrice.ID, expanded)
	require.NoError(t, err)
	require.Equal(t, "Pro", price.Product.Name)

	now.at = now.at.Add(time.Minute)
	p, err = s.client.Products.Update("trivet_pro", &stripesdk.ProductParams{Active: stripesdk.Bool(false), Description: stripesdk.String("")})
	require.NoError(t, err)
	require.False(t, p.Active)
	require.Empty(t, p.Description)
	require.Greater(t, p.Updated, p.Created)

	_, err = s.client.Products.Del("trivet_pro", nil)
	require.Contains(t, sdkError(t, err).Msg, "prices")
	free, err := s.client.Products.New(&stripesdk.ProductParams{Name: stripesdk.String("Free")})
	require.NoError(t, err)
	gone, err := s.client.Products.Del(free.ID, nil)
	require.NoError(t, err)
	require.True(t, gone.Deleted)
	_, err = s.client.Products.Get(free.ID, nil)
	require.Equal(t, http.StatusNotFound, sdkError(t, err).HTTPStatusCode)
}

func TestMeteredAndTieredPrices(t *testing.T) {
	s := serve(t, stripe.Config{})
	price, err := s.client.Prices.New(&stripesdk.PriceParams{
		Currency: stripesdk.String("USD"), ProductData: &stripesdk.PriceProductDataParams{Name: stripesdk.String("Tokens")},
		UnitAmountDecimal: stripesdk.Float64(0.00025), LookupKey: stripesdk.String("tokens"), Nickname: stripesdk.String("per token"),
		Recurring: &stripesdk.PriceRecurringParams{Interval: stripesdk.String("month"), UsageType: stripesdk.String("metered"), Meter: stripesdk.String("mtr_1")},
	})
	require.NoError(t, err)
	require.Equal(t, stripesdk.CurrencyUSD, price.Currency)
	require.InDelta(t, 0.00025, price.UnitAmountDecimal, 0)
	require.Zero(t, price.UnitAmount)
	require.Equal(t, "mtr_1", price.Recurring.Meter)
	require.Contains(t, s.do(t, "GET", "/v1/prices/"+price.ID, "").body, `"unit_amount_decimal": "0.00025"`)

	_, err = s.client.Prices.New(&stripesdk.PriceParams{Currency: stripesdk.String("usd"), Product: &price.Product.ID, UnitAmount: stripesdk.Int64(5), LookupKey: stripesdk.String("tokens")})
	require.Equal(t, "lookup_key", sdkError(t, err).Param)
	next, err := s.client.Prices.New(&stripesdk.PriceParams{
		Currency: stripesdk.String("usd"), Product: &price.Product.ID, UnitAmount: stripesdk.Int64(5), LookupKey: stripesdk.String("tokens"), TransferLookupKey: stripesdk.Bool(true),
	})
	require.NoError(t, err)
	byKey := s.client.Prices.List(&stripesdk.PriceListParams{LookupKeys: stripesdk.StringSlice([]string{"tokens"})})
	require.True(t, byKey.Next())
	require.Equal(t, next.ID, byKey.Price().ID)
	require.False(t, byKey.Next(), "the key has moved")

	params := &stripesdk.PriceParams{
		Currency: stripesdk.String("usd"), Product: &price.Product.ID, BillingScheme: stripesdk.String("tiered"), TiersMode: stripesdk.String("graduated"),
		Tiers: []*stripesdk.PriceTierParams{
			{UpTo: stripesdk.Int64(10), UnitAmount: stripesdk.Int64(0)}, {UpToInf: stripesdk.Bool(true), UnitAmountDecimal: stripesdk.Float64(1.5), FlatAmount: stripesdk.Int64(7)},
		},
	}
	params.AddExpand("tiers")
	tiered, err := s.client.Prices.New(params)
	require.NoError(t, err)
	require.Len(t, tiered.Tiers, 2)
	require.EqualValues(t, 10, tiered.Tiers[0].UpTo)
	require.InDelta(t, 1.5, tiered.Tiers[1].UnitAmountDecimal, 0)
	require.EqualValues(t, 7, tiered.Tiers[1].FlatAmount)
	tiered, err = s.client.Prices.Get(tiered.ID, nil)
	require.NoError(t, err)
	require.Nil(t, tiered.Tiers, "shown only when asked for")

	off, err := s.client.Prices.Update(tiered.ID, &stripesdk.PriceParams{Active: stripesdk.Bool(false)})
	require.NoError(t, err)
	require.False(t, off.Active)
	require.Equal(t, "parameter_unknown", s.do(t, "POST", "/v1/prices/"+tiered.ID, "unit_amount=9").problem(t).Code, "an amount never changes")

	count := func(p *stripesdk.PriceListParams) (n int) {
		for it := s.client.Prices.List(p); it.Next(); {
			n++
		}
		return n
	}
	require.Equal(t, 3, count(&stripesdk.PriceListParams{Product: &price.Product.ID}))
	require.Equal(t, 2, count(&stripesdk.PriceListParams{Active: stripesdk.Bool(true)}))
	require.Equal(t, 1, count(&stripesdk.PriceListParams{Type: stripesdk.String("recurring")}))
	require.Equal(t, 1, count(&stripesdk.PriceListParams{Recurring: &stripesdk.PriceListRecurringParams{UsageType: stripesdk.String("metered")}}))
	require.Equal(t, 0, count(&stripesdk.PriceListParams{Currency: stripesdk.String("eur")}))
}

func TestIdentifiersAreTheSameOnEveryRunInMemory(t *testing.T) {
	one, other := serve(t, stripe.Config{}), serve(t, stripe.Config{})
	a, err := one.client.Customers.New(nil)
	require.NoError(t, err)
	b, err := other.client.Customers.New(nil)
	require.NoError(t, err)
	require.Equal(t, a.ID, b.ID)
}

func TestObjectsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	first := serve(t, stripe.Config{Dir: dir})
	c, err := first.client.Customers.New(&stripesdk.CustomerParams{Name: stripesdk.String("Ada")})
	require.NoError(t, err)
	deleted, err := first.client.Customers.New(nil)
	require.NoError(t, err)
	_, err = first.client.Customers.Del(deleted.ID, nil)
	require.NoError(t, err)
	p, err := first.client.Prices.New(&stripesdk.PriceParams{Currency: stripesdk.String("usd"), ProductData: &stripesdk.PriceProductDataParams{Name: stripesdk.String("X")}, UnitAmount: stripesdk.Int64(1)})
	require.NoError(t, err)

	second := serve(t, stripe.Config{Dir: dir})
	got, err := second.client.Customers.Get(c.ID, nil)
	require.NoError(t, err)
	require.Equal(t, "Ada", got.Name)
	got, err = second.client.Customers.Get(deleted.ID, nil)
	require.NoError(t, err)
	require.True(t, got.Deleted)
	price, err := second.client.Prices.Get(p.ID, nil)
	require.NoError(t, err)
	require.Equal(t, p.Product.ID, price.Product.ID)
	fresh, err := second.client.Customers.New(nil)
	require.NoError(t, err)
	require.NotContains(t, []string{c.ID, deleted.ID}, fresh.ID, "identifiers do not come again")
	require.NoError(t, second.Reset())
	_, err = second.client.Customers.Get(c.ID, nil)
	require.Equal(t, http.StatusNotFound, sdkError(t, err).HTTPStatusCode)
}

func TestSubscriptionsAndSessionsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	first := &shop{server: serve(t, stripe.Config{Dir: dir}), recorded: &recorder{}, now: newClock()}
	cus, err := first.client.Customers.New(&stripesdk.CustomerParams{PaymentMethod: stripesdk.String("pm_card_visa")})
	require.NoError(t, err)
	price, err := first.client.Prices.New(&stripesdk.PriceParams{
		Currency: stripesdk.String("usd"), UnitAmount: stripesdk.Int64(1000), ProductData: &stripesdk.PriceProductDataParams{Name: stripesdk.String("Pro")},
		Recurring: &stripesdk.PriceRecurringParams{Interval: stripesdk.String("month")},
	})
	require.NoError(t, err)
	first.pro = price
	cards := first.client.PaymentMethods.List(&stripesdk.PaymentMethodListParams{Customer: &cus.ID})
	require.True(t, cards.Next())
	sub, err := first.client.Subscriptions.New(&stripesdk.SubscriptionParams{
		Customer: &cus.ID, DefaultPaymentMethod: &cards.PaymentMethod().ID, Items: []*stripesdk.SubscriptionItemsParams{{Price: &price.ID}},
	})
	require.NoError(t, err)
	session, err := first.client.CheckoutSessions.New(first.checkout("subscription"))
	require.NoError(t, err)
	last := first.client.Events.List(nil)
	require.True(t, last.Next())

	second := serve(t, stripe.Config{Dir: dir})
	again := second.client.Events.List(nil)
	require.True(t, again.Next())
	require.Equal(t, last.Event().ID, again.Event().ID)
	renewed, err := second.Renew(sub.ID)
	require.NoError(t, err)
	require.Equal(t, sub.CurrentPeriodEnd, renewed.CurrentPeriodStart)
	_, err = second.Pay(session.ID, "visa", "ada@example.test")
	require.NoError(t, err)
}
