package stripe_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/offers"
	"github.com/trivet-dev/trivet/services/billing/internal/overage"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/stripe"
	"github.com/trivet-dev/trivet/services/billing/internal/topup"
)

// specifications are the versions of stripe-mock by their specification: that of the version of the API that is sent, and the next one, the first with
// meters. stripe-mock ignores the version that a request names. What the later one changes in the requests that Trivet makes:
//
//   - The features of products are called marketing_features.
//   - A configuration of the portal has no features[subscription_pause] any more.
//   - An upcoming invoice takes no subscription_trial_from_plan any more, and takes schedule_details.
//   - Subscriptions, their items and the phases of schedules take discounts, a list, beside coupon. stripe-go v76 sends it at 2023-10-16, too: it was added
//     to all versions after the older stripe-mock.
//   - Invoices and their items take discounts[promotion_code].
//   - Prices take recurring[meter].
//   - Payment methods have allow_redisplay, checkout sessions have saved_payment_method_options, and both know amazon_pay and mobilepay.
//
// No request of Trivet uses one of these, except for the discounts of a subscription that has some, and each is tested with both.
func specifications() map[string]string {
	return map[string]string{"2023-10-16": "v0.183.0", "2024-04-10": "v0.185.0"}
}

// Stripe's own specifications take the form of every request that the client can make. Building stripe-mock takes half a minute, so only the long form does.
func TestTheSpecificationTakesEveryRequest(t *testing.T) {
	if os.Getenv("TRIVET_FAULTS") == "" {
		return
	}
	for version, program := range specifications() {
		t.Run(version, func(t *testing.T) {
			url, network := mock(t, program), &specified{made: map[string]bool{}}
			c := stripe.New(stripe.Config{
				Key: settings.NewSecret("sk_test_123"), URL: url, HTTP: &http.Client{Transport: network}, Logger: slog.New(slog.DiscardHandler), ReadsPerSecond: 10_000,
			})
			requests, covered := everyRequest(t, c, priceOf(t, url)), map[string]bool{}
			for name, request := range requests {
				require.NoError(t, request(t.Context()), name)
				method, _, _ := strings.Cut(name, ":")
				covered[method] = true
			}
			client := reflect.TypeOf(c)
			for i := range client.NumMethod() {
				switch name := client.Method(i).Name; name {
				case "Mode", "Condition": // they ask nothing
				default:
					require.True(t, covered[name], "%s has no row", name)
				}
			}
			for _, made := range []string{"DELETE /v1/invoices/in_draft", "POST /v1/invoices/in_open/void", "POST /v1/invoices/in_open/pay", "POST /v1/invoices/in_draft/finalize"} {
				require.True(t, network.made[made], made)
			}
		})
	}
}

// dropped is a call whose answer does not count.
func dropped[T any](_ T, err error) error { return err }

// everyRequest calls each method of the client, by its name and what is special about the call.
func everyRequest(t *testing.T, c *stripe.Client, price string) map[string]func(ctx context.Context) error {
	t.Helper()
	type call = func(ctx context.Context) error
	now := time.Now()
	p := checkout.Preview{Subscription: "sub_1", Item: "si_1", FromPrice: price, Price: "price_2", Quantity: 1, Date: now, Effective: now.AddDate(0, 1, 0)}
	ended, within := p, p
	ended.EndTrial, within.TrialEnd = true, now.AddDate(0, 0, 7)
	product := offers.Product{ID: "trivet_plan_pro", Name: "Pro", TaxCode: "txcd_10000000", Active: true}
	item := overage.NewItem{ChargeID: "ovc_1", Customer: "cus_1", Invoice: "in_1", Cents: 5, Description: "Usage", TaxBehavior: plans.TaxExclusive, TaxCode: "txcd_10000000", Key: "k5"}
	all := map[string]call{
		"Create":            func(ctx context.Context) error { return dropped(c.Create(ctx, "org_1", "k1")) },
		"Find":              func(ctx context.Context) error { return dropped(c.Find(ctx, "org_1", now.Add(-time.Hour))) },
		"Delete":            func(ctx context.Context) error { return c.Delete(ctx, "cus_1") },
		"Recipient":         func(ctx context.Context) error { return dropped(c.Recipient(ctx, "cus_1")) },
		"Probe":             func(ctx context.Context) error { c.Probe(ctx); return nil },
		"LiveSubscriptions": func(ctx context.Context) error { return dropped(c.LiveSubscriptions(ctx, "cus_1")) },
		"OpenSessions":      func(ctx context.Context) error { return dropped(c.OpenSessions(ctx, "cus_1")) },
		"ExpireSession":     func(ctx context.Context) error { return c.ExpireSession(ctx, "cs_1") },
		"NewPortal": func(ctx context.Context) error {
			return dropped(c.NewPortal(ctx, "cus_1", "bpc_1", "https://app.example.com"))
		},
		"Invoices": func(ctx context.Context) error {
			_, _, err := c.Invoices(ctx, "cus_1", "open", "in_1", 10)
			return err
		},
		"Invoice": func(ctx context.Context) error { return dropped(c.Invoice(ctx, "in_1")) },
		"PreviewChange": func(ctx context.Context) error {
			_, _, err := c.PreviewChange(ctx, p)
			return err
		},
		"Change": func(ctx context.Context) error { return dropped(c.Change(ctx, p, "k3")) },
		"PreviewChange: ends a trial": func(ctx context.Context) error {
			_, _, err := c.PreviewChange(ctx, ended)
			return err
		},
		"Change: ends a trial":   func(ctx context.Context) error { return dropped(c.Change(ctx, ended, "k10")) },
		"Change: within a trial": func(ctx context.Context) error { return dropped(c.Change(ctx, within, "k11")) },
		"Reprice":                func(ctx context.Context) error { return c.Reprice(ctx, p, "k4") },
		"ScheduleChange":         func(ctx context.Context) error { return c.ScheduleChange(ctx, p) },
		"ReleaseSchedule":        func(ctx context.Context) error { return c.ReleaseSchedule(ctx, "sub_sched_1") },
		"GiveUpChange":           func(ctx context.Context) error { return c.GiveUpChange(ctx, "sub_1") },
		"CancelAtPeriodEnd":      func(ctx context.Context) error { return c.CancelAtPeriodEnd(ctx, "sub_1", true) },
		"Unpause":                func(ctx context.Context) error { return dropped(c.Unpause(ctx, "sub_1", "k9")) },
		"CancelNow":              func(ctx context.Context) error { return c.CancelNow(ctx, "sub_1") },
		"CreateProduct":          func(ctx context.Context) error { return c.CreateProduct(ctx, product) },
		"UpdateProduct":          func(ctx context.Context) error { return c.UpdateProduct(ctx, product) },
		"PricesByKey": func(ctx context.Context) error {
			return dropped(c.PricesByKey(ctx, []string{"trivet:plan:pro@1:month"}))
		},
		"SetPriceActive":        func(ctx context.Context) error { return c.SetPriceActive(ctx, "price_1", false) },
		"PortalExists":          func(ctx context.Context) error { return dropped(c.PortalExists(ctx, "bpc_1")) },
		"FindPortal":            func(ctx context.Context) error { return dropped(c.FindPortal(ctx)) },
		"CreatePortal":          func(ctx context.Context) error { return dropped(c.CreatePortal(ctx)) },
		"NewOverageItem":        func(ctx context.Context) error { return dropped(c.NewOverageItem(ctx, item)) },
		"FindOverageItem":       func(ctx context.Context) error { return dropped(c.FindOverageItem(ctx, "in_1", "ovc_1")) },
		"FindOverageInvoice":    func(ctx context.Context) error { return dropped(c.FindOverageInvoice(ctx, "cus_1", "ovc_1", now)) },
		"FinalizeInvoice":       func(ctx context.Context) error { return c.FinalizeInvoice(ctx, "in_draft") },
		"PaymentMethod":         func(ctx context.Context) error { return dropped(c.PaymentMethod(ctx, "cus_1", "")) },
		"PaymentMethod: of sub": func(ctx context.Context) error { return dropped(c.PaymentMethod(ctx, "cus_1", "sub_1")) },
		"FindTopUpInvoice":      func(ctx context.Context) error { return dropped(c.FindTopUpInvoice(ctx, "cus_1", "tu_1", now)) },
		"NewTopUpInvoice": func(ctx context.Context) error {
			return dropped(c.NewTopUpInvoice(ctx, topup.NewInvoice{ChargeID: "tu_1", Customer: "cus_1", AutomaticTax: true, Key: "k7"}))
		},
		"FindTopUpItem": func(ctx context.Context) error { return dropped(c.FindTopUpItem(ctx, "in_1", "tu_1")) },
		"NewTopUpItem": func(ctx context.Context) error {
			return dropped(c.NewTopUpItem(ctx, topup.NewItem{ChargeID: "tu_1", Customer: "cus_1", Invoice: "in_1", Price: "price_1", Key: "k8"}))
		},
		"InvoiceStatus":         func(ctx context.Context) error { return dropped(c.InvoiceStatus(ctx, "in_open")) },
		"FinalizeForPayment":    func(ctx context.Context) error { return c.FinalizeForPayment(ctx, "in_draft") },
		"PayInvoice":            func(ctx context.Context) error { return dropped(c.PayInvoice(ctx, "in_open", "pm_1", "k9")) },
		"CloseInvoice: a draft": func(ctx context.Context) error { return c.CloseInvoice(ctx, "in_draft") },
		"CloseInvoice: an open": func(ctx context.Context) error { return c.CloseInvoice(ctx, "in_open") },
		"Product": func(ctx context.Context) error {
			_, _, err := c.Product(ctx, product.ID)
			return err
		},
		"NewOverageInvoice": func(ctx context.Context) error {
			return dropped(c.NewOverageInvoice(ctx, overage.NewInvoice{ChargeID: "ovc_1", Customer: "cus_1", Subscription: "sub_1", AutomaticTax: true, Key: "k6"}))
		},
		"Events": func(ctx context.Context) error { return dropped(c.Events(ctx, now.Add(-time.Hour), "evt_1")) },
	}
	for name, trial := range map[string]*plans.Trial{"none": nil, "paused": {Days: 14, WithoutCard: plans.WithoutCardPause}, "card": {Days: 14, CardRequired: true}} {
		all["NewCheckout: trial "+name] = func(ctx context.Context) error { return dropped(c.NewCheckout(ctx, purchase(true, trial))) }
	}
	all["NewCheckout: pack"] = func(ctx context.Context) error { return dropped(c.NewCheckout(ctx, purchase(false, nil))) }
	for _, interval := range []plans.Interval{plans.Month, plans.Once} {
		all["CreatePrice: "+string(interval)] = func(ctx context.Context) error {
			return dropped(c.CreatePrice(ctx, offers.Price{Product: product.ID, LookupKey: "k", Cents: 2000, Interval: interval, TaxBehavior: plans.TaxExclusive}))
		}
	}
	for _, kind := range mirror.Kinds() {
		all["Get: "+string(kind)] = func(ctx context.Context) error { return dropped(c.Get(ctx, kind, "id_1")) }
		q := mirror.Query{Kind: kind, Since: now.Add(-time.Hour), After: "id_1"}
		if kind == mirror.PaymentMethod { // they have no list of their own
			q = mirror.Query{Kind: kind, Customer: "cus_1", After: "id_1"}
		}
		all["List: "+string(kind)] = func(ctx context.Context) error { return dropped(c.List(ctx, q)) }
	}
	for _, kind := range []mirror.Kind{mirror.Refund, mirror.Dispute} {
		all["List: of a charge "+string(kind)] = func(ctx context.Context) error { return dropped(c.List(ctx, mirror.Query{Kind: kind, Charge: "ch_1"})) }
	}
	return all
}

func purchase(subscription bool, trial *plans.Trial) checkout.NewSession {
	return checkout.NewSession{
		AccountID: "org_1", Customer: "cus_1", Request: "r", Price: "price_1", Quantity: 1, Subscription: subscription, Trial: trial, AutomaticTax: true,
		SuccessURL: "https://app.example.com/paid", CancelURL: "https://app.example.com/plans", Key: "k2",
	}
}

// priceOf is the price of the subscription that stripe-mock shows for any id.
func priceOf(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/subscriptions/sub_1", http.NoBody)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer sk_test_123")
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	var sub struct {
		Items struct {
			Data []struct{ Price struct{ ID string } }
		}
	}
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&sub))
	return sub.Items.Data[0].Price.ID
}
