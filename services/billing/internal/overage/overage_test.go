package overage_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/settings"
	fake "github.com/trivet-dev/trivet/sandbox/stripe"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
	"github.com/trivet-dev/trivet/services/billing/internal/customers"
	"github.com/trivet-dev/trivet/services/billing/internal/follow"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/overage"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
	"github.com/trivet-dev/trivet/services/billing/internal/stripe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const account = "org_1"

// catalog has one plan, with overage, by month and by year.
type catalog struct {
	plan   plans.Plan
	prices map[string]plans.Interval
}

func (c *catalog) Get(ref string) (plans.Plan, bool) {
	if ref == "free" {
		return c.Default(), true
	}
	return c.plan, ref == c.plan.Ref()
}

func (c *catalog) ByPrice(id string) (plans.Sale, bool) {
	interval, ok := c.prices[id]
	return plans.Sale{Offer: plans.Offer{Plan: &c.plan}, Interval: interval}, ok
}

func (c *catalog) Default() plans.Plan { return plans.Plan{ID: "free", Name: "Free"} }

// world is an account with a subscription at a fake Stripe that can fail.
type world struct {
	*billingtest.Clock
	t      *testing.T
	fake   *fake.Fake
	store  *store.Store
	ledger *ledger.Ledger
	mirror *mirror.Mirror
	biller *overage.Biller
	// fail decides what happens to a request of the biller: "" for nothing.
	fail func(r *http.Request) string
	// failed are the failures by idempotency key, which Stripe repeats for a day or more. What the fake answers, it repeats by itself.
	failed        map[string]failure
	calls         int
	customer, sub string
	// plan is the form of a subscription to the plan.
	plan     string
	requests int
	// swept are calls that the sweeper has charged and that are settled later; corrected is the overage that such settlements have taken back.
	swept     []ledger.Hold
	corrected int64
}

// newWorld subscribes an account to the plan. The ledger must be sound when the test ends.
func newWorld(t *testing.T, db *database.DB, interval plans.Interval) *world {
	t.Helper()
	w := &world{t: t, Clock: billingtest.NewClock(time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)), store: store.New(db), failed: map[string]failure{}}
	var err error
	w.fake, err = fake.New(fake.Config{Now: w.Now, PublicURL: "http://stripe.test"})
	require.NoError(t, err)
	front := httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(front.Close)
	client := stripe.New(stripe.Config{
		Key: settings.NewSecret("sk_test_1"), URL: front.URL, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		Logger: slog.New(slog.DiscardHandler), ReadsPerSecond: 10_000,
	})
	list, err := models.Parse([]byte(`models: {embed: {kind: embedding, provider: test, context_tokens: 2147483647, input: "0.001"}}`))
	require.NoError(t, err)
	offers := &catalog{
		plan:   plans.Plan{ID: "metered", Version: 1, Name: "Metered", Price: 20_000_000_000, IncludedCredit: 1000, TaxBehavior: "exclusive", Overage: &plans.Overage{Cap: 1e12}},
		prices: map[string]plans.Interval{},
	}
	w.ledger = ledger.New(ledger.Options{Store: w.store, Prices: list, Plans: offers, Now: w.Now, Logger: slog.New(slog.DiscardHandler), Lease: time.Minute})
	t.Cleanup(w.sound)
	w.mirror = mirror.New(mirror.Options{
		Store: w.store, Source: client, Now: w.Now, Applied: func(context.Context, string, string) {}, Written: (&follow.Follower{Store: w.store, Ledger: w.ledger}).Written,
	})
	w.biller = overage.New(overage.Options{Store: w.store, Ledger: w.ledger, Provider: client, Plans: offers, Now: w.Now, Logger: slog.New(slog.DiscardHandler)})

	w.customer = w.post("/v1/customers", "")
	_, err = w.store.BeginCustomer(t.Context(), customers.Begin{AccountID: account, Time: w.Now()})
	require.NoError(t, err)
	require.NoError(t, w.store.SaveCustomer(t.Context(), account, w.customer))
	method := w.post("/v1/payment_methods/pm_card_visa/attach", "customer="+w.customer)
	price := w.post("/v1/prices", "currency=usd&unit_amount=2000&product_data[name]=Metered&recurring[interval]="+string(interval))
	offers.prices[price] = interval
	w.plan = "customer=" + w.customer + "&items[0][price]=" + price + "&default_payment_method=" + method
	w.buy()
	a, err := w.ledger.Account(t.Context(), account, "")
	require.NoError(t, err)
	require.Equal(t, "metered@1", a.Plan)
	return w
}

// buy subscribes the account.
func (w *world) buy() {
	w.t.Helper()
	w.sub = w.post("/v1/subscriptions", w.plan)
	w.sync()
}

// cancel ends the subscription at once.
func (w *world) cancel() {
	w.t.Helper()
	w.ask(http.MethodDelete, "/v1/subscriptions/"+w.sub, "")
	w.sync()
}

// serve is Stripe as the biller reaches it.
func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	w.calls++
	form, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(form))
	how, key, request := "", r.Header.Get("Idempotency-Key"), r.Method+" "+r.URL.Path+" "+string(form)
	if w.fail != nil {
		how = w.fail(r)
		r.Body = io.NopCloser(bytes.NewReader(form))
	}
	if w.repeated(rw, key, request) {
		return
	}
	switch how {
	case "lost": // done, but the answer is lost
		w.fake.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
		panic(http.ErrAbortHandler)
	case "down":
		panic(http.ErrAbortHandler)
	case "":
		w.fake.ServeHTTP(rw, r)
	case "idempotency_error":
		answer(rw, http.StatusBadRequest, how)
	case "default_payment_method":
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(rw, `{"error": {"type": "invalid_request_error", "param": %q, "message": "no"}}`, how)
	default:
		status, _ := strconv.Atoi(how)
		if (status >= http.StatusInternalServerError || status == http.StatusPaymentRequired) && key != "" {
			w.failed[key] = failure{request: request, status: status, at: w.Now()}
		}
		answer(rw, status, "api_error")
	}
}

// failure is a failed call that Stripe repeats.
type failure struct {
	request string
	status  int
	at      time.Time
}

// repeated answers a call whose key has failed before, as Stripe does.
func (w *world) repeated(rw http.ResponseWriter, key, request string) bool {
	known, ok := w.failed[key]
	switch {
	case !ok || w.Now().Sub(known.at) >= 48*time.Hour:
		return false
	case known.request != request:
		answer(rw, http.StatusBadRequest, "idempotency_error")
	default:
		answer(rw, known.status, "api_error")
	}
	return true
}

func answer(rw http.ResponseWriter, status int, kind string) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_, _ = fmt.Fprintf(rw, `{"error": {"type": %q, "message": "no"}}`, kind)
}

func (w *world) ask(method, path, form string) []byte {
	w.t.Helper()
	request := httptest.NewRequestWithContext(w.t.Context(), method, path, strings.NewReader(form))
	request.Header.Set("Authorization", "Bearer sk_test_1")
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	w.fake.ServeHTTP(answer, request)
	require.Equal(w.t, http.StatusOK, answer.Code, "%s %s: %s", method, path, answer.Body)
	return answer.Body.Bytes()
}

func (w *world) post(path, form string) string {
	w.t.Helper()
	var made struct{ ID string }
	require.NoError(w.t, json.Unmarshal(w.ask(http.MethodPost, path, form), &made))
	return made.ID
}

// sync has Stripe do what is due, and mirrors the subscription and its invoices.
func (w *world) sync() {
	w.t.Helper()
	_, err := w.fake.Advance()
	require.NoError(w.t, err)
	before := w.fail
	w.fail = nil
	for _, inv := range w.invoices() {
		_, err := w.mirror.Sync(w.t.Context(), mirror.Invoice, inv.ID)
		require.NoError(w.t, err)
	}
	_, err = w.mirror.Sync(w.t.Context(), mirror.Subscription, w.sub)
	require.NoError(w.t, err)
	w.fail = before
}

type invoice struct {
	ID, Status, Subscription string
	Total                    int64
	Lines                    struct {
		Data []struct {
			Amount       int64
			Discountable bool
			Metadata     map[string]string
		}
	}
}

func (w *world) invoices() []invoice {
	w.t.Helper()
	var list struct{ Data []invoice }
	require.NoError(w.t, json.Unmarshal(w.ask(http.MethodGet, "/v1/invoices?limit=100", ""), &list))
	return list.Data
}

// use has the account use that many nano-dollars.
func (w *world) use(amount int64) {
	w.t.Helper()
	w.requests++
	h, err := w.ledger.Reserve(w.t.Context(), ledger.Reservation{RequestID: fmt.Sprint(w.requests), AccountID: account, Model: "embed", InputTokens: amount})
	require.NoError(w.t, err)
	_, err = w.ledger.Settle(w.t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: amount}, Outcome: ledger.OutcomeCompleted})
	require.NoError(w.t, err)
}

func (w *world) bill() {
	w.t.Helper()
	require.NoError(w.t, w.biller.Run(w.t.Context(), func(context.Context) error { return nil }))
}

// charges lists all charges of the account, newest first.
func (w *world) charges() []overage.Charge {
	w.t.Helper()
	all, err := w.store.Charges(w.t.Context(), account, "", 1000)
	require.NoError(w.t, err)
	return all
}

// atStripe sums the cents of each charge at Stripe: on invoices, and of items that wait.
func (w *world) atStripe() (invoiced, waiting map[string]int64) {
	w.t.Helper()
	invoiced, waiting = map[string]int64{}, map[string]int64{}
	for _, inv := range w.invoices() {
		for _, l := range inv.Lines.Data {
			if id := l.Metadata["trivet_overage"]; id != "" {
				invoiced[id] += l.Amount
			}
		}
	}
	var items struct {
		Data []struct {
			Amount   int64
			Metadata map[string]string
		}
	}
	require.NoError(w.t, json.Unmarshal(w.ask(http.MethodGet, "/v1/invoiceitems?limit=100&pending=true&customer="+url.QueryEscape(w.customer), ""), &items))
	for _, i := range items.Data {
		waiting[i.Metadata["trivet_overage"]] += i.Amount
	}
	return invoiced, waiting
}

// check compares Stripe with the ledger: nothing there that is not charged, and no charge twice.
func (w *world) check() {
	w.t.Helper()
	cents := map[string]int64{}
	for _, c := range w.charges() {
		cents[c.ID] = c.Cents
	}
	invoiced, waiting := w.atStripe()
	for id, n := range waiting {
		invoiced[id] += n
	}
	for id, n := range invoiced {
		require.Equal(w.t, cents[id], n, "charge %s is at Stripe once", id)
	}
	w.sound()
}

// sound does what `trivet ledger verify` does.
func (w *world) sound() {
	w.t.Helper()
	found, err := w.ledger.Audit(context.Background())
	require.NoError(w.t, err)
	require.Empty(w.t, found)
}

// done requires that all overage but less than a cent is on invoices.
func (w *world) done() {
	w.t.Helper()
	w.check()
	invoiced, waiting := w.atStripe()
	require.Empty(w.t, waiting)
	sum := int64(0)
	for _, c := range w.charges() {
		require.Equal(w.t, overage.StateInvoiced, c.State, c.Problem)
		require.Equal(w.t, c.Cents, invoiced[c.ID])
		require.NotEmpty(w.t, c.InvoiceID)
		sum += c.Cents * plans.Cent
	}
	rest := w.total() - sum
	require.GreaterOrEqual(w.t, rest, -w.corrected, "only corrections leave the invoices ahead of the ledger")
	require.Less(w.t, rest, int64(plans.Cent))
}

// total is all overage of the account.
func (w *world) total() int64 {
	w.t.Helper()
	a, err := w.ledger.Known(w.t.Context(), account)
	require.NoError(w.t, err)
	return a.Overage.Total
}

// charged is the sum of all charges, in nano-dollars.
func (w *world) charged() (sum int64) {
	w.t.Helper()
	for _, c := range w.charges() {
		sum += c.Cents * plans.Cent
	}
	return sum
}

func each(t *testing.T, interval plans.Interval, test func(t *testing.T, w *world)) {
	t.Helper()
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) { test(t, newWorld(t, db, interval)) })
}

// A month is charged by an invoice of its own, shortly after its end. The renewal's invoice has no overage, and a coupon does not lower it.
func TestAMonthIsChargedAfterItsEnd(t *testing.T) {
	each(t, plans.Month, func(t *testing.T, w *world) {
		start := w.Now()
		coupon := w.post("/v1/coupons", "percent_off=100&duration=forever")
		w.ask(http.MethodPost, "/v1/subscriptions/"+w.sub, "coupon="+coupon)
		w.use(1000 + 123_456_789)
		w.Set(start.AddDate(0, 1, 0).Add(14 * time.Minute))
		w.sync()
		w.bill()
		require.Empty(t, w.charges())
		w.Add(time.Minute)
		w.bill()
		w.done()
		require.EqualValues(t, 12, w.charges()[0].Cents)
		require.Len(t, w.invoices(), 3)
		bill := w.invoices()[0]
		require.Equal(t, w.charges()[0].InvoiceID, bill.ID)
		require.Empty(t, bill.Subscription)
		require.EqualValues(t, 12, bill.Total)
		require.False(t, bill.Lines.Data[0].Discountable)
		require.Len(t, w.invoices()[1].Lines.Data, 1, "the price of the month")
		calls := w.calls
		w.bill()
		require.Equal(t, calls, w.calls, "nothing is left to ask for")
		w.Add(2 * time.Hour)
		w.sync()
		w.use(1000 + 10_000_000)
		w.Set(start.AddDate(0, 2, 0).Add(3 * time.Hour))
		w.sync()
		w.bill()
		require.EqualValues(t, 1, w.charges()[0].Cents)
		w.done()
	})
}

// A billed year is charged for each month by an invoice of its own, paid by the subscription's card.
func TestAYearIsChargedMonthly(t *testing.T) {
	each(t, plans.Year, func(t *testing.T, w *world) {
		w.use(1000 + 25_000_000)
		w.Set(w.Now().AddDate(0, 1, 0).Add(time.Hour))
		w.bill()
		w.done()
		require.Len(t, w.invoices(), 2)
		require.Equal(t, "paid", w.invoices()[0].Status)
		require.EqualValues(t, 2, w.charges()[0].Cents)
		w.sync()
		w.use(1000 + 5_000_000)
		w.Set(w.Now().AddDate(0, 1, 0))
		w.bill()
		w.done()
		require.Len(t, w.charges(), 2)
	})
}

// The charge of a cycle is due after the next one has begun. News of the next one, in between, does not move it.
func TestANewCycleKeepsTheChargeOfTheOneBefore(t *testing.T) {
	each(t, plans.Year, func(t *testing.T, w *world) {
		start := w.Now()
		for month := 1; month <= 3; month++ {
			w.use(1000 + 25_000_000)
			w.Set(start.AddDate(0, month, 0).Add(time.Second))
			w.sync()
			w.bill()
			require.Len(t, w.charges(), month-1, "calls that run may still settle")
			w.Add(15 * time.Minute)
			w.bill()
			require.Len(t, w.charges(), month)
			w.done()
		}
	})
	each(t, plans.Month, func(t *testing.T, w *world) {
		for i := range 5 {
			w.use(1000 + 10_000_000)
			w.cancel()
			w.Add(10 * time.Minute)
			w.buy()
			w.bill()
			require.Len(t, w.charges(), i)
			w.Add(5 * time.Minute)
			w.bill()
			require.Len(t, w.charges(), i+1, "the end is charged also when the plan is bought again")
			w.done()
			w.Add(25 * time.Hour)
		}
	})
}

// A charge that is tried again is not put off by the next period.
func TestAChargeThatIsTriedAgainIsNotPutOff(t *testing.T) {
	each(t, plans.Month, func(t *testing.T, w *world) {
		w.use(1000 + 10_000_000)
		w.cancel()
		w.Add(15 * time.Minute)
		book := w.biller.Ledger
		w.biller.Ledger = &refusing{tried: map[string]int{}}
		require.Error(t, w.biller.Run(t.Context(), func(context.Context) error { return nil }))
		w.biller.Ledger = book
		w.buy()
		w.Add(59 * time.Minute)
		w.bill()
		require.Empty(t, w.charges())
		w.Add(time.Minute)
		w.bill()
		w.done()
		require.Len(t, w.charges(), 1)
	})
}

// A subscription that ends is charged for what is open, also for what settles later.
// tuist/tuist#11903 never billed the last day of a canceled subscription.
func TestTheEndChargesWhatIsOpen(t *testing.T) {
	for name, end := range map[string]func(w *world){
		"at once": func(w *world) { w.ask(http.MethodDelete, "/v1/subscriptions/"+w.sub, "") },
		"at the end of the period": func(w *world) {
			w.ask(http.MethodPost, "/v1/subscriptions/"+w.sub, "cancel_at_period_end=true")
			w.sync()
			w.Add(31 * 24 * time.Hour)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, databasetest.SQLite(t, store.Migrations()), plans.Month)
			w.use(1000 + 30_000_000)
			w.requests++
			late, err := w.ledger.Reserve(t.Context(), ledger.Reservation{RequestID: "late", AccountID: account, Model: "embed", InputTokens: 20_000_000})
			require.NoError(t, err)
			w.Add(time.Second)
			end(w)
			w.sync()
			_, err = w.ledger.Settle(t.Context(), ledger.Settlement{HoldID: late.ID, Usage: ledger.Usage{Input: 20_000_000}, Outcome: ledger.OutcomeCompleted})
			require.NoError(t, err)
			for range 10 {
				w.Add(24 * time.Hour)
				w.bill()
				w.check()
			}
			w.done()
			total := int64(0)
			for _, c := range w.charges() {
				total += c.Cents
			}
			require.EqualValues(t, 5, total)
		})
	}
}

// Whatever a call comes to, at any step, the charge is at Stripe once.
func TestEachFailureAtEachCall(t *testing.T) {
	for _, how := range []string{"lost", "down", "500", "429", "401"} {
		for step := range 6 {
			w := newWorld(t, databasetest.SQLite(t, store.Migrations()), plans.Year)
			w.use(1000 + 70_000_000)
			w.Set(w.Now().AddDate(0, 1, 0).Add(time.Hour))
			n := 0
			w.fail = func(*http.Request) string {
				if n++; n == step+1 {
					return how
				}
				return ""
			}
			for range 5 {
				w.bill()
				w.check()
				w.Add(time.Minute)
			}
			w.fail = nil
			w.done()
			require.Len(t, w.charges(), 1, "%s at call %d", how, step)
			require.Len(t, w.invoices(), 2, "%s at call %d", how, step)
		}
	}
}

// A charge that Stripe refuses closes the overage of its account. It is sent again each day, and once it is taken the overage is open again.
func TestARefusedChargeClosesOverage(t *testing.T) {
	for step := range 5 {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			w := newWorld(t, databasetest.SQLite(t, store.Migrations()), plans.Year)
			w.use(1000 + 70_000_000)
			w.Set(w.Now().AddDate(0, 1, 0).Add(time.Hour))
			n := 0
			w.fail = func(*http.Request) string {
				if n++; n > step {
					return "400"
				}
				return ""
			}
			w.bill()
			require.Equal(t, overage.StateRefused, w.charges()[0].State)
			require.NotEmpty(t, w.charges()[0].Problem)
			require.False(t, w.open())
			require.Len(t, w.told(), 1)
			require.Equal(t, w.charges()[0].Cents*plans.Cent, w.told()[0].Data.Amount)
			require.Equal(t, w.charges()[0].ID, w.told()[0].Data.ObjectID)
			w.Add(23 * time.Hour)
			calls := w.calls
			w.bill()
			require.Equal(t, calls, w.calls)
			w.sync()
			require.False(t, w.open(), "news of the subscription does not open it")
			w.fail = nil
			w.Add(time.Hour)
			w.bill()
			w.done()
			require.Empty(t, w.charges()[0].Problem)
			require.True(t, w.open())
			require.Len(t, w.told(), 1)
			require.Len(t, w.invoices(), 2)
		})
	}
}

// A refused charge begins anew when its draft is gone, or when the account has another customer.
func TestARefusedChargeBeginsAnew(t *testing.T) {
	for name, happens := range map[string]func(w *world, db *database.DB){
		"the draft is deleted": func(w *world, _ *database.DB) {
			w.ask(http.MethodDelete, "/v1/invoices/"+w.charges()[0].InvoiceID, "")
		},
		"another customer": func(w *world, db *database.DB) {
			w.ask(http.MethodDelete, "/v1/customers/"+w.customer, "")
			require.NoError(w.t, db.Write(w.t.Context(), "", func(ctx context.Context, tx database.Tx) error {
				return w.store.DropCustomer(ctx, tx, w.customer)
			}))
			w.customer = w.post("/v1/customers", "")
			_, err := w.store.BeginCustomer(w.t.Context(), customers.Begin{AccountID: account, Time: w.Now()})
			require.NoError(w.t, err)
			require.NoError(w.t, w.store.SaveCustomer(w.t.Context(), account, w.customer))
			method := w.post("/v1/payment_methods/pm_card_visa/attach", "customer="+w.customer)
			w.post("/v1/customers/"+w.customer, "invoice_settings[default_payment_method]="+method)
		},
	} {
		for _, step := range []string{"draft", "item", "finalize"} {
			if name == "the draft is deleted" && step == "draft" {
				continue
			}
			t.Run(name+", "+step, func(t *testing.T) {
				db := databasetest.SQLite(t, store.Migrations())
				w := newWorld(t, db, plans.Year)
				w.use(1000 + 70_000_000)
				w.Set(w.Now().AddDate(0, 1, 0).Add(time.Hour))
				w.fail = func(r *http.Request) string {
					path := map[string]string{"draft": "/v1/invoices", "item": "/v1/invoiceitems", "finalize": "/v1/invoices/" + w.charges()[0].InvoiceID + "/finalize"}[step]
					if r.Method == http.MethodPost && r.URL.Path == path {
						return "400"
					}
					return ""
				}
				w.bill()
				require.Equal(t, overage.StateRefused, w.charges()[0].State)
				happens(w, db)
				w.fail = nil
				for range 3 {
					w.Add(25 * time.Hour)
					w.bill()
				}
				c := w.charges()[0]
				require.Equal(t, overage.StateInvoiced, c.State, c.Problem)
				require.Equal(t, w.customer, c.CustomerID)
				var inv struct {
					Status   string
					Customer string
				}
				require.NoError(t, json.Unmarshal(w.ask(http.MethodGet, "/v1/invoices/"+c.InvoiceID, ""), &inv))
				require.Equal(t, w.customer, inv.Customer)
				require.NotEqual(t, "draft", inv.Status)
			})
		}
	}
}

// A draft that an operator deletes says nothing against its charge: another one is made at the next attempt, and overage stays open.
func TestADeletedDraftIsMadeAgain(t *testing.T) {
	for _, step := range []string{"/v1/invoiceitems", "/finalize"} {
		t.Run(step, func(t *testing.T) {
			w := newWorld(t, databasetest.SQLite(t, store.Migrations()), plans.Year)
			w.use(1000 + 70_000_000)
			w.Set(w.Now().AddDate(0, 1, 0).Add(time.Hour))
			w.fail = func(r *http.Request) string {
				if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, step) {
					return "down"
				}
				return ""
			}
			w.bill()
			first := w.charges()[0].InvoiceID
			require.NotEmpty(t, first)
			w.ask(http.MethodDelete, "/v1/invoices/"+first, "")
			w.fail = nil
			w.Add(time.Minute)
			w.bill()
			require.True(t, w.open())
			w.done()
			require.NotEqual(t, first, w.charges()[0].InvoiceID)
			require.Len(t, w.invoices(), 2)
		})
	}
}

// A draft whose answer was lost, and that an operator has deleted, is made by a new key, also when its parameters have changed since.
func TestALostDraftIsDeleted(t *testing.T) {
	w := newWorld(t, databasetest.SQLite(t, store.Migrations()), plans.Year)
	w.use(1000 + 70_000_000)
	w.Set(w.Now().AddDate(0, 1, 0).Add(time.Hour))
	w.fail = func(r *http.Request) string {
		if r.Method == http.MethodPost && r.URL.Path == "/v1/invoices" {
			return "lost"
		}
		return ""
	}
	w.bill()
	w.fail = nil
	w.ask(http.MethodDelete, "/v1/invoices/"+w.invoices()[0].ID, "")
	card := w.post("/v1/payment_methods/pm_card_mastercard/attach", "customer="+w.customer)
	w.post("/v1/subscriptions/"+w.sub, "default_payment_method="+card)
	for range 3 {
		w.Add(10 * time.Minute)
		w.bill()
	}
	require.True(t, w.open())
	w.done()
}

// A call that the bank has declined, or that failed, is repeated by Stripe for its key. The next attempt has another key.
func TestADeclinedCallGetsAnotherKey(t *testing.T) {
	for _, path := range []string{"/v1/invoices", "/v1/invoiceitems"} {
		w := newWorld(t, databasetest.SQLite(t, store.Migrations()), plans.Year)
		w.use(1000 + 70_000_000)
		w.Set(w.Now().AddDate(0, 1, 0).Add(time.Hour))
		w.fail = func(r *http.Request) string {
			if r.Method == http.MethodPost && r.URL.Path == path {
				return "402"
			}
			return ""
		}
		w.bill()
		require.Equal(t, overage.StateRefused, w.charges()[0].State)
		w.fail = nil
		w.Add(25 * time.Hour)
		w.bill()
		w.done()
	}
}

// The lease is kept before each call at Stripe, and nothing is called without it.
func TestEachCallKeepsTheLease(t *testing.T) {
	lost := errors.New("the lease is lost")
	for n := range 8 {
		w := newWorld(t, databasetest.SQLite(t, store.Migrations()), plans.Year)
		w.use(1000 + 70_000_000)
		w.Set(w.Now().AddDate(0, 1, 0).Add(time.Hour))
		kept, before := 0, w.calls
		err := w.biller.Run(t.Context(), func(context.Context) error {
			if kept++; kept > n {
				return lost
			}
			return nil
		})
		if err == nil {
			require.Equal(t, 5, n, "the charge, the attempt, the draft, the item, and that it is final")
			return
		}
		require.ErrorIs(t, err, lost)
		require.Equal(t, []int{0, 0, 0, 2, 3}[n], w.calls-before, "%d times kept; a draft takes two calls", n)
		w.Add(time.Hour)
		w.bill()
		w.done()
	}
	require.Fail(t, "it never ends")
}

// A card that was removed since does not keep a charge from the customer's default card.
func TestADetachedCard(t *testing.T) {
	w := newWorld(t, databasetest.SQLite(t, store.Migrations()), plans.Year)
	w.use(1000 + 70_000_000)
	w.Set(w.Now().AddDate(0, 1, 0).Add(time.Hour))
	method := w.post("/v1/payment_methods/pm_card_visa/attach", "customer="+w.customer)
	w.post("/v1/customers/"+w.customer, "invoice_settings[default_payment_method]="+method)
	refused := 0
	w.fail = func(r *http.Request) string {
		form, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		if r.Method == http.MethodPost && r.URL.Path == "/v1/invoices" && strings.Contains(string(form), "default_payment_method=") {
			refused++
			return "default_payment_method"
		}
		return ""
	}
	w.bill()
	w.done()
	require.Equal(t, 1, refused)
}

// forgetful is a ledger that fails the first time that it is to follow a charge, as when the process dies.
type forgetful struct {
	*ledger.Ledger
	failed bool
}

func (l *forgetful) FollowOverage(ctx context.Context, accountID string) error {
	if !l.failed {
		l.failed = true
		return errors.New("the process dies")
	}
	return l.Ledger.FollowOverage(ctx, accountID)
}

// Overage closes also when the process dies right after it has noted a refusal.
func TestARefusalIsFollowedLater(t *testing.T) {
	w := newWorld(t, databasetest.SQLite(t, store.Migrations()), plans.Year)
	w.biller.Ledger = &forgetful{Ledger: w.ledger}
	w.use(1000 + 70_000_000)
	w.Set(w.Now().AddDate(0, 1, 0).Add(time.Hour))
	w.fail = func(*http.Request) string { return "400" }
	require.ErrorContains(t, w.biller.Run(t.Context(), func(context.Context) error { return nil }), "the process dies")
	require.True(t, w.open())
	w.Add(25 * time.Hour)
	w.bill()
	require.False(t, w.open())
	require.Len(t, w.told(), 1)
}

// told lists the notices of refused charges.
func (w *world) told() []notices.Notice {
	w.t.Helper()
	all, err := w.store.Notices(w.t.Context(), w.charges()[0].AccountID, notices.OverageRefused, "", 10)
	require.NoError(w.t, err)
	return all
}

// An answer that says nothing about the charge does not refuse it.
func TestOnlyAnAnswerAboutTheChargeRefusesIt(t *testing.T) {
	for how, want := range map[string]overage.State{
		"400": overage.StateRefused, "402": overage.StateRefused, "404": overage.StateRefused,
		"401": overage.StateNew, "403": overage.StateNew, "429": overage.StateNew, "500": overage.StateNew, "503": overage.StateNew,
		"idempotency_error": overage.StateNew,
	} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t, databasetest.SQLite(t, store.Migrations()), plans.Year)
			w.use(1000 + 70_000_000)
			w.Set(w.Now().AddDate(0, 1, 0).Add(time.Hour))
			w.fail = func(*http.Request) string { return how }
			w.bill()
			require.Equal(t, want, w.charges()[0].State)
			require.Equal(t, want == overage.StateNew, w.open())
		})
	}
}

// open tells whether new calls may use overage.
func (w *world) open() bool {
	w.t.Helper()
	a, err := w.ledger.Account(w.t.Context(), account, "")
	require.NoError(w.t, err)
	return a.Overage.CloseTime.Equal(ledger.Never)
}

// refusing is a ledger that cannot charge some accounts.
type refusing struct {
	tried map[string]int
}

func (l *refusing) FollowOverage(context.Context, string) error { return nil }

func (l *refusing) ChargeOverage(_ context.Context, accountID string) (bool, error) {
	l.tried[accountID]++
	if accountID == "org_last" {
		return true, nil
	}
	return false, errors.New("its subscription cannot be read")
}

// Accounts that cannot be charged keep no other from its turn, and are tried again later.
func TestAFailedChargeWaits(t *testing.T) {
	db := databasetest.SQLite(t, store.Migrations())
	w := newWorld(t, db, plans.Month)
	require.NoError(t, db.Write(t.Context(), "test", func(ctx context.Context, tx database.Tx) error {
		for i := range 150 {
			if _, err := tx.ExecContext(ctx, "INSERT INTO overage_billing (account_id, subscription_id, plan, cycle, due_time) VALUES ($1, '', '', 'end:1', 1)", fmt.Sprintf("org_%03d", i)); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO overage_billing (account_id, subscription_id, plan, cycle, due_time) VALUES ('org_last', '', '', 'end:1', 2)")
		return err
	}))
	book := &refusing{tried: map[string]int{}}
	w.biller.Ledger = book
	for range 3 {
		_ = w.biller.Run(t.Context(), func(context.Context) error { return nil }) // its error tells of the accounts
	}
	require.Len(t, book.tried, 151)
	require.Equal(t, 1, book.tried["org_000"])
	w.Add(2 * time.Hour)
	require.ErrorContains(t, w.biller.Run(t.Context(), func(context.Context) error { return nil }), "org_000")
	require.Equal(t, 2, book.tried["org_000"])
}

// A history of months with outages of 1, 26 and 60 hours, across the ends of hours and periods, and with corrections of calls, some of them after the charge:
// no charge is ahead of the ledger when it is made, no invoice has a cent that no charge has, and in the end each cent of overage is on one invoice.
// TRIVET_FAULTS=1 runs 1,000 of them.
// getlago/lago#4639, getlago/lago#4641 and getlago/lago#4642 lost cents between the wallet and the invoice.
func TestOutages(t *testing.T) {
	seeds := 8
	if os.Getenv("TRIVET_FAULTS") != "" {
		seeds = 1000
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 7))
			w := newWorld(t, databasetest.SQLite(t, store.Migrations()), []plans.Interval{plans.Month, plans.Month, plans.Year}[r.IntN(3)])
			w.history(r)
		})
	}
}

func (w *world) history(r *rand.Rand) {
	w.t.Helper()
	start := w.Now()
	w.use(1000)
	var upTo time.Time
	w.fail = func(*http.Request) string {
		if w.Now().Before(upTo) {
			return []string{"lost", "down", "500", "429", "lost", "down"}[r.IntN(6)]
		}
		return ""
	}
	canceled, missed := false, false
	for w.Now().Before(start.AddDate(0, 0, 66)) {
		w.Add([]time.Duration{time.Hour, 50 * time.Minute, 5 * time.Hour, 11 * time.Hour}[r.IntN(4)])
		near := w.Now().AddDate(0, 0, 1).Day() == start.Day() || w.Now().Day() == start.Day() // outages around the end of a period
		if !w.Now().Before(upTo) && (r.IntN(40) == 0 || near && r.IntN(3) == 0) {
			upTo = w.Now().Add([]time.Duration{time.Hour, 26 * time.Hour, 60 * time.Hour}[r.IntN(3)])
		}
		if n, err := w.fake.Advance(); !w.Now().Before(upTo) && (n > 0 || missed) {
			require.NoError(w.t, err)
			w.sync()
			missed = false
		} else {
			missed = missed || n > 0
		}
		a, err := w.ledger.Account(w.t.Context(), account, "")
		require.NoError(w.t, err)
		if r.IntN(2) == 0 && a.Overage.CloseTime.Equal(ledger.Never) {
			w.call(r)
		}
		if len(w.swept) > 0 && r.IntN(30) == 0 {
			w.correct(r)
		}
		if !canceled && !w.Now().Before(upTo) && r.IntN(300) == 0 {
			canceled = true
			w.ask(http.MethodDelete, "/v1/subscriptions/"+w.sub, "")
			w.sync()
		}
		w.charge()
	}
	upTo = time.Time{}
	if !canceled {
		w.ask(http.MethodDelete, "/v1/subscriptions/"+w.sub, "")
	}
	for range 8 {
		w.Add(25 * time.Hour)
		w.sync()
		w.charge()
	}
	w.done()
}

// charge makes and sends what is due. A charge has the whole cents that no earlier one has, so that it is never ahead of the ledger when it is made.
func (w *world) charge() {
	w.t.Helper()
	before, calls := w.charged(), w.calls
	w.bill()
	if after := w.charged(); after > before {
		require.Equal(w.t, w.total()/plans.Cent*plans.Cent, after)
	}
	if w.calls > calls {
		w.check()
	}
}

// correct settles a call that the sweeper has charged, often after its overage is on an invoice: to less, to nothing or to more.
func (w *world) correct(r *rand.Rand) {
	w.t.Helper()
	h := w.swept[0]
	w.swept = w.swept[1:]
	used := []int64{0, r.Int64N(h.Amount + 1), r.Int64N(h.Amount + 1), h.Amount + r.Int64N(1_000_000)}[r.IntN(4)]
	w.settle(h, used)
}

// settle settles a call that the sweeper has charged.
func (w *world) settle(h ledger.Hold, used int64) {
	w.t.Helper()
	before := w.total()
	_, err := w.ledger.Settle(w.t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: used}, Outcome: ledger.OutcomeCompleted})
	require.NoError(w.t, err)
	w.corrected += max(before-w.total(), 0)
}

// lose makes a call whose process dies, and which the sweeper charges.
func (w *world) lose(amount int64) ledger.Hold {
	w.t.Helper()
	w.requests++
	h, err := w.ledger.Reserve(w.t.Context(), ledger.Reservation{RequestID: fmt.Sprint(w.requests), AccountID: account, Model: "embed", InputTokens: amount})
	require.NoError(w.t, err)
	_, err = w.ledger.Checkpoint(w.t.Context(), h.ID, ledger.Usage{Input: amount}, 0)
	require.NoError(w.t, err)
	w.Add(2 * time.Minute)
	_, err = w.ledger.Sweep(w.t.Context())
	require.NoError(w.t, err)
	return h
}

// A call is corrected to less when its overage is on an invoice already. The next charges are lower by the difference, to the nano-dollar; what the sums show
// adds up to the ledger's overage all the time. When no charge follows, nothing is paid back.
func TestACorrectionToLessAfterTheCharge(t *testing.T) {
	const cent = int64(plans.Cent)
	each(t, plans.Year, func(t *testing.T, w *world) {
		month := func(n int) {
			t.Helper()
			w.Set(time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC).AddDate(0, n, 0).Add(time.Hour))
			w.sync()
			w.charge()
		}
		requireSums := func(total, charged int64, invoices int) {
			t.Helper()
			require.Equal(t, []int64{total, charged}, []int64{w.total(), w.charged()}, "all overage, and what is charged of it")
			sums, err := w.store.OverageSums(t.Context(), account)
			require.NoError(t, err)
			require.Equal(t, charged, sums[overage.StateInvoiced])
			require.Len(t, w.invoices(), 1+invoices, "the year's, and one for each charge")
			w.check()
		}
		h := w.lose(1000 + 25*cent + 300)
		month(1)
		requireSums(25*cent+300, 25*cent, 1)
		w.settle(h, 1000+10*cent+100)
		requireSums(10*cent+100, 25*cent, 1)

		w.use(1000 + 12*cent)
		month(2)
		requireSums(22*cent+100, 25*cent, 1)
		w.use(1000 + 8*cent - 50)
		month(3)
		requireSums(30*cent+50, 30*cent, 2)
		require.EqualValues(t, 5, w.charges()[0].Cents)
		w.done()

		last := w.lose(1000 + 4*cent)
		month(4)
		requireSums(34*cent+50, 34*cent, 3)
		w.settle(last, 0)
		w.cancel()
		for range 3 {
			w.Add(25 * time.Hour)
			w.charge()
		}
		requireSums(30*cent+50, 34*cent, 3)
		w.done()
	})
}

// call uses something, mostly in one go. The sweeper charges some calls, which are settled later: at once to more, or by correct.
func (w *world) call(r *rand.Rand) {
	w.t.Helper()
	amount := r.Int64N(40_000_000) + 1
	if r.IntN(5) > 0 {
		w.use(amount)
		return
	}
	h := w.lose(amount)
	w.charge()
	if r.IntN(2) == 0 {
		w.settle(h, amount+r.Int64N(1_000_000))
		return
	}
	w.swept = append(w.swept, h)
}
