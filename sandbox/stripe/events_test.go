package stripe_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trivet-dev/trivet/sandbox/internal/quiet"
	"github.com/trivet-dev/trivet/sandbox/stripe"
	"github.com/trivet-dev/trivet/sandbox/webhook"
)

// recorder collects the events of an account.
type recorder struct {
	mu     sync.Mutex
	events []webhook.Event
}

func (h *recorder) emit(e webhook.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

// take returns the events since the last call, as the SDK reads them.
func (h *recorder) take(t *testing.T) []stripesdk.Event {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]stripesdk.Event, len(h.events))
	for i, e := range h.events {
		require.NoError(t, json.Unmarshal(e.Body, &out[i]))
		require.Equal(t, e.ID, out[i].ID)
		require.Equal(t, e.Type, string(out[i].Type))
		require.Equal(t, "event", out[i].Object)
		require.Equal(t, stripesdk.APIVersion, out[i].APIVersion)
		require.False(t, out[i].Livemode)
		id, _ := out[i].Data.Object["id"].(string) // an upcoming invoice has none
		require.Equal(t, e.Subject, id)
	}
	h.events = nil
	return out
}

func (h *recorder) types(t *testing.T) string {
	t.Helper()
	var out []string
	for _, e := range h.take(t) {
		out = append(out, string(e.Type))
	}
	return strings.Join(out, " ")
}

func TestEveryChangeEmitsAnEvent(t *testing.T) {
	h := &recorder{}
	s := serve(t, stripe.Config{Emit: h.emit})
	params := &stripesdk.CustomerParams{Name: stripesdk.String("Ada"), Address: &stripesdk.AddressParams{City: stripesdk.String("London"), Country: stripesdk.String("GB")}}
	params.SetIdempotencyKey("create-ada")
	c, err := s.client.Customers.New(params)
	require.NoError(t, err)
	again, err := s.client.Customers.New(params)
	require.NoError(t, err)
	require.Equal(t, c.ID, again.ID)
	events := h.take(t)
	require.Len(t, events, 1, "a replay changes nothing")
	require.Equal(t, stripesdk.EventTypeCustomerCreated, events[0].Type)
	require.Equal(t, "create-ada", events[0].Request.IdempotencyKey)
	require.Equal(t, c.LastResponse.RequestID, events[0].Request.ID)
	require.Nil(t, events[0].Data.PreviousAttributes)

	update := &stripesdk.CustomerParams{Email: stripesdk.String("ada@example.test"), Address: &stripesdk.AddressParams{City: stripesdk.String("Paris")}}
	update.AddMetadata("tier", "gold")
	_, err = s.client.Customers.Update(c.ID, update)
	require.NoError(t, err)
	_, err = s.client.Customers.Update(c.ID, update)
	require.NoError(t, err)
	events = h.take(t)
	require.Len(t, events, 1, "an update without a change emits nothing")
	require.Equal(t, map[string]any{"email": nil, "metadata": map[string]any{"tier": nil}, "address": map[string]any{"city": "London"}}, events[0].Data.PreviousAttributes)
	require.Equal(t, "Paris", events[0].Data.Object["address"].(map[string]any)["city"])

	_, err = s.client.Customers.Update(c.ID, &stripesdk.CustomerParams{TaxExempt: stripesdk.String("maybe")})
	require.Error(t, err)
	require.Empty(t, h.take(t), "a refused request changes nothing")
	_, err = s.client.Customers.Del(c.ID, nil)
	require.NoError(t, err)
	events = h.take(t)
	require.Len(t, events, 1)
	require.Equal(t, "ada@example.test", events[0].Data.Object["email"], "the object as it was")

	p, err := s.client.Products.New(&stripesdk.ProductParams{Name: stripesdk.String("Pro"), DefaultPriceData: &stripesdk.ProductDefaultPriceDataParams{Currency: stripesdk.String("usd"), UnitAmount: stripesdk.Int64(2000)}})
	require.NoError(t, err)
	_, err = s.client.Prices.Update(p.DefaultPrice.ID, &stripesdk.PriceParams{Nickname: stripesdk.String("Pro, monthly")})
	require.NoError(t, err)
	_, err = s.client.Products.Update(p.ID, &stripesdk.ProductParams{Name: stripesdk.String("Professional")})
	require.NoError(t, err)
	free, err := s.client.Products.New(&stripesdk.ProductParams{Name: stripesdk.String("Free")})
	require.NoError(t, err)
	_, err = s.client.Products.Del(free.ID, nil)
	require.NoError(t, err)
	require.Equal(t, "product.created price.created price.updated product.updated product.created product.deleted", h.types(t))
}

func TestEventsAreListedFor30Days(t *testing.T) {
	now := newClock()
	s := serve(t, stripe.Config{Now: now.Now})
	for range 25 {
		_, err := s.client.Customers.New(nil)
		require.NoError(t, err)
		now.at = now.at.Add(time.Hour)
	}
	_, err := s.client.Products.New(&stripesdk.ProductParams{Name: stripesdk.String("Pro")})
	require.NoError(t, err)
	count := func(p *stripesdk.EventListParams) (n int) {
		it := s.client.Events.List(p)
		for last := int64(1 << 40); it.Next(); n++ {
			require.LessOrEqual(t, it.Event().Created, last, "newest first")
			last = it.Event().Created
		}
		require.NoError(t, it.Err())
		return n
	}
	require.Equal(t, 26, count(&stripesdk.EventListParams{}), "over the pages")
	require.Equal(t, 25, count(&stripesdk.EventListParams{Type: stripesdk.String("customer.created")}))
	require.Equal(t, 25, count(&stripesdk.EventListParams{Type: stripesdk.String("customer.*")}))
	require.Equal(t, 26, count(&stripesdk.EventListParams{Types: stripesdk.StringSlice([]string{"customer.created", "product.created"})}))
	start := newClock().at.Unix()
	require.Equal(t, 5, count(&stripesdk.EventListParams{CreatedRange: &stripesdk.RangeQueryParams{GreaterThanOrEqual: start + 5*3600, LesserThan: start + 10*3600}}))
	first := s.client.Events.List(&stripesdk.EventListParams{})
	require.True(t, first.Next())
	got, err := s.client.Events.Get(first.Event().ID, nil)
	require.NoError(t, err)
	require.Equal(t, stripesdk.EventTypeProductCreated, got.Type)

	now.at = now.at.AddDate(0, 0, 29)
	require.Less(t, count(&stripesdk.EventListParams{}), 26)
	now.at = now.at.AddDate(0, 0, 2)
	require.Zero(t, count(&stripesdk.EventListParams{}))
	_, err = s.client.Events.Get(got.ID, nil)
	require.Equal(t, stripesdk.ErrorCodeResourceMissing, sdkError(t, err).Code)
	require.Equal(t, "parameters_exclusive", s.do(t, "GET", "/v1/events?type=a&types[]=b", "").problem(t).Code)
}

func TestQuietChangeEmitsNoEvent(t *testing.T) {
	h := &recorder{}
	s := serve(t, stripe.Config{Emit: h.emit})
	r := httptest.NewRequestWithContext(quiet.With(t.Context()), "POST", "/v1/customers", strings.NewReader("name=Ada"))
	r.Header.Set("Authorization", "Bearer sk_test_x")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	require.Equal(t, 200, w.Code)
	require.Empty(t, h.take(t))
	require.False(t, s.client.Events.List(nil).Next(), "nor listed")
	require.True(t, s.client.Customers.List(nil).Next())

	made := s.MakeEvent("radar.early_fraud_warning.created", "issfr_1", json.RawMessage(`{"id":"issfr_1"}`))
	require.Contains(t, string(made.Body), `"issfr_1"`)
	require.False(t, s.client.Events.List(nil).Next())
}

func TestExpansions(t *testing.T) {
	s := serve(t, stripe.Config{})
	p, err := s.client.Products.New(&stripesdk.ProductParams{Name: stripesdk.String("Pro"), DefaultPriceData: &stripesdk.ProductDefaultPriceDataParams{Currency: stripesdk.String("usd"), UnitAmount: stripesdk.Int64(2000)}})
	require.NoError(t, err)
	params := &stripesdk.ProductParams{}
	params.AddExpand("default_price.product.default_price")
	deep, err := s.client.Products.Get(p.ID, params)
	require.NoError(t, err)
	require.Equal(t, "Pro", deep.DefaultPrice.Product.Name)
	require.EqualValues(t, 2000, deep.DefaultPrice.Product.DefaultPrice.UnitAmount)

	list := &stripesdk.PriceListParams{}
	list.AddExpand("data.product")
	prices := s.client.Prices.List(list)
	require.True(t, prices.Next())
	require.Equal(t, "Pro", prices.Price().Product.Name)
	for path, want := range map[string]string{"name": "cannot be expanded (name)", "colour": "cannot be expanded (colour)", "metadata.x": "cannot be expanded", "a.b.c.d.e": "more than 4 levels"} {
		require.Contains(t, s.do(t, "GET", "/v1/products/"+p.ID+"?expand[]="+path, "").problem(t).Message, want)
	}
}
