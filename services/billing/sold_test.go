package billing_test

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const packFile = `
plans:
  - {id: free, name: Free, price: "0.00", included_credit: "5.00"}
packs:
  - {id: credit_20, name: $20 of credit, price: "20.00", credit: "21.00", expire_months: 12}
`

// A plan was applied with another database, such as that of a replaced installation, and the dashboard has sold it. When this installation applies it, too,
// its subscriptions give what they have paid for, without more news.
func TestAPlanIsAppliedAfterTheNewsOfItsSubscription(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(packFile)
		session := h.checkout(purchase("", "credit_20")) // it makes the customer
		h.at(http.MethodPost, "/v1/checkout/sessions/"+session.GetId()+"/expire", nil)
		customer := h.listed("/v1/customers")[0]
		card := h.at(http.MethodPost, "/v1/payment_methods/pm_card_visa/attach", url.Values{"customer": {customer}})
		h.at(http.MethodPost, "/v1/customers/"+customer, url.Values{"invoice_settings[default_payment_method]": {card}})
		known := h.listed("/v1/prices?type=recurring&limit=100")
		other := resume(t, selling, h.place(t), h.Now(), "", h.stripe)
		other.apply(yearFile)
		sold := slices.DeleteFunc(h.listed("/v1/prices?type=recurring&limit=100"), func(id string) bool { return slices.Contains(known, id) })
		h.at(http.MethodPost, "/v1/subscriptions", url.Values{"customer": {customer}, "items[0][price]": {sold[len(sold)-1]}})
		h.news()
		before := h.account().GetBalanceNanoUsd()
		stop := h.run()
		defer stop()
		h.apply(yearFile)
		require.Eventually(t, func() bool { return h.account().GetBalanceNanoUsd() > before }, time.Minute, 5*time.Millisecond)
		require.Equal(t, activeAccess, h.subscription().GetAccess())
	})
}
