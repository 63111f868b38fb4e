package subscriptions_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// said writes notices as "kind source".
func said(all []notices.Notice) (lines []string) {
	for _, n := range all {
		lines = append(lines, fmt.Sprintf("%s %s", n.Kind, n.Source))
	}
	return lines
}

// Each state and each change of it has its notices. Those that were made before are not made again, and history is not told.
func TestNotices(t *testing.T) {
	end := unix("2026-03-10 12:00")
	trial := fmt.Sprintf(`"trial_end":%d`, end)
	pro := plans.Plan{ID: "pro", Version: 3}
	was := func(access subscriptions.Access) subscriptions.State {
		return subscriptions.State{SubscriptionID: "sub_1", Access: access, Plan: pro, Interval: plans.Month, Seats: 1, PeriodStart: at("2026-02-10 12:00")}
	}
	open := func(attempted bool) subscriptions.Invoice {
		inv := february(t, "open")
		inv.Attempted, inv.Total = attempted, 2380
		return inv
	}
	overage := invoice(t, "in_9", "open", "2026-02-19 12:00")
	overage.Subscription, overage.Attempted, overage.Metadata = "", true, map[string]string{subscriptions.MetadataOverage: "ovc_1"}
	failed := "invoice:in_2:payment_failed"
	period := unix("2026-02-10 12:00")
	schedule, err := subscriptions.ParseSchedule(fmt.Appendf(nil, `{"id":"sub_sched_1","subscription":"sub_1","status":"active","phases":[
		{"start_date":%d,"items":[{"price":"max_m","quantity":1}]}]}`, end))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		subs   []subscriptions.Subscription
		invs   []subscriptions.Invoice
		before subscriptions.State
		told   []string
		now    string
		want   []string
	}{
		"nothing":                {now: "2026-02-12 00:00"},
		"a new paid plan":        {subs: []subscriptions.Subscription{sub(t, "active", "pro_m")}, invs: []subscriptions.Invoice{february(t, "paid")}, now: "2026-02-12 00:00"},
		"a first payment is due": {subs: []subscriptions.Subscription{sub(t, "incomplete", "pro_m")}, invs: []subscriptions.Invoice{open(true)}, now: "2026-02-12 00:00"},
		"a trial begins": {
			subs: []subscriptions.Subscription{sub(t, "trialing", "pro_m", trial)}, now: "2026-02-12 00:00",
			want: []string{"trial_started sub:sub_1:trial_started"},
		},
		"a trial that began long ago": {subs: []subscriptions.Subscription{sub(t, "trialing", "pro_m", trial)}, now: "2026-02-20 00:00"},
		"a moment before a trial's last three days": {
			subs: []subscriptions.Subscription{sub(t, "trialing", "pro_m", trial)}, before: was(subscriptions.Trial), now: "2026-03-07 11:59",
		},
		"a trial's last three days": {
			subs: []subscriptions.Subscription{sub(t, "trialing", "pro_m", trial)}, before: was(subscriptions.Trial), now: "2026-03-07 12:00",
			want: []string{fmt.Sprintf("trial_will_end sub:sub_1:trial_will_end:%d", end)},
		},
		"a trial's last three days, told": {
			subs: []subscriptions.Subscription{sub(t, "trialing", "pro_m", trial)}, told: []string{fmt.Sprintf("sub:sub_1:trial_will_end:%d", end)}, now: "2026-03-08 12:00",
		},
		"a renewal's invoice that was not tried yet": {
			subs: []subscriptions.Subscription{sub(t, "active", "pro_m")}, invs: []subscriptions.Invoice{open(false)}, before: was(subscriptions.Active), now: "2026-02-10 12:30",
		},
		"a payment under way": {
			subs: []subscriptions.Subscription{sub(t, "active", "pro_m")}, invs: []subscriptions.Invoice{open(true)}, before: was(subscriptions.Active), now: "2026-02-10 12:30",
		},
		"a failed payment": {
			subs: []subscriptions.Subscription{sub(t, "past_due", "pro_m")}, invs: []subscriptions.Invoice{open(true)}, before: was(subscriptions.Active), now: "2026-02-10 14:00",
			want: []string{"payment_failed " + failed},
		},
		"a failed payment, told": {
			subs: []subscriptions.Subscription{sub(t, "past_due", "pro_m")}, invs: []subscriptions.Invoice{open(true)}, before: was(subscriptions.Grace), told: []string{failed},
			now: "2026-02-10 14:00",
		},
		"a payment that fails late": {
			subs: []subscriptions.Subscription{sub(t, "past_due", "pro_m")}, invs: []subscriptions.Invoice{open(true)}, before: was(subscriptions.Active), now: "2026-02-20 12:00",
			want: []string{fmt.Sprintf("downgraded sub:sub_1:downgraded:%d", period), "payment_failed " + failed},
		},
		"a first payment after a trial that fails late": {
			subs: []subscriptions.Subscription{sub(t, "past_due", "pro_m")}, invs: []subscriptions.Invoice{open(true)}, before: was(subscriptions.Trial), now: "2026-02-20 12:00",
			want: []string{fmt.Sprintf("downgraded sub:sub_1:downgraded:%d", period), "payment_failed " + failed},
		},
		"a payment that failed long ago": {
			subs: []subscriptions.Subscription{sub(t, "past_due", "pro_m")}, invs: []subscriptions.Invoice{open(true)}, now: "2026-02-20 12:00",
		},
		"grace is over": {
			subs: []subscriptions.Subscription{sub(t, "past_due", "pro_m")}, invs: []subscriptions.Invoice{open(true)}, before: was(subscriptions.Grace), told: []string{failed},
			now: "2026-02-17 12:00", want: []string{fmt.Sprintf("downgraded sub:sub_1:downgraded:%d", period)},
		},
		"grace was over before": {
			subs: []subscriptions.Subscription{sub(t, "unpaid", "pro_m")}, invs: []subscriptions.Invoice{open(true)}, before: was(subscriptions.Suspended), told: []string{failed},
			now: "2026-02-18 12:00",
		},
		"paid late": {
			subs: []subscriptions.Subscription{sub(t, "active", "pro_m")}, invs: []subscriptions.Invoice{february(t, "paid")}, before: was(subscriptions.Suspended),
			told: []string{failed}, now: "2026-02-19 12:00", want: []string{"recovered invoice:in_2:recovered"},
		},
		"paid in time": {
			subs: []subscriptions.Subscription{sub(t, "active", "pro_m")}, invs: []subscriptions.Invoice{february(t, "paid")}, before: was(subscriptions.Active), now: "2026-02-10 14:00",
		},
		"overage that is not paid": {
			subs: []subscriptions.Subscription{sub(t, "active", "pro_m")}, invs: []subscriptions.Invoice{february(t, "paid"), overage}, before: was(subscriptions.Active),
			now: "2026-02-20 00:00", want: []string{"payment_failed invoice:in_9:payment_failed"},
		},
		"a plan is paid while overage is not": {
			subs: []subscriptions.Subscription{sub(t, "active", "pro_m")}, invs: []subscriptions.Invoice{february(t, "paid"), overage}, before: was(subscriptions.Active),
			told: []string{failed, "invoice:in_9:payment_failed"}, now: "2026-02-20 00:00",
		},
		"cancelled for the period's end": {
			subs: []subscriptions.Subscription{sub(t, "active", "pro_m", `"cancel_at_period_end":true`)}, before: was(subscriptions.Active), now: "2026-02-20 00:00",
			want: []string{fmt.Sprintf("will_end sub:sub_1:will_end:%d", end)},
		},
		"ended": {
			subs:   []subscriptions.Subscription{sub(t, "canceled", "pro_m", fmt.Sprintf(`"ended_at":%d`, unix("2026-02-20 00:00")))},
			before: was(subscriptions.Active), now: "2026-02-20 00:01", want: []string{"ended sub:sub_1:ended"},
		},
		"ended before": {
			subs:   []subscriptions.Subscription{sub(t, "canceled", "pro_m", fmt.Sprintf(`"ended_at":%d`, unix("2026-02-20 00:00")))},
			before: was(subscriptions.Ended), now: "2026-02-20 00:02",
		},
		"ended, and its last overage is not paid": {
			subs: []subscriptions.Subscription{sub(t, "canceled", "pro_m", fmt.Sprintf(`"ended_at":%d`, unix("2026-02-19 12:00")))}, invs: []subscriptions.Invoice{overage},
			before: was(subscriptions.Ended), now: "2026-02-20 00:00", want: []string{"payment_failed invoice:in_9:payment_failed"},
		},
		"ended, and its last overage was not paid long ago": {
			subs: []subscriptions.Subscription{sub(t, "canceled", "pro_m", fmt.Sprintf(`"ended_at":%d`, unix("2026-02-19 12:00")))}, invs: []subscriptions.Invoice{overage},
			before: was(subscriptions.Ended), now: "2026-02-26 12:01",
		},
		"ended, and its last overage is not paid, told": {
			subs: []subscriptions.Subscription{sub(t, "canceled", "pro_m", fmt.Sprintf(`"ended_at":%d`, unix("2026-02-19 12:00")))}, invs: []subscriptions.Invoice{overage},
			before: was(subscriptions.Ended), told: []string{"invoice:in_9:payment_failed"}, now: "2026-02-20 00:00",
		},
		"ended without ever being seen": {
			subs: []subscriptions.Subscription{sub(t, "canceled", "pro_m", fmt.Sprintf(`"ended_at":%d`, unix("2026-02-20 00:00")))}, now: "2026-02-20 00:02",
		},
		"another plan": {
			subs: []subscriptions.Subscription{sub(t, "active", "max_m")}, before: was(subscriptions.Active), now: "2026-02-20 00:00",
			want: []string{fmt.Sprintf("changed sub:sub_1:changed:%d:max@1:month:1", period)},
		},
		"another subscription": {
			subs:   []subscriptions.Subscription{subOf(t, "sub_2", "2026-02-10 12:00", "2026-03-10 12:00", "active", "max_m", 1)},
			before: was(subscriptions.Active), now: "2026-02-20 00:00",
		},
		"a scheduled change": {
			subs: []subscriptions.Subscription{sub(t, "active", "pro_m", `"schedule":"sub_sched_1"`)}, before: was(subscriptions.Active), now: "2026-02-20 00:00",
			want: []string{fmt.Sprintf("will_change sub:sub_1:will_change:%d:max@1:month:1", end)},
		},
		"two subscriptions": {
			subs: []subscriptions.Subscription{
				sub(t, "active", "pro_m"), subOf(t, "sub_2", "2026-02-10 12:00", "2026-03-10 12:00", "active", "max_m", 1),
			},
			now: "2026-02-20 00:00", want: []string{"duplicate_subscription sub:sub_1:duplicate"},
		},
		"an unknown price": {
			subs: []subscriptions.Subscription{sub(t, "active", "price_other")}, before: was(subscriptions.Active), now: "2026-02-20 00:00",
			want: []string{"unmapped sub:sub_1:unmapped"},
		},
		"a first payment was not made": {
			subs: []subscriptions.Subscription{sub(t, "incomplete_expired", "pro_m", fmt.Sprintf(`"ended_at":%d`, unix("2026-02-11 12:00")))}, now: "2026-02-12 00:00",
			want: []string{"checkout_failed sub:sub_1:checkout_failed"},
		},
		"a first payment was not made long ago": {
			subs: []subscriptions.Subscription{sub(t, "incomplete_expired", "pro_m", fmt.Sprintf(`"ended_at":%d`, unix("2026-02-11 12:00")))}, now: "2026-02-18 12:01",
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := subscriptions.Input{Subscriptions: c.subs, Invoices: c.invs, Schedules: []subscriptions.Schedule{schedule}, Catalog: catalog(), Now: at(c.now)}
			told := map[string]bool{}
			for _, source := range c.told {
				told[source] = true
			}
			got := subscriptions.Notices(in, subscriptions.Derive(in), c.before, told)
			require.Equal(t, c.want, said(got))
			for _, n := range got {
				told[n.Source] = true
			}
			if c.before.Access != subscriptions.None {
				return
			}
			require.Empty(t, subscriptions.Notices(in, subscriptions.Derive(in), c.before, told), "twice")
		})
	}
}

func TestWhatNoticesSay(t *testing.T) {
	inv := february(t, "open")
	inv.Attempted, inv.Total = true, 2380
	in := subscriptions.Input{
		Subscriptions: []subscriptions.Subscription{sub(t, "past_due", "pro_m")}, Invoices: []subscriptions.Invoice{inv}, Catalog: catalog(), Now: at("2026-02-10 14:00"),
	}
	got := subscriptions.Notices(in, subscriptions.Derive(in), subscriptions.State{}, nil)
	require.Len(t, got, 1)
	require.Equal(t, notices.Data{
		Time: at("2026-02-10 12:00"), PlanID: "pro", PlanVersion: 3, Interval: "month", Seats: 1, Amount: 23_800_000_000, SubscriptionID: "sub_1", InvoiceID: "in_2",
	}, got[0].Data)

	n, ok := subscriptions.Reversal{ID: "dp_1", Amount: 500}.Notice()
	require.True(t, ok)
	require.Equal(t, notices.Disputed, n.Kind)
	require.EqualValues(t, 5_000_000_000, n.Data.Amount)
	_, ok = subscriptions.Reversal{ID: "re_1"}.Notice()
	require.False(t, ok, "it failed")
	_, ok = subscriptions.Reversal{ID: "cn_1", Amount: 500, Refund: "re_1"}.Notice()
	require.False(t, ok, "its refund speaks for it")
}
