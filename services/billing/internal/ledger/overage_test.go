package ledger_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// overCap is the overage that the plan "metered" allows in a period.
const overCap = 500

// metered runs a test with an account that has 2000 of credit, of which 1000 renew, and a plan with overage. The account has no other credit.
func metered(t *testing.T, test func(t *testing.T, s *subscriber)) {
	t.Helper()
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.allow(overCap)
		s.invoice(0, "paid")
		s.sub(0, "active")
		s.requirePlan("pro@1", 2000)
		test(t, s)
	})
}

// allow has the plan allow overage up to a cap; 0 for none.
func (s *subscriber) allow(most int64) {
	sale := s.plans.prices["price_pro"]
	changed := *sale.Plan
	changed.Overage = nil
	if most > 0 {
		changed.Overage = &plans.Overage{Cap: most}
	}
	sale.Plan = &changed
	s.plans.prices["price_pro"], s.plans.all["pro@1"] = sale, changed
}

func (s *subscriber) refused(request string, amount int64) {
	s.t.Helper()
	_, err := s.Reserve(s.t.Context(), ledger.Reservation{RequestID: request, AccountID: alice, Model: "embed", InputTokens: amount})
	_ = requireReason(s.t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
}

func (s *subscriber) requireOverage(balance, debt, used, total int64) {
	s.t.Helper()
	a := s.account()
	require.Equal(s.t, []int64{balance, debt, used, total}, []int64{a.Balance, a.Debt, a.Overage.Used, a.Overage.Total}, "balance, debt, used of the cap, all overage")
	s.sound()
}

// Until the invoice of a period is paid, its credit is not there, and usage does not count as overage.
func TestOverageWaitsForTheInvoiceOfThePeriod(t *testing.T) {
	metered(t, func(t *testing.T, s *subscriber) {
		s.settle(s.hold("1", 2000), 2000)
		s.clock.Set(s.month(1))
		advance := s.account().Available()
		s.refused("2", advance+1)
		for i, status := range []string{"", "draft", "open", "void", "uncollectible"} {
			s.sub(1, "active")
			if status != "" {
				s.invoice(1, status)
			}
			s.refused(fmt.Sprint("unpaid", i), advance+1)
			require.Zero(t, s.account().Headroom(s.clock.Now()), status)
		}
		s.invoice(1, "paid")
		s.settle(s.hold("3", 1500), 1500)
		s.requireOverage(0, 0, 500, 500)
	})
}

// A replica whose clock is behind, and that follows news, does not move the period back that another one has begun.
func TestNewsDoesNotMoveThePeriodBack(t *testing.T) {
	metered(t, func(t *testing.T, s *subscriber) {
		s.clock.Set(s.month(1))
		require.Equal(t, s.month(1), s.account().PeriodStart)
		s.clock.Set(s.month(1).Add(-time.Second))
		s.sub(0, "active")
		require.Equal(t, s.month(1), s.account().PeriodStart)
		s.sound()
	})
}

// Nor does a call at such a replica, which has to look at the account because an open call keeps credit whose time is over.
func TestACallDoesNotMoveThePeriodBack(t *testing.T) {
	metered(t, func(t *testing.T, s *subscriber) {
		s.give("promo", 100, s.month(1).Add(-10*time.Second))
		s.clock.Set(s.month(1).Add(-20 * time.Second))
		kept := s.hold("kept", 100)
		s.clock.Set(s.month(1))
		s.settle(s.hold("1", 1), 1)
		begun := s.account()
		require.Equal(t, s.month(1), begun.PeriodStart)
		require.False(t, begun.Due.After(s.month(1).Add(-time.Second)), "each call looks at the account")
		s.clock.Set(s.month(1).Add(-time.Second))
		s.settle(s.hold("2", 1), 1)
		require.Equal(t, s.month(1), s.account().PeriodStart)
		s.settle(kept, 100)
		s.sound()
	})
}

// A subscription with a price that no plan has allows no overage: nothing says how it would be charged. Another one that is over changes
// nothing about that.
func TestAnUnknownPriceClosesOverage(t *testing.T) {
	for name, over := range map[string]bool{"the price is changed": false, "another subscription begins": true} {
		t.Run(name, func(t *testing.T) {
			metered(t, func(t *testing.T, s *subscriber) {
				require.Equal(t, ledger.Never, s.account().Overage.CloseTime)
				id := "sub_1"
				if over {
					id = "sub_2"
				}
				s.write(mirror.Subscription, fmt.Sprintf(`{"id":%q,"object":"subscription","customer":"cus_1","status":"active","created":%d,"start_date":%[2]d,
					"current_period_start":%[2]d,"current_period_end":%d,"items":{"data":[{"quantity":1,"price":{"id":"price_unknown","object":"price"}}]}}`,
					id, s.begin.Unix(), s.month(1).Unix()))
				if over {
					s.sub(0, "canceled", fmt.Sprintf(`"ended_at":%d`, s.clock.Now().Unix()))
				}
				require.NotEqual(t, ledger.Never, s.account().Overage.CloseTime)
				s.sound()
			})
		})
	}
}

// What no credit covers is overage up to the cap, which a period has once.
func TestOverage(t *testing.T) {
	metered(t, func(t *testing.T, s *subscriber) {
		h := s.hold("1", 2300)
		require.EqualValues(t, 200, s.account().Headroom(s.clock.Now()))
		end := s.settle(h, 2300)
		require.EqualValues(t, 300, end.Overage)
		require.Zero(t, end.Owed)
		s.requireOverage(0, 0, 300, 300)
		s.refused("2", 201)
		s.settle(s.hold("3", 200), 200)
		s.requireOverage(0, 0, 500, 500)
		s.refused("4", 1)
		sums := map[string]int64{}
		for _, e := range s.entries() {
			sums[e.Kind] += e.Amount
			if e.Kind == ledger.KindOverage {
				require.Equal(t, "receivable:stripe", e.Debit)
				require.Equal(t, "customer:"+alice, e.Credit)
			}
		}
		require.EqualValues(t, 2500, sums[ledger.KindUsage])
		require.EqualValues(t, 500, sums[ledger.KindOverage])
		s.requireOverage(0, 0, 500, 500)

		s.clock.Add(-40 * 24 * time.Hour)
		s.refused("5", 1)
		s.clock.Set(s.month(1))
		s.sub(1, "active")
		s.invoice(1, "paid")
		s.requireOverage(1000, 0, 0, 500)
		s.settle(s.hold("6", 1500), 1400)
		s.requireOverage(0, 0, 400, 900)
		s.clock.Set(s.month(1).Add(-time.Second)) // a replica whose clock is behind
		s.refused("7", 101)
		require.Zero(t, s.count("SELECT COUNT(*) FROM hold WHERE owed > 0"))
	})
}

// Credit that comes later does not pay overage: that is invoiced.
func TestOverageIsNotDebt(t *testing.T) {
	metered(t, func(t *testing.T, s *subscriber) {
		s.settle(s.hold("1", 2500), 2500)
		s.give("gift", 700)
		s.requireOverage(700, 0, 500, 500)
	})
}

// A plan that ends and is bought again within a period does not give its cap twice.
func TestACapIsGivenOncePerPeriod(t *testing.T) {
	metered(t, func(t *testing.T, s *subscriber) {
		s.settle(s.hold("1", 2400), 2400)
		s.clock.Add(24 * time.Hour)
		s.sub(0, "canceled", fmt.Sprintf(`"ended_at":%d`, s.clock.Now().Unix()))
		s.requireOverage(0, 0, 400, 400)
		s.refused("2", 1)
		s.clock.Add(24 * time.Hour)
		begin := s.buyAgain()
		s.requireOverage(1000, 0, 400, 400)
		s.refused("3", 1101)
		s.settle(s.hold("4", 1100), 1100)
		s.requireOverage(0, 0, 500, 500)
		s.clock.Set(begin.AddDate(0, 1, 0))
		require.Zero(t, s.account().Overage.Used, "the period after has the whole cap")
		s.sound()
	})
}

// buyAgain mirrors a second subscription, which begins now and is paid for. It returns when its period begins.
func (s *subscriber) buyAgain() (begin time.Time) {
	s.t.Helper()
	begin = s.clock.Now().Truncate(time.Second)
	s.write(mirror.Subscription, fmt.Sprintf(`{"id":"sub_2","object":"subscription","customer":"cus_1","status":"active","created":%d,"start_date":%[1]d,
		"billing_cycle_anchor":%[1]d,"current_period_start":%[1]d,"current_period_end":%[2]d,"items":{"data":[{"quantity":1,"price":{"id":"price_pro","object":"price"}}]}}`,
		begin.Unix(), begin.AddDate(0, 1, 0).Unix()))
	s.write(mirror.Invoice, fmt.Sprintf(`{"id":"in_2","object":"invoice","customer":"cus_1","subscription":"sub_2","status":"paid","created":%d,"lines":{"data":[
		{"type":"subscription","amount":2000,"quantity":1,"price":{"id":"price_pro","object":"price"},"period":{"start":%[1]d,"end":%d}}]}}`,
		begin.Unix(), begin.AddDate(0, 1, 0).Unix()))
	return begin
}

// Whoever does not pay gets no overage. A call that began before keeps what it may use, and so does one that runs when the plan ends.
func TestOverageCloses(t *testing.T) {
	for name, then := range map[string]func(s *subscriber){
		"a renewal is not paid":   func(s *subscriber) { s.sub(0, "past_due") },
		"the subscription ends":   func(s *subscriber) { s.sub(0, "canceled", fmt.Sprintf(`"ended_at":%d`, s.clock.Now().Unix())) },
		"the plan has none":       func(s *subscriber) { s.allow(0); s.sub(0, "active") },
		"its invoice is not paid": func(s *subscriber) { s.unpaid("open", true) },
		"its invoice is given up": func(s *subscriber) { s.unpaid("uncollectible", true) },
		"the subscription is a new trial": func(s *subscriber) {
			s.sub(0, "trialing", fmt.Sprintf(`"trial_end":%d`, s.month(1).Unix()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			metered(t, func(t *testing.T, s *subscriber) {
				h := s.hold("1", 2400)
				s.clock.Add(time.Second)
				then(s)
				s.refused("2", 1)
				s.settle(h, 2400)
				a := s.account()
				require.EqualValues(t, 400, a.Overage.Total)
				require.Zero(t, a.Debt)
				s.refused("3", 1)
				s.sound()
			})
		})
	}
	metered(t, func(t *testing.T, s *subscriber) {
		s.settle(s.hold("1", 2100), 2100)
		s.unpaid("open", true)
		s.refused("2", 1)
		s.unpaid("open", false)
		s.settle(s.hold("3", 1), 1)
		s.unpaid("open", true)
		s.refused("4", 1)
		s.unpaid("paid", true)
		s.settle(s.hold("5", 399), 399)
		s.requireOverage(0, 0, 500, 500)
	})
}

// unpaid mirrors an invoice of overage.
func (s *subscriber) unpaid(status string, attempted bool) {
	s.t.Helper()
	s.write(mirror.Invoice, fmt.Sprintf(`{"id":"in_over","object":"invoice","customer":"cus_1","subscription":null,"status":%q,"attempted":%t,"created":%d,
		"metadata":{"trivet_overage":"ovc_1"},"lines":{"data":[]}}`, status, attempted, s.begin.Unix()))
}

// A call that is settled late, after the sweeper, corrects the overage both ways, in the period to which it belongs.
func TestLateSettlementCorrectsOverage(t *testing.T) {
	metered(t, func(t *testing.T, s *subscriber) {
		h := s.hold("1", 2300)
		_, err := s.Checkpoint(t.Context(), h.ID, ledger.Usage{Input: 2300}, 0)
		require.NoError(t, err)
		s.clock.Add(2 * lease)
		n, err := s.Sweep(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, n)
		s.requireOverage(0, 0, 300, 300)
		s.clock.Set(s.month(1))
		s.sub(1, "active")
		s.invoice(1, "paid")
		s.settle(s.hold("2", 1100), 1100)
		s.requireOverage(0, 0, 100, 400)
		s.settle(h, 2100)
		s.requireOverage(0, 0, 100, 200)

		g := s.hold("3", 100)
		_, err = s.Checkpoint(t.Context(), g.ID, ledger.Usage{Input: 100}, 0)
		require.NoError(t, err)
		s.clock.Add(2 * lease)
		_, err = s.Sweep(t.Context())
		require.NoError(t, err)
		s.requireOverage(0, 0, 200, 300)
		s.settle(g, 450)
		s.requireOverage(-50, 50, 500, 600)
	})
}

// swept is a call that used more than its hold and was charged by the sweeper.
func (s *subscriber) swept(request string, amount, used int64) ledger.Hold {
	s.t.Helper()
	h := s.hold(request, amount)
	_, err := s.Checkpoint(s.t.Context(), h.ID, ledger.Usage{Input: used}, 0)
	require.NoError(s.t, err)
	s.clock.Add(2 * lease)
	_, err = s.Sweep(s.t.Context())
	require.NoError(s.t, err)
	return h
}

// What a correction gives back is first the debt, then the overage, and then credit to the grants that paid.
func TestACorrectionGivesOverageBackBeforeCredit(t *testing.T) {
	for used, want := range map[int64][]int64{2550: {-50, 50, 500, 500}, 2520: {-20, 20, 500, 500}, 2490: {0, 0, 490, 490}, 2000: {0, 0, 0, 0}, 1700: {300, 0, 0, 0}} {
		metered(t, func(t *testing.T, s *subscriber) {
			h := s.swept("1", 2500, 2550)
			s.requireOverage(-50, 50, 500, 500)
			end := s.settle(h, used)
			require.Equal(t, used, end.Cost)
			s.requireOverage(want[0], want[1], want[2], want[3])
			for source := range s.remaining() {
				require.NotContains(t, source, "refund:", "credit goes back to the grant that it came from")
			}
		})
	}
}

// A call counts in one period: what a correction adds after it is debt.
func TestACorrectionAfterThePeriod(t *testing.T) {
	metered(t, func(t *testing.T, s *subscriber) {
		h := s.swept("1", 2300, 2300)
		s.clock.Set(s.month(1))
		s.sub(1, "active")
		s.invoice(1, "paid")
		s.settle(s.hold("2", 1000), 1000)
		s.settle(h, 2400)
		s.requireOverage(-100, 100, 0, 300)
	})
}

// Charges are whole cents of the overage, each cent in one charge; the rest stays for the next.
func TestChargesOfOverage(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.allow(1_000_000_000)
		s.invoice(0, "paid")
		s.sub(0, "active")
		s.settle(s.hold("1", 2000+25_000_001), 2000+25_000_001)
		charge := func() []int64 {
			t.Helper()
			due, err := s.store.DueOverage(t.Context(), s.clock.Now(), 10)
			require.NoError(t, err)
			for _, id := range due {
				_, err := s.ChargeOverage(t.Context(), id)
				require.NoError(t, err)
			}
			all, err := s.store.Charges(t.Context(), alice, "", 100)
			require.NoError(t, err)
			var cents []int64
			for _, c := range all {
				cents = append(cents, c.Cents)
			}
			s.sound()
			return cents
		}
		require.Empty(t, charge())
		s.clock.Set(s.month(1))
		s.sub(1, "active")
		s.invoice(1, "paid")
		require.Empty(t, charge(), "calls that run may still settle")
		s.clock.Add(15 * time.Minute)
		require.Equal(t, []int64{2}, charge())
		require.Equal(t, []int64{2}, charge(), "once")
		s.settle(s.hold("2", 1000+10_000_000), 1000+10_000_000)
		require.Equal(t, []int64{2}, charge())
		s.clock.Set(s.month(2).Add(26 * time.Hour)) // a renewal that was missed
		require.Equal(t, []int64{1, 2}, charge())
		s.sub(2, "active")
		s.invoice(2, "paid")
		s.settle(s.hold("3", 1000+5_000_000), 1000+5_000_000)
		s.sub(2, "canceled", fmt.Sprintf(`"ended_at":%d`, s.clock.Now().Unix()))
		require.Equal(t, []int64{1, 2}, charge())
		s.clock.Add(15 * time.Minute)
		require.Equal(t, []int64{1, 1, 2}, charge(), "the rest of a subscription that has ended: 0.5 and 0.5000001 cents")
		s.exec("UPDATE overage_billing SET charged = charged + 1")
		found, err := s.Audit(t.Context())
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.Contains(t, found[0].Rule, "charges")
		s.exec("UPDATE overage_billing SET charged = charged - 1")
	})
}

// Whatever happens in whatever order, overage is what no credit covered, within the cap, and the ledger is sound.
func TestOverageProperties(t *testing.T) {
	checks(t, 15)
	metered(t, func(t *testing.T, s *subscriber) {
		runs, gifts := 0, 0
		rapid.Check(t, func(rt *rapid.T) {
			runs++
			type call struct {
				hold  ledger.Hold
				final bool
			}
			var calls []*call
			pick := func(rt *rapid.T) *call {
				if len(calls) == 0 {
					rt.Skip("no call")
				}
				return calls[rapid.IntRange(0, len(calls)-1).Draw(rt, "call")]
			}
			rt.Repeat(map[string]func(*rapid.T){
				"reserve": func(rt *rapid.T) {
					amount := rapid.Int64Range(1, 900).Draw(rt, "amount")
					spendable := s.account().Spendable(s.clock.Now())
					h, err := s.Reserve(t.Context(), ledger.Reservation{
						RequestID: fmt.Sprintf("%d/%d", runs, len(calls)), AccountID: alice, Model: "embed", InputTokens: amount,
					})
					require.Equal(rt, amount <= spendable, err == nil, "amount %d of %d: %v", amount, spendable, err)
					if err == nil {
						calls = append(calls, &call{hold: h})
					}
				},
				"settle": func(rt *rapid.T) {
					c := pick(rt)
					used := rapid.Int64Range(0, c.hold.Amount+50).Draw(rt, "used")
					end, err := s.Settle(t.Context(), ledger.Settlement{HoldID: c.hold.ID, Usage: ledger.Usage{Input: used}, Outcome: ledger.OutcomeCompleted})
					require.NoError(rt, err)
					if !c.final {
						require.Equal(rt, used, end.Cost)
						paid := end.Owed + end.Overage
						for _, b := range end.PaidBy {
							paid += b.Amount
						}
						require.Equal(rt, end.Cost, paid)
					}
					c.final = true
				},
				"sweep": func(rt *rapid.T) {
					s.clock.Add(2 * lease)
					_, err := s.Sweep(t.Context())
					require.NoError(rt, err)
				},
				"gift": func(rt *rapid.T) {
					gifts++
					s.give(fmt.Sprintf("gift %d", gifts), rapid.Int64Range(1, 300).Draw(rt, "gift"))
				},
				"wait": func(rt *rapid.T) {
					s.clock.Add(rapid.SampledFrom([]time.Duration{time.Second, time.Hour, 40 * 24 * time.Hour, -time.Hour}).Draw(rt, "wait"))
				},
				"fold": func(rt *rapid.T) {
					_, err := s.Fold(t.Context(), func(context.Context) error { return nil })
					require.NoError(rt, err)
				},
				"restart": func(*rapid.T) { s.Ledger = s.again() },
				"pay": func(*rapid.T) {
					s.sub(0, "active", `"pause_collection":null`)
				},
				"": func(rt *rapid.T) {
					a := s.account()
					require.LessOrEqual(rt, a.Overage.Used, int64(overCap))
					require.GreaterOrEqual(rt, a.Overage.Used, int64(0))
					found, err := s.Audit(t.Context())
					require.NoError(rt, err)
					require.Empty(rt, found)
				},
			})
		})
	})
}
