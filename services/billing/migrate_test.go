package billing_test

import (
	"bytes"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
)

// dearerFile has a second version of the plan pro of changeFile.
var dearerFile = strings.ReplaceAll(changeFile, `price: "20.00", yearly_price: "200.00", included_credit: "25.00"`, `price: "24.00", included_credit: "40.00", features: [chat]`)

func (h *fixture) migrate(r *billingv1.MigratePlanRequest) (*billingv1.MigratePlanResponse, error) {
	h.t.Helper()
	if r.GetFrom() == "" {
		r.From, r.To = "pro@1", "pro@2"
	}
	return h.from("gateway").MigratePlan(h.as(operator), r)
}

// migrated moves all subscribers, by pages of one, and returns the results by account.
func (h *fixture) migrated(atRenewal bool) map[string]*billingv1.PlanMigration {
	h.t.Helper()
	all := map[string]*billingv1.PlanMigration{}
	for token := ""; ; {
		page, err := h.migrate(&billingv1.MigratePlanRequest{AtRenewal: atRenewal, PageSize: 1, PageToken: token})
		require.NoError(h.t, err)
		for _, m := range page.GetMigrations() {
			require.NotContains(h.t, all, m.GetAccountId())
			all[m.GetAccountId()] = m
		}
		if token = page.GetNextPageToken(); token == "" {
			return all
		}
	}
}

// subscribe buys a plan as somebody.
func (h *fixture) subscribe(who passport.Claims, plan string, interval billingv1.BillingInterval) {
	h.t.Helper()
	r := purchase(plan, "")
	r.Interval = interval
	client := h.from("gateway")
	session, err := client.CreateCheckoutSession(h.as(who), r)
	require.NoError(h.t, err)
	id := session.GetCheckoutSession().GetId()
	_, err = h.stripe.Pay(id, "visa", "ann@example.test")
	require.NoError(h.t, err)
	got, err := client.GetCheckoutSession(h.as(who), &billingv1.GetCheckoutSessionRequest{CheckoutSessionId: id})
	require.NoError(h.t, err)
	require.True(h.t, got.GetCheckoutSession().GetApplied())
}

func (h *fixture) version(who passport.Claims) int32 {
	h.t.Helper()
	got, err := h.from("gateway").GetSubscription(h.as(who), &billingv1.GetSubscriptionRequest{})
	require.NoError(h.t, err)
	return got.GetSubscription().GetPlanVersion()
}

// renew has Stripe renew the subscription of org_1, and learns of it.
func (h *fixture) renew() {
	h.t.Helper()
	h.Set(h.subscription().GetPeriodEndTime().AsTime().Add(2 * time.Hour))
	_, err := h.stripe.Advance()
	require.NoError(h.t, err)
	_, err = h.stripe.Advance()
	require.NoError(h.t, err)
	_, err = h.reconcile(&billingv1.ReconcileRequest{})
	require.NoError(h.t, err)
}

func (h *fixture) invoiced() (all []int64) {
	h.t.Helper()
	page, err := h.from("gateway").ListInvoices(h.as(admin), &billingv1.ListInvoicesRequest{})
	require.NoError(h.t, err)
	for _, inv := range page.GetInvoices() {
		all = append(all, inv.GetTotalMinorUnits())
	}
	return all
}

// Subscribers move to another version at once, or with their next period. Nothing is charged or granted for the rest of the present one.
func TestMigrate(t *testing.T) {
	for name, atRenewal := range map[string]bool{"at once": false, "at renewal": true} {
		t.Run(name, func(t *testing.T) {
			subscribed(t, func(t *testing.T, h *fixture) {
				h.apply(dearerFile)
				balance := h.account().GetBalanceNanoUsd()
				planned, err := h.migrate(&billingv1.MigratePlanRequest{AtRenewal: atRenewal, DryRun: true})
				require.NoError(t, err)
				require.EqualValues(t, 1, planned.GetSubscriptionCount())
				require.Empty(t, planned.GetMigrations())
				var texts []string
				for _, c := range planned.GetChanges() {
					texts = append(texts, c.GetField()+" "+c.GetBefore()+" > "+c.GetAfter())
				}
				require.Equal(t, []string{"features  > chat", "included_credit 25.00 > 40.00", "price 20.00 > 24.00", "yearly_price 200.00 > "}, texts)
				require.EqualValues(t, 1, h.version(admin), "a dry run changes nothing")

				end := h.subscription().GetPeriodEndTime().AsTime()
				for again := range 3 {
					m := h.migrated(atRenewal)["org_1"]
					switch {
					case again > 0 && !atRenewal:
						require.Nil(t, m, "nobody is left")
					case again > 0:
						require.Equal(t, billingv1.PlanMigrationResult_PLAN_MIGRATION_RESULT_UNCHANGED, m.GetResult())
					case atRenewal:
						require.Equal(t, billingv1.PlanMigrationResult_PLAN_MIGRATION_RESULT_SCHEDULED, m.GetResult())
						require.Equal(t, end, m.GetEffectiveTime().AsTime())
					default:
						require.Equal(t, billingv1.PlanMigrationResult_PLAN_MIGRATION_RESULT_MOVED, m.GetResult())
					}
					require.Equal(t, []int64{2000}, h.invoiced())
					require.Equal(t, balance, h.account().GetBalanceNanoUsd())
					require.Equal(t, end, h.subscription().GetPeriodEndTime().AsTime())
				}
				want := int32(2)
				if atRenewal {
					want = 1
				}
				require.Equal(t, want, h.version(admin))
				h.renew()
				require.EqualValues(t, 2, h.version(admin))
				require.Equal(t, []int64{2400, 2000}, h.invoiced())
				require.EqualValues(t, 40_000_000_000, h.account().GetBalanceNanoUsd(), "the credit of the new version, and no other")
			})
		})
	}
}

// What subscribers have chosen stays, and what cannot be bought in the other version.
func TestMigrateKeepsWhatWasChosen(t *testing.T) {
	gary := passport.Claims{UserID: "user_gary", AccountID: "user_gary", Role: "owner"}
	for name, c := range map[string]struct {
		interval billingv1.BillingInterval
		happens  func(h *fixture)
		reason   string
	}{
		"a canceled subscription": {month, func(h *fixture) {
			_, err := h.from("gateway").CancelSubscription(h.as(admin), &billingv1.CancelSubscriptionRequest{})
			require.NoError(h.t, err)
		}, "is canceled, and ends on "},
		"a scheduled change": {year, func(h *fixture) {
			p, err := h.preview("pro", 0, month)
			require.NoError(h.t, err)
			_, err = h.change(p)
			require.NoError(h.t, err)
		}, "a change to pro@1 is scheduled"},
		"a change that waits for its payment": {month, func(h *fixture) {
			h.useCard("chargeCustomerFail")
			p, err := h.preview("team", 0, month)
			require.NoError(h.t, err)
			done, err := h.change(p)
			require.NoError(h.t, err)
			require.NotEmpty(h.t, done.GetPaymentUrl())
		}, "a change waits for its payment"},
		"a year": {year, func(*fixture) {}, "is billed by the year, and pro@2 has no price for that interval"},
		"an end that Stripe refuses": {month, func(h *fixture) {
			billingtest.Fail(h.t, h.stripe, fault.Fault{Kind: fault.Status, Status: 400, Method: "POST", Path: "/v1/subscriptions/*", Count: 1})
		}, "Stripe refused it: "},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, selling, onSQLite(t))
			h.apply(changeFile)
			h.subscribe(admin, "pro", c.interval)
			c.happens(h)
			h.subscribe(gary, "pro", month)
			h.apply(dearerFile)
			invoices := len(h.listed("/v1/invoices"))
			found := h.migrated(false)
			require.Equal(t, billingv1.PlanMigrationResult_PLAN_MIGRATION_RESULT_SKIPPED, found["org_1"].GetResult())
			require.Contains(t, found["org_1"].GetReason(), c.reason)
			require.EqualValues(t, 1, h.version(admin))
			require.Equal(t, billingv1.PlanMigrationResult_PLAN_MIGRATION_RESULT_MOVED, found["user_gary"].GetResult(), "the others have their turn")
			require.EqualValues(t, 2, h.version(gary))
			require.Len(t, h.listed("/v1/invoices"), invoices)
		})
	}
}

// A subscription that cannot be read is skipped with the reason, and does not stop the others. One that was moved before is reported as moved.
func TestMigrateSkipsWhatCannotBeRead(t *testing.T) {
	gary := passport.Claims{UserID: "user_gary", AccountID: "user_gary", Role: "owner"}
	for name, c := range map[string]struct {
		method string // from the first request of which on it cannot be read
		result billingv1.PlanMigrationResult
	}{
		"from the beginning": {http.MethodGet, billingv1.PlanMigrationResult_PLAN_MIGRATION_RESULT_SKIPPED},
		"after the change":   {http.MethodPost, billingv1.PlanMigrationResult_PLAN_MIGRATION_RESULT_MOVED},
	} {
		t.Run(name, func(t *testing.T) {
			sell(t, func(t *testing.T, h *fixture) {
				h.apply(changeFile)
				h.subscribe(admin, "pro", month)
				id := h.subscription().GetId()
				h.subscribe(gary, "pro", month)
				h.apply(dearerFile)
				var changed atomic.Bool
				alter := func(r *http.Request, body []byte) []byte {
					if r.URL.Path != "/v1/subscriptions/"+id {
						return body
					}
					if r.Method == c.method {
						changed.Store(true)
					}
					if r.Method != http.MethodGet || !changed.Load() {
						return body
					}
					return bytes.Replace(body, []byte(`"status": "active"`), []byte(`"status": 7`), 1)
				}
				h.alter.Store(&alter)
				found := h.migrated(false)
				require.Equal(t, c.result, found["org_1"].GetResult())
				require.Equal(t, id, found["org_1"].GetSubscriptionId())
				require.Equal(t, c.method == http.MethodPost, found["org_1"].GetEffectiveTime() != nil)
				require.Contains(t, found["org_1"].GetReason(), "cannot be read")
				require.Equal(t, billingv1.PlanMigrationResult_PLAN_MIGRATION_RESULT_MOVED, found["user_gary"].GetResult())
				require.EqualValues(t, 2, h.version(gary))
			})
		})
	}
}

// While Stripe does not answer reads, nothing is skipped: the same call can be made again.
func TestMigrateStopsWhileStripeIsAway(t *testing.T) {
	for _, f := range []fault.Fault{{Kind: fault.Status, Status: 500}, {Kind: fault.Status, Status: 401}, {Kind: fault.RateLimit}, {Kind: fault.Close}} {
		h := newFixture(t, selling, onSQLite(t))
		h.apply(changeFile)
		h.subscribe(admin, "pro", month)
		h.apply(dearerFile)
		f.Method = "GET"
		billingtest.Fail(t, h.stripe, f)
		_, err := h.migrate(&billingv1.MigratePlanRequest{})
		want := errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE
		if f.Status == http.StatusUnauthorized {
			want = errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR
		}
		_ = requireReason(t, want, err)
		h.stripe.Faults().Clear()
		require.Equal(t, billingv1.PlanMigrationResult_PLAN_MIGRATION_RESULT_MOVED, h.migrated(false)["org_1"].GetResult())
	}
}

// A failure leaves something that the next run completes, whatever its outcome was.
func TestMigrateAfterFailures(t *testing.T) {
	for name, f := range map[string]fault.Fault{
		"a lost answer": {Kind: fault.CommitTimeout},
		"an error":      {Kind: fault.Status, Status: 500},
		"a limit":       {Kind: fault.RateLimit},
	} {
		for path, atRenewal := range map[string]bool{"/v1/subscriptions/*": false, "/v1/subscription_schedules": true, "/v1/subscription_schedules/*": true} {
			t.Run(name+" "+path, func(t *testing.T) {
				h := newFixture(t, selling, onSQLite(t))
				h.apply(changeFile)
				h.subscribe(admin, "pro", month)
				h.apply(dearerFile)
				f.Method, f.Path = "POST", path
				billingtest.Fail(t, h.stripe, f)
				_, err := h.migrate(&billingv1.MigratePlanRequest{AtRenewal: atRenewal})
				e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, err)
				require.Positive(t, e.RetryAfter)
				h.stripe.Faults().Clear()
				_ = h.migrated(atRenewal)
				require.Len(t, h.listed("/v1/invoices"), 1)
				if atRenewal {
					require.Len(t, h.listed("/v1/subscription_schedules"), 1)
					require.EqualValues(t, 2, h.subscription().GetScheduledChange().GetPlanVersion())
				} else {
					require.EqualValues(t, 2, h.version(admin))
				}
				h.sound()
			})
		}
	}
}

// A subscription with more seats than Stripe can charge in the other version stays: its renewal could never be paid.
func TestMigrateToSeatsThatStripeCannotCharge(t *testing.T) {
	const file = `
plans:
  - {id: free, name: Free, price: "0.00", included_credit: "0"}
  - {id: pro, name: Pro, price: "1.00", yearly_price: "10.00", included_credit: "0", seats: {min: 2, max: 100}}
`
	dearer := strings.ReplaceAll(strings.ReplaceAll(file, `price: "1.00"`, `price: "20000.00"`), `yearly_price: "10.00"`, `yearly_price: "100000.00"`)
	for interval, reason := range map[billingv1.BillingInterval]string{
		month: "has 50 seats, and pro@2 allows 2 to 49", year: "has 50 seats, and pro@2 allows 2 to 9",
	} {
		t.Run(interval.String(), func(t *testing.T) {
			sell(t, func(t *testing.T, h *fixture) {
				h.apply(file)
				r := purchase("pro", "")
				r.Seats, r.Interval = 50, interval
				require.True(t, h.buy(r).GetApplied())
				h.apply(dearer)
				found := h.migrated(true)["org_1"]
				require.Equal(t, billingv1.PlanMigrationResult_PLAN_MIGRATION_RESULT_SKIPPED, found.GetResult())
				require.Equal(t, reason, found.GetReason())
			})
		})
	}
}

// Versions between which nobody can move are refused, and Stripe is not asked to change anything.
func TestRefusedMigrations(t *testing.T) {
	h := newFixture(t, selling, onSQLite(t))
	_, err := h.migrate(&billingv1.MigratePlanRequest{})
	_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, err)
	h.apply(changeFile)
	h.apply(strings.ReplaceAll(dearerFile, `included_credit: "5.00"`, `included_credit: "6.00"`))
	h.subscribe(admin, "pro", month)
	writes := 0
	count := func(r *http.Request) {
		if r.Method != http.MethodGet {
			writes++
		}
	}
	h.before.Store(&count)
	for name, c := range map[string]struct{ from, to, field, problem string }{
		"no version":         {"pro", "pro@2", "from", `must be a version of a plan, such as "pro@3"`},
		"an unknown plan":    {"gold@1", "gold@2", "from", `names the plan "gold", which was never applied`},
		"an unknown version": {"pro@1", "pro@3", "to", "names version 3 of the plan pro, which was never applied"},
		"another plan":       {"pro@1", "team@1", "to", "must be a version of the plan pro"},
		"the same version":   {"pro@2", "pro@2", "to", "must be another version than from"},
		"a past version":     {"pro@2", "pro@1", "to", "is off sale"},
		"a free plan":        {"free@1", "free@2", "from", "is free"},
	} {
		_, err := h.migrate(&billingv1.MigratePlanRequest{From: c.from, To: c.to})
		e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
		require.Equal(t, c.field, e.Fields[0].Name, name)
		require.Contains(t, e.Fields[0].Problem, c.problem, name)
	}
	_, err = h.from("gateway").MigratePlan(h.as(admin), &billingv1.MigratePlanRequest{From: "pro@1", To: "pro@2"})
	_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, err)
	require.Zero(t, writes)
}

// Accounts on a free plan have no subscription: they follow its newest version.
func TestFreeAccountsFollowTheNewestVersion(t *testing.T) {
	h := newFixture(t, selling, onSQLite(t))
	h.apply(changeFile)
	require.Equal(t, "free", h.account().GetPlanId())
	h.apply(strings.ReplaceAll(changeFile, "name: Free,", "name: Free, features: [chat],"))
	included, err := h.from("gateway").CheckEntitlement(h.as(admin), &billingv1.CheckEntitlementRequest{Feature: "chat"})
	require.NoError(t, err)
	require.True(t, included.GetIncluded())
}

// At once, nobody loses what was paid: a later upgrade credits the present price, and the later months of a year have the present credit.
func TestMigrateTakesNothingThatIsPaid(t *testing.T) {
	const sold = `price: "20.00", yearly_price: "200.00", included_credit: "25.00"`
	for name, c := range map[string]struct {
		interval        billingv1.BillingInterval
		version, reason string
	}{
		"a cheaper month":          {month, `price: "19.99", yearly_price: "200.00", included_credit: "25.00"`, "has paid more than pro@2 costs"},
		"a cheaper year":           {year, `price: "20.00", yearly_price: "199.00", included_credit: "25.00"`, "has paid more than pro@2 costs"},
		"less credit for a year":   {year, `price: "20.00", yearly_price: "200.00", included_credit: "24.00"`, "has paid for more credit in its year"},
		"less credit for a month":  {month, `price: "20.00", yearly_price: "200.00", included_credit: "24.00"`, ""},
		"another interval cheaper": {month, `price: "20.00", yearly_price: "100.00", included_credit: "25.00"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, selling, onSQLite(t))
			h.apply(changeFile)
			h.subscribe(admin, "pro", c.interval)
			h.apply(strings.ReplaceAll(changeFile, sold, c.version))
			found := h.migrated(false)["org_1"]
			if c.reason == "" {
				require.Equal(t, billingv1.PlanMigrationResult_PLAN_MIGRATION_RESULT_MOVED, found.GetResult())
				return
			}
			require.Equal(t, billingv1.PlanMigrationResult_PLAN_MIGRATION_RESULT_SKIPPED, found.GetResult())
			require.Contains(t, found.GetReason(), c.reason)
			require.EqualValues(t, 1, h.version(admin))
			require.Equal(t, billingv1.PlanMigrationResult_PLAN_MIGRATION_RESULT_SCHEDULED, h.migrated(true)["org_1"].GetResult())
		})
	}
}
