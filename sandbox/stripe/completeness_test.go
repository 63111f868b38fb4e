package stripe_test

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"
)

// objects returns all objects of a resource by identifier, as the API shows them.
func (s *shop) objects(t *testing.T, path string) map[string]map[string]any {
	t.Helper()
	out, after := map[string]map[string]any{}, ""
	for {
		var page struct {
			Data    []map[string]any `json:"data"`
			HasMore bool             `json:"has_more"`
		}
		require.NoError(t, json.Unmarshal([]byte(s.do(t, "GET", path+after, "").body), &page))
		for _, o := range page.Data {
			out[o["id"].(string)] = o
		}
		if !page.HasMore {
			return out
		}
		after = "&starting_after=" + page.Data[len(page.Data)-1]["id"].(string)
	}
}

// TestLastEventMatchesState does many random things, and sees that who only listens knows as much as who asks.
func TestLastEventMatchesState(t *testing.T) {
	for seed := range uint64(3) {
		s := openShop(t)
		dice := rand.New(rand.NewPCG(seed, 0))
		pick := func(path string) string {
			ids := slices.Sorted(maps.Keys(s.objects(t, path)))
			if len(ids) == 0 {
				return "none"
			}
			return ids[dice.IntN(len(ids))]
		}
		cards := []string{"pm_card_visa", "pm_card_chargeCustomerFail", "pm_card_mastercard", "pm_card_authenticationRequired"}
		seen := map[string]map[string]any{}
		for range 100 {
			sub := pick("/v1/subscriptions?status=all&limit=100")
			price := []string{s.basic.ID, s.pro.ID, s.yearly.ID}[dice.IntN(3)]
			// What is refused is refused: only the outcome counts.
			switch dice.IntN(14) {
			case 0:
				s.do(t, "POST", "/v1/customers", "name=x&payment_method="+cards[dice.IntN(4)])
			case 1, 2:
				s.do(t, "POST", "/v1/subscriptions", "payment_behavior=default_incomplete&customer="+pick("/v1/customers?limit=100")+"&items[0][price]="+price)
			case 3:
				s.do(t, "POST", "/v1/subscriptions", "customer="+s.customer+"&items[0][price]="+price+"&items[0][quantity]=2&metadata[a]=b")
			case 4:
				s.do(t, "POST", "/v1/subscriptions/"+sub, "proration_behavior=always_invoice&items[0][price]="+price)
			case 5:
				s.do(t, "POST", "/v1/subscriptions/"+sub, "cancel_at_period_end="+[]string{"true", "false"}[dice.IntN(2)])
			case 6:
				s.do(t, "DELETE", "/v1/subscriptions/"+sub, "")
			case 7:
				_, _ = s.Renew(sub)
			case 8:
				s.useCard(t, cards[dice.IntN(4)])
			case 9:
				s.do(t, "POST", "/v1/invoices/"+pick("/v1/invoices?limit=100")+"/"+[]string{"pay", "void", "mark_uncollectible"}[dice.IntN(3)], "")
			case 10:
				s.do(t, "POST", "/v1/refunds", "amount=100&charge="+pick("/v1/charges?limit=100"))
			case 11:
				_, _ = s.OpenDispute(pick("/v1/charges?limit=100"), "")
			case 12:
				session, err := s.client.CheckoutSessions.New(s.checkout([]string{"payment", "subscription"}[dice.IntN(2)]))
				require.NoError(t, err)
				s.browse(t, "POST", "/pay/"+session.ID, url.Values{"card": {"visa"}, "email": {"p@example.test"}})
			case 13:
				s.now.at = s.now.at.Add(time.Duration(dice.IntN(400)) * time.Hour)
				_, err := s.Advance()
				require.NoError(t, err)
			}
			for _, e := range s.recorded.take(t) {
				if e.Type == stripesdk.EventTypeInvoiceUpcoming {
					continue // it does not exist yet
				}
				seen[e.Data.Object["id"].(string)] = e.Data.Object
				if e.Type == stripesdk.EventTypeCustomerDeleted {
					delete(seen, e.Data.Object["id"].(string))
				}
			}
		}
		total := 0
		for _, path := range []string{"/v1/subscriptions?status=all&limit=100", "/v1/invoices?limit=100", "/v1/customers?limit=100", "/v1/charges?limit=100", "/v1/refunds?limit=100", "/v1/disputes?limit=100", "/v1/payment_intents?limit=100"} {
			for id, is := range s.objects(t, path) {
				if id == s.customer {
					continue // made before anybody listened
				}
				total++
				told := seen[id]
				delete(is, "next_invoice_sequence") // changes with every invoice, without an event
				delete(told, "next_invoice_sequence")
				require.Equal(t, is, told, "seed %d: %s", seed, id)
			}
		}
		require.Greater(t, total, 30, "there was something to compare")
	}
}
