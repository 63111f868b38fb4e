package stripe_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
	"github.com/trivet-dev/trivet/services/billing/internal/offers"
	"github.com/trivet-dev/trivet/services/billing/internal/overage"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/stripe"
)

// stripeMock is Stripe's own server that checks requests against its specification of 2024-04-10.
const stripeMock = "github.com/stripe/stripe-mock@v0.185.0"

// mock builds and starts stripe-mock, and returns its address. It needs both addresses, or it listens beyond this machine.
func mock(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "install", stripeMock)
	build.Env = append(os.Environ(), "GOBIN="+folder, "GOFLAGS=")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	addresses := make([]string, 2)
	for i := range addresses {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		addresses[i] = l.Addr().String()
		require.NoError(t, l.Close())
	}
	server := exec.CommandContext(t.Context(), filepath.Join(folder, "stripe-mock"), "-http-addr", addresses[0], "-https-addr", addresses[1])
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	require.Eventually(t, func() bool {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addresses[0])
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)
	return "http://" + addresses[0]
}

// Stripe's own specification takes the form of every request. Of two differences to 2023-10-16, the version that is sent, no request depends: the
// specification has meters, which Trivet does not use, and stripe-mock ignores the version. Building it takes half a minute, so only the long form does.
func TestTheSpecificationTakesEveryRequest(t *testing.T) {
	if os.Getenv("TRIVET_FAULTS") == "" {
		return
	}
	url := mock(t)
	c := stripe.New(stripe.Config{Key: settings.NewSecret("sk_test_123"), URL: url, HTTP: &http.Client{Transport: lasting{}}, Logger: slog.New(slog.DiscardHandler), ReadsPerSecond: 10_000})
	ctx := t.Context()
	took := func(name string, err error) { require.NoError(t, err, name) }
	value := func(name string) func(_ any, err error) { return func(_ any, err error) { took(name, err) } }

	value("customer")(c.Create(ctx, "org_1", "k1"))
	value("customers")(c.Find(ctx, "org_1", time.Now().Add(-time.Hour)))
	took("delete customer", c.Delete(ctx, "cus_1"))
	value("live subscriptions")(c.LiveSubscriptions(ctx, "cus_1"))
	value("open sessions")(c.OpenSessions(ctx, "cus_1"))
	took("expire session", c.ExpireSession(ctx, "cs_1"))
	for _, trial := range []*plans.Trial{nil, {Days: 14, WithoutCard: plans.WithoutCardPause}, {Days: 14, CardRequired: true}} {
		value("checkout of a plan")(c.NewCheckout(ctx, purchase(true, trial)))
	}
	value("checkout of a pack")(c.NewCheckout(ctx, purchase(false, nil)))
	value("portal")(c.NewPortal(ctx, "cus_1", "bpc_1", "https://app.example.com"))
	_, _, err := c.Invoices(ctx, "cus_1", "in_1", 10)
	took("invoices", err)

	p := checkout.Preview{
		Subscription: "sub_1", Item: "si_1", FromPrice: priceOf(t, url), Price: "price_2", Quantity: 1, Date: time.Now(), Effective: time.Now().AddDate(0, 1, 0),
	}
	_, _, err = c.PreviewChange(ctx, p)
	took("preview", err)
	value("change")(c.Change(ctx, p, "k3"))
	took("reprice", c.Reprice(ctx, p, "k4"))
	took("schedule", c.ScheduleChange(ctx, p))
	took("release", c.ReleaseSchedule(ctx, "sub_sched_1"))
	took("give up", c.GiveUpChange(ctx, "sub_1"))
	took("cancel", c.CancelAtPeriodEnd(ctx, "sub_1", true))
	took("cancel now", c.CancelNow(ctx, "sub_1"))

	product := offers.Product{ID: "trivet_plan_pro", Name: "Pro", TaxCode: "txcd_10000000", Active: true}
	_, _, err = c.Product(ctx, product.ID)
	took("read product", err)
	took("product", c.CreateProduct(ctx, product))
	took("update product", c.UpdateProduct(ctx, product))
	value("prices")(c.PricesByKey(ctx, []string{"trivet:plan:pro@1:month"}))
	for _, interval := range []plans.Interval{plans.Month, plans.Once} {
		value("price")(c.CreatePrice(ctx, offers.Price{Product: product.ID, LookupKey: "k", Cents: 2000, Interval: interval, TaxBehavior: plans.TaxExclusive}))
	}
	took("deactivate price", c.SetPriceActive(ctx, "price_1", false))
	value("read portal")(c.PortalExists(ctx, "bpc_1"))
	value("configurations of the portal")(c.FindPortal(ctx))
	value("configuration of the portal")(c.CreatePortal(ctx))

	value("overage item")(c.NewOverageItem(ctx, overage.NewItem{
		ChargeID: "ovc_1", Customer: "cus_1", Invoice: "in_1", Cents: 5, Description: "Usage", TaxBehavior: plans.TaxExclusive, TaxCode: "txcd_10000000", Key: "k5",
	}))
	value("overage items")(c.FindOverageItem(ctx, "in_1", "ovc_1"))
	value("overage invoice")(c.NewOverageInvoice(ctx, overage.NewInvoice{ChargeID: "ovc_1", Customer: "cus_1", Subscription: "sub_1", AutomaticTax: true, Key: "k6"}))
	value("overage invoices")(c.FindOverageInvoice(ctx, "cus_1", "ovc_1", time.Now()))
	took("finalize", c.FinalizeInvoice(ctx, "in_1"))
}

// lasting is the specification's subscription without the end that it has, after which no change can be scheduled.
type lasting struct{}

func (lasting) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || r.Method != http.MethodGet || r.URL.Path != "/v1/subscriptions/sub_1" {
		return answer, err
	}
	read := answer.Body
	defer func() { _ = read.Close() }()
	var sub map[string]any
	if err := json.NewDecoder(read).Decode(&sub); err != nil {
		return nil, err
	}
	sub["cancel_at"] = nil
	body, err := json.Marshal(sub)
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return answer, err
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
