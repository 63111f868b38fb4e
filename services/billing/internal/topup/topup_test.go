package topup_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/settings"
	fake "github.com/trivet-dev/trivet/sandbox/stripe"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
	"github.com/trivet-dev/trivet/services/billing/internal/customers"
	"github.com/trivet-dev/trivet/services/billing/internal/follow"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
	"github.com/trivet-dev/trivet/services/billing/internal/stripe"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
	"github.com/trivet-dev/trivet/services/billing/internal/topup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	account = "org_1"
	dollar  = int64(1_000_000_000)
	file    = `
plans:
  - {id: free, name: Free, price: "0.00", included_credit: "10.00", auto_top_up: {max_threshold: "50.00", monthly_cap: "60.00"}}
  - {id: plain, name: Plain, price: "0.00", included_credit: "1.00"}
packs:
  - {id: credit_20, name: $20 of credit, price: "20.00", credit: "21.00", expire_months: 6}
  - {id: credit_40, name: $40 of credit, price: "40.00", credit: "42.00", expire_months: 6}
`
)

// world is an account whose balance falls, at a fake Stripe that can fail.
type world struct {
	*billingtest.Clock
	t      testing.TB
	fake   *fake.Fake
	store  *store.Store
	ledger *ledger.Ledger
	mirror *mirror.Mirror
	buyer  *topup.Buyer
	// fail decides what happens to a request of the buyer: "" for nothing.
	fail     func(r *http.Request) string
	failing  sync.Mutex
	calls    []string
	customer string
	price    string
	larger   string // price of the larger pack
	requests int
}

// newWorld makes an account with a card. The ledger must be sound when the test ends.
func newWorld(t testing.TB, db *database.DB) *world {
	t.Helper()
	w := &world{t: t, Clock: billingtest.NewClock(time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC))}
	var err error
	w.fake, err = fake.New(fake.Config{Now: w.Now, PublicURL: "http://stripe.test"})
	require.NoError(t, err)
	front := httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(front.Close)
	w.price = w.post("/v1/prices", "currency=usd&unit_amount=2000&product_data[name]=Credit")
	w.larger = w.post("/v1/prices", "currency=usd&unit_amount=4000&product_data[name]=Credit")
	w.customer = w.post("/v1/customers", "")
	w.begin(t, db, front.URL)
	t.Cleanup(w.sound)
	_, err = w.store.BeginCustomer(t.Context(), customers.Begin{AccountID: account, Time: w.Now()})
	require.NoError(t, err)
	require.NoError(t, w.store.SaveCustomer(t.Context(), account, w.customer))
	w.card("pm_card_visa")
	_, err = w.ledger.Account(t.Context(), account, "")
	require.NoError(t, err)
	return w
}

// begin makes the parts of one process.
func (w *world) begin(t testing.TB, db *database.DB, address string) {
	t.Helper()
	client := stripe.New(stripe.Config{
		Key: settings.NewSecret("sk_test_1"), URL: address, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		Logger: slog.New(slog.DiscardHandler), ReadsPerSecond: 10_000,
	})
	list, err := models.Parse([]byte(`models: {embed: {kind: embedding, provider: test, context_tokens: 2147483647, input: "1000"}}`))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "plans.yaml")
	require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
	catalog, err := plans.Load(path, "free", nil)
	require.NoError(t, err)
	applied := []plans.Offer{
		{Pack: &catalog.Packs()[0], Prices: map[plans.Interval]string{plans.Once: w.price}, Current: true},
		{Pack: &catalog.Packs()[1], Prices: map[plans.Interval]string{plans.Once: w.larger}, Current: true},
	}
	catalog.Set(applied)
	w.store = store.New(db)
	logger := slog.New(slog.DiscardHandler)
	w.ledger = ledger.New(ledger.Options{Store: w.store, Prices: list, Plans: catalog, Now: w.Now, Logger: logger, Lease: time.Minute})
	w.mirror = mirror.New(mirror.Options{
		Store: w.store, Source: client, Now: w.Now, Applied: func(context.Context, string, string) {}, Written: (&follow.Follower{Store: w.store, Ledger: w.ledger}).Written,
	})
	turns := checkout.New(checkout.Options{Database: db, Now: w.Now, Alone: db.Dialect() == database.SQLite})
	w.buyer = topup.New(topup.Options{
		Store: w.store, Ledger: w.ledger, Provider: client, Mirror: w.mirror, Catalog: catalog, Turn: turns.Turn, Now: w.Now, Logger: logger,
	})
}

// serve is Stripe as the buyer reaches it.
func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	w.failing.Lock()
	w.calls = append(w.calls, r.Method+" "+r.URL.Path)
	how := ""
	if w.fail != nil {
		how = w.fail(r)
	}
	w.failing.Unlock()
	switch how {
	case "lost": // done, but the answer is lost
		w.fake.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
		panic(http.ErrAbortHandler)
	case "down":
		panic(http.ErrAbortHandler)
	case "":
		w.fake.ServeHTTP(rw, r)
	default:
		status, kind := http.StatusBadRequest, how
		if n, err := strconv.Atoi(how); err == nil {
			status, kind = n, "api_error"
		}
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(status)
		_, _ = fmt.Fprintf(rw, `{"error": {"type": %q, "message": "no"}}`, kind)
	}
}

func (w *world) ask(method, path, form string) []byte {
	w.t.Helper()
	request := httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader(form))
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

// card makes a test card the customer's default.
func (w *world) card(name string) {
	w.t.Helper()
	w.post("/v1/customers/"+w.customer, "invoice_settings[default_payment_method]="+w.attach(name))
}

// attach gives the customer a test card.
func (w *world) attach(name string) string {
	w.t.Helper()
	method := w.post("/v1/payment_methods/"+name+"/attach", "customer="+w.customer)
	_, err := w.mirror.Sync(context.Background(), mirror.PaymentMethod, method)
	require.NoError(w.t, err)
	return method
}

// detach removes all cards of the customer.
func (w *world) detach() {
	w.t.Helper()
	var list struct{ Data []struct{ ID string } }
	require.NoError(w.t, json.Unmarshal(w.ask(http.MethodGet, "/v1/customers/"+w.customer+"/payment_methods?limit=100", ""), &list))
	for _, method := range list.Data {
		w.post("/v1/payment_methods/"+method.ID+"/detach", "")
	}
}

type invoice struct {
	ID, Status    string
	PaymentIntent string `json:"payment_intent"`
	Charge        string
	Total         int64
	Attempts      int64 `json:"attempt_count"`
}

func (w *world) invoices() []invoice {
	w.t.Helper()
	var list struct{ Data []invoice }
	require.NoError(w.t, json.Unmarshal(w.ask(http.MethodGet, "/v1/invoices?limit=100", ""), &list))
	return list.Data
}

func (w *world) statuses() (all []string) {
	w.t.Helper()
	for _, inv := range w.invoices() {
		all = append(all, inv.Status)
	}
	return all
}

// use has the account use that many dollars.
func (w *world) use(dollars int64) {
	w.t.Helper()
	w.requests++
	h, err := w.ledger.Reserve(context.Background(), ledger.Reservation{RequestID: strconv.Itoa(w.requests), AccountID: account, Model: "embed", InputTokens: dollars * 1000})
	require.NoError(w.t, err)
	_, err = w.ledger.Settle(context.Background(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: dollars * 1000}, Outcome: ledger.OutcomeCompleted})
	require.NoError(w.t, err)
}

// low has the account use all but $5.
func (w *world) low() {
	w.t.Helper()
	w.use(w.balance() - 5)
}

func (w *world) balance() int64 {
	w.t.Helper()
	a, err := w.ledger.Account(context.Background(), account, "")
	require.NoError(w.t, err)
	return a.Balance / dollar
}

// set turns the top-up on, at $5 and below, for at most $60 a month.
func (w *world) set() {
	w.t.Helper()
	s := topup.Setting{AccountID: account, PackID: "credit_20", Threshold: 5 * dollar, MonthlyCap: 60 * dollar, State: topup.On}
	require.NoError(w.t, w.buyer.Set(context.Background(), s))
}

func (w *world) run() error {
	return w.buyer.Run(context.Background(), func(context.Context) error { return nil })
}

func (w *world) buy() {
	w.t.Helper()
	require.NoError(w.t, w.run())
}

func (w *world) shown() topup.Shown {
	w.t.Helper()
	shown, err := w.buyer.Get(context.Background(), account)
	require.NoError(w.t, err)
	return shown
}

// told lists the account's notices of top-ups, the oldest first, with their problems.
func (w *world) told() (all []string) {
	w.t.Helper()
	found, err := w.store.Notices(context.Background(), account, "", "", 100)
	require.NoError(w.t, err)
	slices.SortStableFunc(found, func(a, b notices.Notice) int { return a.CreateTime.Compare(b.CreateTime) })
	for _, n := range found {
		if kind, is := strings.CutPrefix(string(n.Kind), "top_up_"); is {
			all = append(all, strings.TrimSpace(kind+" "+n.Data.Problem))
		}
	}
	return all
}

// check compares Stripe with the ledger: each paid invoice has one grant, and there are no others.
func (w *world) check() {
	w.t.Helper()
	grants, err := w.store.Grants(context.Background(), account)
	require.NoError(w.t, err)
	given := map[string]int64{}
	for _, g := range grants {
		if id, is := strings.CutPrefix(g.Source, "topup:"); is {
			given[id] = g.Amount
		}
	}
	for _, inv := range w.invoices() {
		if inv.Status == "paid" {
			require.Equal(w.t, 21*dollar, given[inv.ID])
			require.EqualValues(w.t, 2000, inv.Total)
			delete(given, inv.ID)
		}
	}
	require.Empty(w.t, given, "a grant without a payment")
	w.sound()
}

// sound does what `trivet ledger verify` does.
func (w *world) sound() {
	w.t.Helper()
	found, err := w.ledger.Audit(context.Background())
	require.NoError(w.t, err)
	require.Empty(w.t, found)
}

func each(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	databasetest.EachOf(t, billingtest.Migrations(), func(t *testing.T, db *database.DB) { test(t, newWorld(t, db)) })
}

func TestAPackIsBoughtWhenTheBalanceFallsToTheThreshold(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set()
		w.use(4)
		w.buy()
		require.Empty(t, w.invoices(), "the balance is above the threshold")
		w.use(1)
		w.buy()
		require.EqualValues(t, 26, w.balance())
		require.Equal(t, []string{"paid"}, w.statuses())
		shown := w.shown()
		require.Equal(t, 20*dollar, shown.Spent)
		require.Equal(t, []string{"succeeded"}, w.told())
		require.Len(t, shown.Charges, 1)
		require.Equal(t, topup.Paid, shown.Charges[0].State)
		grants, err := w.store.Grants(t.Context(), account)
		require.NoError(t, err)
		require.Equal(t, w.Now().AddDate(0, 6, 0), grants[len(grants)-1].ExpireTime)
		w.use(24)
		w.Add(59 * time.Minute)
		w.buy()
		require.Len(t, w.invoices(), 1, "at most one an hour")
		w.Add(time.Minute)
		w.buy()
		require.EqualValues(t, 23, w.balance())
		w.check()
	})
}

// A call that fails, or whose outcome is unknown, leads to one payment in the end, whichever call it is.
func TestEveryCallMayFail(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set()
		w.use(5)
		w.calls = nil
		w.buy()
		count := len(w.calls)
		require.GreaterOrEqual(t, count, 8)
		bought := 1
		for _, how := range []string{"lost", "down", "500", "429", "idempotency_error"} {
			for n := range count {
				w.Set(w.Now().AddDate(0, 1, 0))
				at := 0
				w.fail = func(*http.Request) string {
					if at++; at == n+1 {
						return how
					}
					return ""
				}
				w.low()
				for range 6 {
					_ = w.run() // it is retried
					w.Add(2 * time.Minute)
				}
				w.fail = nil
				bought++
				paid := 0
				for _, status := range w.statuses() {
					require.Contains(t, []string{"paid", "void"}, status, "%s at call %d", how, n)
					if status == "paid" {
						paid++
					}
				}
				require.Equal(t, bought, paid, "%s at call %d: %s", how, n, w.calls)
				w.check()
			}
		}
	})
}

// A declined card is tried once an hour and three times in all. recuraapp/openstory#1334 tried one 20 times in eight minutes.
func TestDeclines(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.card("pm_card_chargeCustomerFail")
		w.set()
		w.low()
		for hour := range int64(5) {
			for range 3 {
				w.buy()
				w.Add(20 * time.Minute)
			}
			require.Len(t, w.invoices(), int(min(hour+1, 3)))
		}
		for _, inv := range w.invoices() {
			require.Equal(t, "void", inv.Status)
			require.EqualValues(t, 1, inv.Attempts)
		}
		shown := w.shown()
		require.Equal(t, topup.Declined, shown.State)
		require.Zero(t, shown.Spent, "what was not paid does not count")
		require.Equal(t, "Your card was declined.", shown.Charges[0].Problem)
		failed := "failed Your card was declined."
		require.ElementsMatch(t, []string{failed, failed, failed, "disabled declined"}, w.told())
		w.card("pm_card_visa")
		w.buy()
		require.Len(t, w.invoices(), 3, "it stays off until it is set again")
		w.set()
		w.buy()
		require.Equal(t, topup.On, w.shown().State)
		require.EqualValues(t, 26, w.balance())
		w.check()
	})
}

// A payment that succeeds forgives the declines before it.
func TestAPaymentForgivesDeclines(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set()
		for _, card := range []string{"pm_card_chargeCustomerFail", "pm_card_chargeCustomerFail", "pm_card_visa", "pm_card_chargeCustomerFail", "pm_card_chargeCustomerFail"} {
			w.card(card)
			w.low()
			w.buy()
			w.Add(time.Hour)
		}
		require.Equal(t, topup.On, w.shown().State)
		require.EqualValues(t, 2, w.shown().Declines)
		w.check()
	})
}

// A bank that asks the payer turns it off at once, and leaves no payment to wait. akash-network/console#3809 left one each hour.
func TestABankThatAsks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.card("pm_card_authenticationRequired")
		w.set()
		w.low()
		for range 4 {
			w.buy()
			w.Add(time.Hour)
		}
		require.Equal(t, []string{"void"}, w.statuses())
		require.Equal(t, topup.Authentication, w.shown().State)
		told := w.told()
		require.Len(t, told, 2)
		require.Contains(t, told, "disabled authentication")
		require.Contains(t, strings.Join(told, ","), "authentication Your card was declined. This transaction requires authentication.")
		w.check()
	})
}

// A refusal that is not the card's fault is told, and counts as no decline. The top-up stays on, and nothing is tried for a day.
func TestARefusalThatIsNotTheCards(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set()
		w.low()
		w.fail = func(r *http.Request) string {
			if strings.HasSuffix(r.URL.Path, "/pay") {
				return "invalid_request_error"
			}
			return ""
		}
		for range 23 {
			w.buy()
			w.Add(time.Hour)
		}
		require.Equal(t, []string{"void"}, w.statuses())
		shown := w.shown()
		require.Equal(t, topup.On, shown.State)
		require.Zero(t, shown.Declines)
		require.Zero(t, shown.Spent)
		require.Equal(t, topup.Canceled, shown.Charges[0].State)
		require.Equal(t, "no", shown.Charges[0].Problem)
		require.Equal(t, []string{"failed no"}, w.told())
		w.fail = nil
		w.Add(time.Hour)
		w.buy()
		require.Equal(t, []string{"paid", "void"}, w.statuses())
		require.Equal(t, []string{"failed no", "succeeded"}, w.told())
		w.check()
	})
}

// A refusal that lasts is tried each day and told when it begins, and once a week from then on. One that comes after a purchase, or after the top-up was set up
// anew, is another.
func TestARefusalThatLasts(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set()
		w.low()
		refuse := func(r *http.Request) string {
			if strings.HasSuffix(r.URL.Path, "/pay") {
				return "invalid_request_error"
			}
			return ""
		}
		days := func(n int) {
			for range n {
				w.buy()
				w.Add(24 * time.Hour)
			}
		}
		w.fail = refuse
		days(7)
		require.Len(t, w.statuses(), 7, "it is tried each day")
		require.Equal(t, []string{"failed no"}, w.told())
		days(7)
		require.Equal(t, []string{"failed no", "failed no"}, w.told())
		w.set()
		days(7)
		require.Equal(t, []string{"failed no", "failed no", "failed no"}, w.told())
		w.fail = nil
		w.buy()
		require.Len(t, w.told(), 4)
		w.low()
		w.Add(time.Hour)
		w.fail = refuse
		days(7)
		require.Equal(t, []string{"failed no", "failed no", "failed no", "succeeded", "failed no"}, w.told())
		w.check()
	})
}

// Another problem is another refusal, and so is the same one after more than three days without it. One that lasts is told again after a week.
func TestAnotherRefusalIsTold(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set()
		w.low()
		end := func(problem string, days int) {
			n := len(w.shown().Charges)
			c := topup.Charge{
				ID: fmt.Sprint("topup_", n), AccountID: account, PackID: "pack", Price: "price_1", Cents: 2000, CreateTime: w.Now(), NextTime: w.Now(),
			}
			setting, err := w.store.TopUp(t.Context(), account)
			require.NoError(t, err)
			begun, err := w.store.BeginTopUp(t.Context(), setting, c, time.Hour, w.Now(), 1_000_000)
			require.NoError(t, err)
			require.True(t, begun)
			c.State, c.Problem = topup.Canceled, problem
			require.NoError(t, w.store.SaveTopUp(t.Context(), c, w.Now()))
			w.Add(time.Duration(days) * 24 * time.Hour)
		}
		for _, c := range []struct {
			problem string
			days    int
			want    int
		}{{"a", 1, 1}, {"a", 1, 1}, {"b", 1, 2}, {"b", 1, 2}, {"a", 3, 2}, {"a", 4, 3}, {"a", 1, 4}, {"a", 1, 4}, {"b", 1, 5}} {
			end(c.problem, c.days)
			require.Len(t, w.told(), c.want, "%+v", c)
		}
	})
}

// A refusal of any call is told once, whichever call it is, with what it is for. An invoice that cannot be voided yet may still be paid: that is told at its end.
func TestARefusalIsTold(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, call := range []string{"POST /v1/invoices", "POST /v1/invoiceitems", "/finalize", "/pay"} {
			w.set()
			w.low()
			before := len(w.told())
			voidable := false
			w.fail = func(r *http.Request) string {
				path := r.Method + " " + r.URL.Path
				if strings.HasSuffix(path, call) || !voidable && (r.Method == http.MethodDelete || strings.HasSuffix(path, "/void")) {
					return "invalid_request_error"
				}
				return ""
			}
			w.buy()
			w.Add(time.Minute)
			w.buy()
			if call != "POST /v1/invoices" {
				require.Len(t, w.told(), before, "%s: it may be paid", call)
			}
			voidable = true
			w.Add(time.Hour)
			w.buy()
			w.Add(time.Hour)
			w.buy()
			told := w.told()
			require.Len(t, told, before+1, call)
			require.Equal(t, "failed no", told[before], call)
			found, err := w.store.Notices(t.Context(), account, notices.TopUpFailed, "", 1)
			require.NoError(t, err)
			charge := w.shown().Charges[0]
			require.Equal(t, notices.Data{Time: found[0].CreateTime, Amount: 20 * dollar, InvoiceID: charge.InvoiceID, ObjectID: charge.ID, Problem: "no"}, found[0].Data)
			w.fail = nil
			w.Add(25 * time.Hour)
			require.NoError(t, w.grant(50))
			w.buy()
			require.Len(t, w.told(), before+1, call)
		}
		w.check()
	})
}

// A key without permissions and a Stripe that does not serve say nothing about the purchase: it waits, and no notice tells of them.
func TestOnlyARefusalOfThePurchaseIsTold(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set()
		w.low()
		for _, how := range []string{"401", "403", "429", "500", "down"} {
			w.fail = func(r *http.Request) string {
				if r.Method == http.MethodPost {
					return how
				}
				return ""
			}
			_ = w.run()
			w.Add(time.Hour)
			require.Empty(t, w.told(), how)
		}
		w.fail = nil
		w.buy()
		require.Equal(t, []string{"succeeded"}, w.told())
		w.check()
	})
}

// An account without a card is not asked for a payment again until the top-up is set again.
func TestAnAccountWithoutACard(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set()
		w.low()
		w.detach()
		for range 3 {
			w.buy()
			w.Add(time.Hour)
		}
		require.Equal(t, []string{"void"}, w.statuses())
		require.Equal(t, topup.NoCard, w.shown().State)
		require.ElementsMatch(t, []string{"failed the account has no payment method at Stripe", "disabled no_card"}, w.told())
		require.Equal(t, topup.Failed, w.shown().Charges[0].State)
		require.NotEmpty(t, w.shown().Charges[0].Problem)
		w.card("pm_card_visa")
		w.set()
		w.buy()
		require.Equal(t, topup.On, w.shown().State)
		require.EqualValues(t, 26, w.balance())
		w.check()
	})
}

// A customer without a default pays with the newest card.
func TestTheNewestCardPays(t *testing.T) {
	for newest, want := range map[string]string{"pm_card_visa": "paid", "pm_card_chargeCustomerFail": "void"} {
		each(t, func(t *testing.T, w *world) {
			w.set()
			w.low()
			w.detach()
			for _, card := range []string{"pm_card_chargeCustomerFail", "pm_card_visa", newest} {
				w.Add(time.Second)
				w.attach(card)
			}
			w.buy()
			require.Equal(t, []string{want}, w.statuses(), newest)
			w.check()
		})
	}
}

// A purchase whose pack was replaced in the setting is not paid. The other pack is bought instead.
func TestAPackThatIsReplacedDuringAPurchase(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, path := range []string{"/v1/invoices", "/v1/invoiceitems", "finalize", "pay"} {
			w.Set(w.Now().AddDate(0, 1, 0))
			w.set()
			w.low()
			w.fail = func(r *http.Request) string {
				if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, path) {
					return "down"
				}
				return ""
			}
			w.buy()
			w.fail = nil
			first := w.shown().Charges[0]
			other := topup.Setting{AccountID: account, PackID: "credit_40", Threshold: 5 * dollar, MonthlyCap: 60 * dollar, State: topup.On}
			require.NoError(t, w.buyer.Set(t.Context(), other))
			for range 3 {
				w.Add(time.Hour)
				w.buy()
			}
			charges := w.shown().Charges
			require.Equal(t, topup.Canceled, charges[1].State, path)
			require.Equal(t, first.ID, charges[1].ID, path)
			require.Equal(t, topup.Paid, charges[0].State, path)
			require.Equal(t, 40*dollar, w.shown().Spent, path)
			require.EqualValues(t, 47, w.balance(), path)
		}
	})
}

// A failure to write how far a purchase is gets reported, also when Stripe did not serve either.
func TestAPurchaseThatCannotBeSaved(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set()
		w.low()
		o := w.buyer.Options
		full := &fullStore{Store: w.store, err: errors.New("the disk is full")}
		o.Store = full
		w.fail = func(r *http.Request) string {
			full.full = r.Method == http.MethodPost
			if full.full {
				return "500"
			}
			return ""
		}
		err := topup.New(o).Run(t.Context(), func(context.Context) error { return nil })
		require.ErrorIs(t, err, full.err)
	})
}

// fullStore fails to save a purchase while it is full.
type fullStore struct {
	topup.Store
	full bool
	err  error
}

func (f *fullStore) SaveTopUp(ctx context.Context, c topup.Charge, now time.Time) error {
	if f.full {
		return f.err
	}
	return f.Store.SaveTopUp(ctx, c, now)
}

// The cap counts the packs of a calendar month.
func TestTheMonthlyCap(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set()
		for range 6 {
			w.low()
			w.buy()
			w.Add(time.Hour)
		}
		require.Len(t, w.invoices(), 3)
		require.Equal(t, 60*dollar, w.shown().Spent)
		w.Set(time.Date(2026, 11, 30, 23, 59, 0, 0, time.UTC))
		w.buy()
		require.Len(t, w.invoices(), 3)
		w.Set(time.Date(2026, 12, 1, 1, 0, 0, 0, time.UTC))
		w.buy()
		require.Len(t, w.invoices(), 4)
		w.Set(time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC)) // a replica whose clock is behind
		w.low()
		w.buy()
		require.Len(t, w.invoices(), 4)
		w.check()
	})
}

// Whatever runs at once buys once.
func TestConcurrentRuns(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set()
		w.low()
		replicas := []*topup.Buyer{w.buyer}
		for range 2 {
			replicas = append(replicas, topup.New(w.buyer.Options))
		}
		for range 3 {
			var running sync.WaitGroup
			for _, replica := range replicas {
				for range 3 {
					running.Go(func() { _ = replica.Run(context.Background(), func(context.Context) error { return nil }) })
				}
			}
			running.Wait()
			w.Add(time.Minute)
		}
		w.buy()
		require.Equal(t, []string{"paid"}, w.statuses())
		require.EqualValues(t, 26, w.balance())
		w.check()
	})
}

// One row decides, even where the account's turn does not.
func TestPurchasesBeginOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set()
		s, err := w.store.TopUp(t.Context(), account)
		require.NoError(t, err)
		var running sync.WaitGroup
		begun := make(chan bool, 20)
		for n := range cap(begun) {
			running.Go(func() {
				c := topup.Charge{ID: strconv.Itoa(n), AccountID: account, PackID: "credit_20", Price: w.price, Cents: 2000, CreateTime: w.Now()}
				ok, err := w.store.BeginTopUp(context.Background(), s, c, time.Hour, w.Now(), 6000)
				begun <- ok && err == nil
			})
		}
		running.Wait()
		close(begun)
		count := 0
		for ok := range begun {
			if ok {
				count++
			}
		}
		require.Equal(t, 1, count)
	})
}

// A person who pays for a pack does not pay twice. getlago/lago#5708 charged both.
func TestACheckoutOfAPackComesFirst(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set()
		w.low()
		open := "customer=" + w.customer + "&mode=payment&line_items[0][price]=" + w.price +
			"&line_items[0][quantity]=1&success_url=https://app.test&metadata[trivet_request]=1&invoice_creation[enabled]=true"
		paid := w.post("/v1/checkout/sessions", open)
		w.buy()
		require.Empty(t, w.invoices())
		_, err := w.fake.Pay(paid, "visa", "ann@example.test")
		require.NoError(t, err)
		_, err = w.mirror.Sync(t.Context(), mirror.CheckoutSession, paid)
		require.NoError(t, err)
		require.EqualValues(t, 26, w.balance())
		w.Add(time.Hour)
		w.buy()
		require.Len(t, w.invoices(), 1, "the checkout's")

		w.low()
		left := w.post("/v1/checkout/sessions", open)
		w.Add(29 * time.Minute)
		w.buy()
		require.Len(t, w.invoices(), 1)
		w.Add(time.Minute)
		w.buy()
		require.Len(t, w.invoices(), 2, "nobody pays the session that was left open")
		require.Contains(t, string(w.ask(http.MethodGet, "/v1/checkout/sessions/"+left, "")), `"status": "expired"`)
	})
}

// A purchase that is not needed any more is given up before it is paid.
func TestAPurchaseThatIsNotNeededAnyMore(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for name, change := range map[string]func(){
			"credit came": func() { require.NoError(t, w.grant(50)) },
			"turned off": func() {
				require.NoError(t, w.buyer.Set(t.Context(), topup.Setting{AccountID: account, State: topup.Off}))
			},
		} {
			for _, how := range []string{"down", "lost"} {
				w.Add(2 * time.Hour)
				w.set()
				w.low()
				before := len(w.statuses())
				w.fail = func(r *http.Request) string {
					if r.Method == http.MethodPost && r.URL.Path == "/v1/invoices" {
						return how
					}
					return ""
				}
				w.buy()
				w.fail = nil
				change()
				w.Add(time.Minute)
				w.buy()
				require.Len(t, w.statuses(), before, "%s, %s: a draft is deleted", name, how)
				require.Equal(t, topup.Canceled, w.shown().Charges[0].State, "%s, %s", name, how)
			}
		}
		w.check()
	})
}

// A refund and a dispute of a purchase take the credit back and turn the top-up off: the card is not charged again for what was given back.
func TestReversals(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set()
		w.low()
		w.buy()
		require.EqualValues(t, 26, w.balance())
		refund := w.post("/v1/refunds", "charge="+w.invoices()[0].Charge+"&amount=1000")
		_, err := w.mirror.Sync(t.Context(), mirror.Refund, refund)
		require.NoError(t, err)
		a, err := w.ledger.Known(t.Context(), account)
		require.NoError(t, err)
		require.EqualValues(t, 15_500_000_000, a.Balance)
		require.Equal(t, topup.Off, w.shown().State)
		w.Add(time.Minute)
		w.set()
		_, err = w.mirror.Sync(t.Context(), mirror.Refund, refund)
		require.NoError(t, err)
		require.Equal(t, topup.On, w.shown().State, "later news of the same refund does not turn it off again")
		w.Add(time.Minute)
		dispute, err := w.fake.OpenDispute(w.invoices()[0].Charge, "fraudulent")
		require.NoError(t, err)
		_, err = w.mirror.Sync(t.Context(), mirror.Dispute, dispute.ID)
		require.NoError(t, err)
		require.Equal(t, topup.Disputed, w.shown().State)
		w.Add(time.Minute)
		w.set()
		_, err = w.mirror.Sync(t.Context(), mirror.Dispute, dispute.ID)
		require.NoError(t, err)
		require.Equal(t, topup.On, w.shown().State, "later news of the same dispute does not turn it off again")
		require.ElementsMatch(t, []string{"succeeded", "disabled refunded", "disabled disputed"}, w.told())
	})
}

// A refund or a dispute that is known before the purchase turns the top-up off, too.
func TestAReversalThatComesFirst(t *testing.T) {
	for name, problem := range map[string]string{"refund": "refunded", "dispute": "disputed"} {
		each(t, func(t *testing.T, w *world) {
			w.set()
			w.low()
			w.fail = func(r *http.Request) string { // the payment is made, and the invoice cannot be read
				switch {
				case strings.HasSuffix(r.URL.Path, "/pay"):
					return "lost"
				case r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/v1/invoices/") && slices.Contains(w.statuses(), "paid"):
					return "down"
				}
				return ""
			}
			_ = w.run()
			w.fail = nil
			require.Equal(t, []string{"paid"}, w.statuses())
			require.EqualValues(t, 5, w.balance())
			w.Add(time.Minute)
			if name == "refund" {
				refund := w.post("/v1/refunds", "charge="+w.invoices()[0].Charge)
				_, err := w.mirror.Sync(t.Context(), mirror.Refund, refund)
				require.NoError(t, err)
			} else {
				dispute, err := w.fake.OpenDispute(w.invoices()[0].Charge, "fraudulent")
				require.NoError(t, err)
				_, err = w.mirror.Sync(t.Context(), mirror.Dispute, dispute.ID)
				require.NoError(t, err)
			}
			require.Equal(t, topup.On, w.shown().State, "nothing is known of the purchase")
			w.Add(time.Minute)
			_, err := w.mirror.Sync(t.Context(), mirror.Invoice, w.invoices()[0].ID)
			require.NoError(t, err)
			require.NotEqual(t, topup.On, w.shown().State)
			require.Contains(t, w.told(), "disabled "+problem)
			w.Add(2 * time.Hour)
			w.buy()
			require.Len(t, w.invoices(), 1, "the card is not charged again")
		})
	}
}

// A process whose turn has ended writes nothing about a purchase that another process has advanced since.
func TestAnOvertakenAttemptWritesNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set()
		w.low()
		w.fail = func(r *http.Request) string {
			if r.Method == http.MethodPost && r.URL.Path == "/v1/invoices" {
				return "down"
			}
			return ""
		}
		w.buy()
		late := w.shown().Charges[0]
		next := late
		next.Attempts, next.State, next.Verdict = late.Attempts+1, topup.Closing, topup.Declined
		require.NoError(t, w.store.SaveTopUp(t.Context(), next, w.Now()))
		late.SpentKeys, late.NextTime = 7, w.Now()
		require.NoError(t, w.store.SaveTopUp(t.Context(), late, w.Now()))
		require.Equal(t, next, w.shown().Charges[0])
	})
}

// A turn that is lost during a purchase ends it at once: what the next process writes stays.
func TestALostTurn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set()
		w.low()
		turn := w.buyer.Turn
		kept := 0
		o := w.buyer.Options
		o.Turn = func(ctx context.Context, id string, fn func(context.Context, func(context.Context) error) error) error {
			return turn(ctx, id, func(ctx context.Context, keep func(context.Context) error) error {
				return fn(ctx, func(ctx context.Context) error {
					if kept++; kept > 3 {
						return job.ErrLost
					}
					return keep(ctx)
				})
			})
		}
		require.NoError(t, topup.New(o).Run(t.Context(), func(context.Context) error { return nil }))
		require.Greater(t, kept, 3)
		require.Equal(t, topup.Begun, w.shown().Charges[0].State)
		w.Add(time.Hour)
		w.buy()
		require.Equal(t, []string{"paid"}, w.statuses())
	})
}

// While a renewal waits for its payment, the account has only the advance. The rest comes with the payment, so nothing is bought.
func TestARenewalComesFirst(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.set()
		w.low()
		start := w.Now()
		store := &renewing{Store: w.store, start: start, given: map[string]bool{subscriptions.AdvanceSource(subscriptions.PeriodSource("sub_1", start)): true}}
		o := w.buyer.Options
		o.Store = store
		run := func() { require.NoError(t, topup.New(o).Run(t.Context(), func(context.Context) error { return nil })) }
		run()
		w.Add(90 * time.Minute)
		run()
		require.Empty(t, w.invoices())
		store.given[subscriptions.PeriodSource("sub_1", start)] = true
		w.Add(time.Minute)
		run()
		require.Equal(t, []string{"paid"}, w.statuses())
		w.low()
		delete(store.given, subscriptions.PeriodSource("sub_1", start))
		w.Add(time.Hour)
		run()
		require.Equal(t, []string{"paid", "paid"}, w.statuses(), "a renewal that is not paid for two hours keeps nothing waiting")
	})
}

// renewing is a store with an active subscription whose period begins at start.
type renewing struct {
	topup.Store
	start time.Time
	given map[string]bool
	plan  plans.Plan
}

func (r *renewing) Subscription(context.Context, string) (subscriptions.State, error) {
	return subscriptions.State{SubscriptionID: "sub_1", Access: subscriptions.Active, PeriodStart: r.start, Plan: r.plan}, nil
}

func (r *renewing) GrantGiven(_ context.Context, _, source string) (bool, error) {
	return r.given[source], nil
}

// A plan whose advance is the whole credit has nothing to wait for.
func TestARenewalThatBringsNoMore(t *testing.T) {
	for percent, bought := range map[int64]int{99: 0, 100: 1} {
		each(t, func(t *testing.T, w *world) {
			w.set()
			w.low()
			plan := plans.Plan{ID: "early", Version: 2, Price: plans.Cent, IncludedCredit: 1000, RenewalAdvance: percent}
			store := &renewing{
				Store: w.store, start: w.Now(), plan: plan, given: map[string]bool{subscriptions.AdvanceSource(subscriptions.PeriodSource("sub_1", w.Now())): true},
			}
			o := w.buyer.Options
			o.Store = store
			o.Catalog.Set(append(o.Catalog.Offers(), plans.Offer{Plan: &plan}))
			require.NoError(t, topup.New(o).Run(t.Context(), func(context.Context) error { return nil }))
			require.Len(t, w.invoices(), bought)
		})
	}
}

func TestRefusedSettings(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		good := topup.Setting{AccountID: account, PackID: "credit_20", Threshold: 5 * dollar, MonthlyCap: 20 * dollar, State: topup.On}
		require.NoError(t, w.buyer.Set(t.Context(), good))
		for name, c := range map[string]struct {
			change func(s *topup.Setting)
			want   error
		}{
			"a pack that is not sold":   {func(s *topup.Setting) { s.PackID = "gold" }, topup.ErrUnknownPack},
			"a threshold below zero":    {func(s *topup.Setting) { s.Threshold = -1 }, &topup.BoundsError{Max: 50 * dollar}},
			"a threshold above":         {func(s *topup.Setting) { s.Threshold = 50*dollar + 1 }, &topup.BoundsError{Max: 50 * dollar}},
			"a cap below the pack":      {func(s *topup.Setting) { s.MonthlyCap = 20*dollar - 1 }, &topup.BoundsError{Cap: true, Min: 20 * dollar, Max: 60 * dollar}},
			"a cap above the plan's":    {func(s *topup.Setting) { s.MonthlyCap = 60*dollar + 1 }, &topup.BoundsError{Cap: true, Min: 20 * dollar, Max: 60 * dollar}},
			"an account without a card": {func(s *topup.Setting) { s.AccountID = "org_2" }, topup.ErrNoCard},
		} {
			s := good
			c.change(&s)
			require.Equal(t, c.want, w.buyer.Set(t.Context(), s), name)
		}
		require.NoError(t, w.store.EraseUser(t.Context(), account))
		_, erased := errors.AsType[*ledger.ErasedError](w.buyer.Set(t.Context(), good))
		require.True(t, erased)
		require.Equal(t, topup.Off, w.shown().State)
	})
}

func (w *world) grant(dollars int64) error {
	w.requests++
	_, err := w.ledger.Grant(context.Background(), ledger.NewGrant{AccountID: account, Source: fmt.Sprint("test:", w.requests), Amount: dollars * dollar})
	return err
}

// Whatever fails, whenever: an account pays for what it gets, at most to its cap, and nothing stays open.
func TestRandomFailures(t *testing.T) {
	cards := []string{"pm_card_visa", "pm_card_visa", "pm_card_chargeCustomerFail"}
	faults := []string{"", "", "", "", "lost", "down", "500", "429"}
	for seed := range uint64(25) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			pick := func(from []string) string { return from[random.IntN(len(from))] }
			w := newWorld(t, databasetest.SQLiteOf(t, billingtest.Migrations()))
			w.set()
			for range 12 {
				switch random.IntN(4) {
				case 0:
					w.card(pick(cards))
				case 1:
					w.Add(time.Duration(random.IntN(95)-5) * time.Minute)
				default:
					if w.balance() > 5 {
						w.low()
					}
					w.fail = func(*http.Request) string { return pick(faults) }
					_ = w.run()
					w.fail = nil
				}
			}
			for range 3 {
				w.Add(40 * time.Minute)
				_ = w.run()
			}
			paid := 0
			for _, status := range w.statuses() {
				require.Contains(t, []string{"paid", "void"}, status)
				if status == "paid" {
					paid++
				}
			}
			require.LessOrEqual(t, paid, 3)
			w.check()
		})
	}
}
