package ledger_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/customers"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
)

const bob = "user_bob"

// free runs a test on both databases, by a rule of free credit.
func free(t *testing.T, rule ledger.FreeCredit, test func(t *testing.T, s *subscriber)) {
	t.Helper()
	each(t, "monthly", func(t *testing.T, b *fixture) {
		b.free = rule
		b.Ledger = b.on(b.store)
		s := &subscriber{fixture: b, begin: b.clock.Now()}
		test(t, s)
		s.sound()
	})
}

// balance reads an account for a person.
func (s *subscriber) balance(account, user string) int64 {
	s.t.Helper()
	a, err := s.Account(s.t.Context(), account, user)
	require.NoError(s.t, err)
	return a.Balance
}

// Free credit goes to one account of a person, who can make any number of organizations. octopusreview/octopus#788 gave it to 1,699 accounts, and
// pollinations/pollinations#6215 to whoever registered again.
func TestFreeCreditOncePerPerson(t *testing.T) {
	free(t, ledger.FreePerPerson, func(t *testing.T, s *subscriber) {
		require.EqualValues(t, 1000, s.balance("org_1", alice))
		for _, other := range []string{"org_2", "org_3", alice} {
			require.Zero(t, s.balance(other, alice), other)
		}
		require.Zero(t, s.balance("org_4", ""), "an account that nobody opens")
		require.EqualValues(t, 1000, s.balance("org_1", bob), "the account has its share already")
		require.EqualValues(t, 1000, s.balance(bob, bob))
		s.clock.Set(s.begin.AddDate(0, 1, 0))
		require.Zero(t, s.balance("org_2", alice), "the next month, too")
		require.EqualValues(t, 1000, s.balance("org_1", bob))
		require.EqualValues(t, 1000, s.balance(bob, ""), "a share stays")

		require.NoError(t, s.store.EraseUser(t.Context(), alice))
		require.EqualValues(t, 1000, s.balance("org_1", bob), "an erased person's share stays with the account")
	})
}

// A call opens an account too.
func TestFreeCreditOfACall(t *testing.T) {
	free(t, ledger.FreePerPerson, func(t *testing.T, s *subscriber) {
		plan, err := s.Plan(t.Context(), "org_1")
		require.NoError(t, err)
		require.Equal(t, "monthly", plan.ID, "reading the plan opens nothing")
		call := ledger.Reservation{RequestID: "r1", AccountID: "org_1", UserID: alice, Model: "embed", InputTokens: 100}
		_, err = s.Reserve(t.Context(), call)
		require.NoError(t, err)
		call.AccountID = "org_2"
		_, err = s.Reserve(t.Context(), call)
		require.ErrorAs(t, err, new(*ledger.InsufficientError))
	})
}

func TestNoFreeCredit(t *testing.T) {
	free(t, ledger.NoFreeCredit, func(t *testing.T, s *subscriber) { require.Zero(t, s.balance(alice, alice)) })
	free(t, ledger.FreePerAccount, func(t *testing.T, s *subscriber) {
		require.EqualValues(t, 1000, s.balance("org_1", alice))
		require.EqualValues(t, 1000, s.balance("org_2", alice))
	})
}

// With the rule "card" the credit comes when the account has a card, once.
func TestFreeCreditWithACard(t *testing.T) {
	free(t, ledger.FreeWithCard, func(t *testing.T, s *subscriber) {
		require.Zero(t, s.balance(alice, alice))
		_, err := s.store.BeginCustomer(t.Context(), customers.Begin{AccountID: alice, Time: s.clock.Now()})
		require.NoError(t, err)
		require.NoError(t, s.store.SaveCustomer(t.Context(), alice, "cus_1"))
		s.write(mirror.PaymentMethod, `{"id":"pm_other","object":"payment_method","customer":"cus_2","type":"card","created":1}`)
		require.Zero(t, s.balance(alice, alice), "the card of another customer")
		s.write(mirror.PaymentMethod, `{"id":"pm_1","object":"payment_method","customer":"cus_1","type":"card","created":1}`)
		require.Zero(t, s.balance(alice, ""), "nobody asks")
		for range 2 {
			require.EqualValues(t, 1000, s.balance(alice, alice))
		}
		require.Zero(t, s.balance("org_2", alice))
	})
}

// With the rule "verified" the credit comes with the first request after the verification, once.
func TestFreeCreditOfTheVerified(t *testing.T) {
	free(t, ledger.FreeVerified, func(t *testing.T, s *subscriber) {
		ask := func(account, user string, verified bool) int64 {
			t.Helper()
			return s.balance(account, s.MayShare(user, verified))
		}
		require.Zero(t, ask(alice, alice, false))
		require.Zero(t, ask("org_1", alice, false))
		s.clock.Set(s.begin.AddDate(0, 1, 1))
		require.Zero(t, ask(alice, alice, false), "the next month, too")
		_, err := s.Grant(t.Context(), ledger.NewGrant{AccountID: alice, Source: "gift", Amount: 5})
		require.NoError(t, err)
		require.EqualValues(t, 5, ask(alice, alice, false))
		for range 3 {
			require.EqualValues(t, 1005, ask(alice, alice, true), "beside other credit, and once")
		}
		require.Zero(t, ask("org_1", alice, true), "the share is used")
		require.Zero(t, ask("org_2", alice, true), "also by a new account")
		require.EqualValues(t, 1005, ask(alice, alice, false), "what was given stays")
		s.clock.Set(s.begin.AddDate(0, 2, 1))
		require.EqualValues(t, 1005, ask(alice, alice, false), "the account has the share for good")
		require.EqualValues(t, 1000, ask("org_1", bob, true), "another person's share")

		for _, verified := range []bool{false, true} { // the account keeps a share that it has, so the verified person comes last
			may, err := s.MayHaveTrial(t.Context(), "org_3", s.MayShare(bob, verified))
			require.NoError(t, err)
			require.Equal(t, verified, may)
		}
	})
	for _, rule := range []ledger.FreeCredit{ledger.FreePerPerson, ledger.FreePerAccount, ledger.FreeWithCard, ledger.NoFreeCredit} {
		free(t, rule, func(t *testing.T, s *subscriber) {
			require.Equal(t, bob, s.MayShare(bob, false), "other rules do not ask for it")
		})
	}
}

// The first call of a verified person is made: it need not wait for somebody to read the account.
func TestACallOfAVerifiedPerson(t *testing.T) {
	free(t, ledger.FreeVerified, func(t *testing.T, s *subscriber) {
		call := ledger.Reservation{RequestID: "r1", AccountID: "org_1", UserID: alice, Model: "embed", InputTokens: 100}
		for range 2 {
			_, err := s.Reserve(t.Context(), call)
			require.ErrorAs(t, err, new(*ledger.InsufficientError))
		}
		call.Verified = true
		hold, err := s.Reserve(t.Context(), call)
		require.NoError(t, err)
		again, err := s.Reserve(t.Context(), call)
		require.NoError(t, err)
		require.Equal(t, hold.ID, again.ID)
		call.AccountID = "org_2"
		_, err = s.Reserve(t.Context(), call)
		refused := &ledger.InsufficientError{}
		require.ErrorAs(t, err, &refused, "the share is used")
		require.Zero(t, s.balance("org_2", ""))

		require.NoError(t, s.store.EraseUser(t.Context(), bob))
		call.AccountID, call.UserID = "org_3", bob
		_, err = s.Reserve(t.Context(), call)
		require.ErrorAs(t, err, &refused, "a passport can outlive its person")
		require.Zero(t, s.balance("org_3", ""))
	})
}

// Many requests at once, in two accounts: one has the credit, once.
func TestManyRequestsOfAVerifiedPerson(t *testing.T) {
	free(t, ledger.FreeVerified, func(t *testing.T, s *subscriber) {
		const requests = 40
		failed := make(chan error, requests)
		for i := range requests {
			go func() {
				_, err := s.Account(t.Context(), []string{"org_1", "org_2"}[i%2], alice)
				failed <- err
			}()
		}
		for range requests {
			require.NoError(t, <-failed)
		}
		require.EqualValues(t, 1000, s.balance("org_1", "")+s.balance("org_2", ""))
	})
}

// Of many first calls at once, the one that claims the credit does not leave the others refused.
func TestManyCallsOfAVerifiedPerson(t *testing.T) {
	free(t, ledger.FreeVerified, func(t *testing.T, s *subscriber) {
		const calls = 40
		failed := make(chan error, calls)
		for i := range calls {
			go func() {
				_, err := s.Reserve(t.Context(), ledger.Reservation{
					RequestID: fmt.Sprint("r", i), AccountID: "org_1", UserID: alice, Verified: true, Model: "embed", InputTokens: 1,
				})
				failed <- err
			}()
		}
		for range calls {
			require.NoError(t, <-failed)
		}
	})
}

// The rest of a month after a subscription has no free credit for the verified either.
func TestVerifiedAfterASubscription(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.fixture.free = ledger.FreeVerified
		s.Ledger = s.on(s.store)
		require.Zero(t, s.balance(alice, ""))
		s.clock.Set(s.begin.AddDate(0, 0, 5))
		s.sub(0, "active")
		s.clock.Set(s.begin.AddDate(0, 0, 10))
		s.sub(0, "canceled", fmt.Sprintf(`"ended_at":%d`, s.clock.Now().Unix()))
		before := s.balance(alice, "")
		require.Equal(t, before, s.balance(alice, alice))
		s.clock.Set(s.month(1).AddDate(0, 0, 6))
		require.EqualValues(t, 1000, s.balance(alice, alice), "the next month has its own")
	})
}

// locking counts the decisions that lock an account.
type locking struct {
	ledger.Store
	decisions atomic.Int64
}

func (c *locking) Write(ctx context.Context, accountID string, fn func(ctx context.Context, tx ledger.Tx) error) error {
	c.decisions.Add(1)
	return c.Store.Write(ctx, accountID, fn)
}

func (c *locking) WriteCall(ctx context.Context, caller ledger.Caller, fn func(ctx context.Context, tx ledger.Tx) error) error {
	c.decisions.Add(1)
	return c.Store.WriteCall(ctx, caller, fn)
}

// A verified person whose share is free reads accounts that cannot have the credit: no read locks the account, and a refused call is not repeated.
func TestReadsThatCannotClaimWriteNothing(t *testing.T) {
	check := func(t *testing.T, s *subscriber) {
		t.Helper()
		counted := &locking{Store: s.store}
		l := s.over(counted)
		before, err := l.Account(t.Context(), alice, "")
		require.NoError(t, err)
		counted.decisions.Store(0)
		for range 3 {
			got, err := l.Account(t.Context(), alice, alice)
			require.NoError(t, err)
			require.Equal(t, before, got)
		}
		require.Zero(t, counted.decisions.Load(), "reads")
		_, err = l.Reserve(t.Context(), ledger.Reservation{RequestID: "big", AccountID: alice, UserID: alice, Verified: true, Model: "embed", InputTokens: 1_000_000})
		require.ErrorAs(t, err, new(*ledger.InsufficientError))
		require.EqualValues(t, 1, counted.decisions.Load(), "a refused call")
	}
	for _, rule := range []ledger.FreeCredit{ledger.FreeVerified, ledger.FreeWithCard} {
		for name, begin := range map[string]func(s *subscriber){
			"a sold plan": func(s *subscriber) { s.invoice(0, "paid"); s.sub(0, "active") },
			"the rest of a month after a subscription": func(s *subscriber) {
				s.sub(0, "active")
				s.clock.Add(24 * time.Hour)
				s.sub(0, "canceled", fmt.Sprintf(`"ended_at":%d`, s.clock.Now().Unix()))
			},
			"a default plan without credit": func(s *subscriber) { s.plans.fallback = "empty" },
		} {
			t.Run(string(rule)+", "+name, func(t *testing.T) {
				subscribed(t, func(t *testing.T, s *subscriber) {
					s.fixture.free = rule
					s.Ledger = s.on(s.store)
					begin(s)
					check(t, s)
				})
			})
		}
	}
	free(t, ledger.FreeVerified, func(t *testing.T, s *subscriber) {
		require.EqualValues(t, 1000, s.balance(alice, alice))
		check(t, s)
	})
}

// Credit that the account has had already, by another rule of free credit, is not given again, and the account is not written.
func TestAClaimOfCreditThatWasGiven(t *testing.T) {
	free(t, ledger.FreePerAccount, func(t *testing.T, s *subscriber) {
		require.EqualValues(t, 1000, s.balance(alice, alice))
		counted := &locking{Store: s.store}
		s.fixture.free = ledger.FreeVerified
		s.Ledger = s.over(counted)
		for range 3 {
			require.EqualValues(t, 1000, s.balance(alice, alice))
		}
		require.EqualValues(t, 1, counted.decisions.Load(), "the account takes the share with its first read")
	})
}

// A person has one trial, in whatever account.
func TestATrialOncePerPerson(t *testing.T) {
	free(t, ledger.FreePerPerson, func(t *testing.T, s *subscriber) {
		for _, c := range []struct {
			account, user string
			want          bool
		}{{"org_1", alice, true}, {"org_1", alice, true}, {"org_2", alice, false}, {"org_2", bob, true}, {bob, bob, false}} {
			may, err := s.MayHaveTrial(t.Context(), c.account, c.user)
			require.NoError(t, err)
			require.Equal(t, c.want, may, "%v", c)
		}
	})
}

// A passport can outlive its person's data by minutes. What is called with it must not store the id again, nor give a second share.
func TestAnErasedPersonTakesNoShare(t *testing.T) {
	free(t, ledger.FreePerPerson, func(t *testing.T, s *subscriber) {
		require.EqualValues(t, 1000, s.balance("org_1", alice))
		require.NoError(t, s.store.EraseUser(t.Context(), alice))
		require.NoError(t, s.store.EraseUser(t.Context(), bob))
		require.Zero(t, s.balance("org_2", alice))
		require.Zero(t, s.balance("org_3", bob))
		may, err := s.MayHaveTrial(t.Context(), "org_2", alice)
		require.NoError(t, err)
		require.False(t, may)
		var named int
		require.NoError(t, s.db.Reader().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM person_share WHERE person IN ($1, $2)", alice, bob).Scan(&named))
		require.Zero(t, named)
	})
}

// The rest of a month after a subscription has no free credit: otherwise each one that is canceled would bring it again.
func TestACardGivesNoCreditAfterASubscription(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.fixture.free = ledger.FreeWithCard
		s.Ledger = s.on(s.store)
		s.write(mirror.PaymentMethod, `{"id":"pm_1","object":"payment_method","customer":"cus_1","type":"card","created":1}`)
		require.EqualValues(t, 1000, s.balance(alice, alice))
		s.settle(s.hold("r1", 1000), 1000)
		s.clock.Set(s.begin.AddDate(0, 0, 10))
		s.sub(0, "active")
		s.sub(0, "canceled", fmt.Sprintf(`"ended_at":%d`, s.clock.Now().Unix()))
		require.Zero(t, s.balance(alice, alice))
		s.clock.Set(s.month(1).AddDate(0, 0, 1))
		require.EqualValues(t, 1000, s.balance(alice, alice), "the next month has its own")
	})
}

// An organization is not a person: neither a checkout that comes to nothing nor what happens without a request gives it free credit. A purchase does.
func TestNobodyGivesAnOrganizationFreeCredit(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.fixture.free = ledger.FreePerPerson
		s.Ledger = s.on(s.store)
		require.EqualValues(t, 1000, s.balance("org_1", alice), "the share of the person")
		customer := func(org string) string {
			t.Helper()
			_, err := s.store.BeginCustomer(t.Context(), customers.Begin{AccountID: org, Time: s.clock.Now()})
			require.NoError(t, err)
			require.NoError(t, s.store.SaveCustomer(t.Context(), org, "cus_"+org))
			return "cus_" + org
		}
		attempt := func(org, status string) {
			t.Helper()
			s.write(mirror.Subscription, fmt.Sprintf(`{"id":"sub_%s","object":"subscription","customer":%q,"status":%q,"created":%d,"start_date":%[4]d,"billing_cycle_anchor":%[4]d,
				"current_period_start":%[4]d,"current_period_end":%d,"ended_at":%[4]d,"items":{"data":[{"quantity":1,"price":{"id":"price_pro","object":"price"}}]}}`,
				org, "cus_"+org, status, s.begin.Unix(), s.month(1).Unix()))
		}
		customer("org_2")
		for _, status := range []string{"incomplete", "incomplete_expired"} {
			attempt("org_2", status)
			_, err := s.Known(t.Context(), "org_2")
			require.ErrorAs(t, err, new(*ledger.AccountNotFoundError), status)
		}
		told, err := s.store.Notices(t.Context(), "org_2", "", "", 10)
		require.NoError(t, err)
		require.Len(t, told, 1)
		require.Equal(t, notices.CheckoutFailed, told[0].Kind)
		require.Zero(t, s.balance("org_2", alice))

		for n, c := range []struct {
			happens func()
			balance int64
		}{
			{func() { attempt("org_2", "incomplete_expired") }, 0},
			{func() {
				_, err := s.Grant(t.Context(), ledger.NewGrant{AccountID: "org_2", Create: true, Source: "gift", Amount: 7})
				require.NoError(t, err)
			}, 7},
			{func() {
				require.NoError(t, s.store.Write(t.Context(), "org_2", func(ctx context.Context, tx ledger.Tx) error {
					return tx.PlanOverage(ctx, ledger.OveragePlan{AccountID: "org_2", SubscriptionID: "sub_org_2", Plan: "pro@1", Cycle: "end:1", DueTime: s.clock.Now()})
				}))
				_, err := s.ChargeOverage(t.Context(), "org_2")
				require.NoError(t, err)
			}, 7},
			{func() {
				s.write(mirror.CheckoutSession, fmt.Sprintf(`{"id":"cs_2","object":"checkout.session","customer":"cus_org_2","mode":"payment","status":"complete","payment_status":"paid",
					"payment_intent":"pi_2","amount_total":2000,"created":%d,"line_items":{"data":[{"quantity":1,"price":{"id":"price_pack","object":"price"}}]}}`, s.clock.Now().Unix()))
			}, 507},
			{func() {
				s.write(mirror.Refund, fmt.Sprintf(`{"id":"re_2","object":"refund","status":"succeeded","amount":2000,"payment_intent":"pi_2","charge":"ch_2","created":%d}`,
					s.clock.Now().Unix()))
			}, 7},
		} {
			s.clock.Set(s.month(n+1).AddDate(0, 0, 1))
			c.happens()
			a, err := s.Known(t.Context(), "org_2")
			require.NoError(t, err)
			require.False(t, s.clock.Now().Before(a.PeriodStart) || !s.clock.Now().Before(a.PeriodEnd), "its month has begun")
			require.Equal(t, c.balance, a.Balance, n)
		}

		s.write(mirror.CheckoutSession, fmt.Sprintf(`{"id":"cs_3","object":"checkout.session","customer":%q,"mode":"payment","status":"complete","payment_status":"paid",
			"created":%d,"line_items":{"data":[{"quantity":1,"price":{"id":"price_pack","object":"price"}}]}}`, customer("org_3"), s.begin.Unix()))
		a, err := s.Known(t.Context(), "org_3")
		require.NoError(t, err)
		require.EqualValues(t, 1000+500, a.Balance)
		customer("org_4")
		attempt("org_4", "active")
		a, err = s.Known(t.Context(), "org_4")
		require.NoError(t, err)
		require.EqualValues(t, 1000, a.Balance, "the invoice comes later")
	})
}
