package stripe_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"
)

// schedule lets a subscription change its price at the end of its period.
func (s *shop) schedule(t *testing.T, sub *stripesdk.Subscription, price *stripesdk.Price) *stripesdk.SubscriptionSchedule {
	t.Helper()
	made, err := s.client.SubscriptionSchedules.New(&stripesdk.SubscriptionScheduleParams{FromSubscription: &sub.ID})
	require.NoError(t, err)
	item := func(id string) []*stripesdk.SubscriptionSchedulePhaseItemParams {
		return []*stripesdk.SubscriptionSchedulePhaseItemParams{{Price: &id, Quantity: stripesdk.Int64(1)}}
	}
	made, err = s.client.SubscriptionSchedules.Update(made.ID, &stripesdk.SubscriptionScheduleParams{
		EndBehavior: stripesdk.String("release"),
		Phases: []*stripesdk.SubscriptionSchedulePhaseParams{
			{StartDate: &sub.CurrentPeriodStart, EndDate: &sub.CurrentPeriodEnd, Items: item(sub.Items.Data[0].Price.ID)},
			{Iterations: stripesdk.Int64(1), Items: item(price.ID)},
		},
	})
	require.NoError(t, err)
	require.Len(t, made.Phases, 2)
	return made
}

// A scheduled price begins with the next period, without a proration, and the schedule goes when its last phase ends.
func TestAScheduleChangesThePriceAtTheEndOfThePeriod(t *testing.T) {
	for name, pick := range map[string]func(*shop) (from, to *stripesdk.Price){
		"a cheaper plan":     func(s *shop) (from, to *stripesdk.Price) { return s.pro, s.basic },
		"a month for a year": func(s *shop) (from, to *stripesdk.Price) { return s.yearly, s.basic },
	} {
		t.Run(name, func(t *testing.T) {
			s := openShop(t)
			from, to := pick(s)
			sub := s.subscribe(t, s.params(from))
			made := s.schedule(t, sub, to)
			get := func() *stripesdk.Subscription {
				got, err := s.client.Subscriptions.Get(sub.ID, nil)
				require.NoError(t, err)
				return got
			}
			require.Equal(t, made.ID, get().Schedule.ID)
			require.Equal(t, from.ID, get().Items.Data[0].Price.ID)
			require.Equal(t, 400, s.do(t, "POST", "/v1/subscriptions/"+sub.ID, "cancel_at_period_end=true").status, "a schedule manages it")
			s.now.at = time.Unix(sub.CurrentPeriodEnd, 0).Add(time.Hour)
			_, err := s.Advance()
			require.NoError(t, err)
			require.Equal(t, to.ID, get().Items.Data[0].Price.ID)
			require.Equal(t, time.Unix(sub.CurrentPeriodEnd, 0).UTC().AddDate(0, 1, 0).Unix(), get().CurrentPeriodEnd)
			inv, err := s.client.Invoices.Get(get().LatestInvoice.ID, nil)
			require.NoError(t, err)
			require.Equal(t, to.UnitAmount, inv.Total)
			s.now.at = time.Unix(get().CurrentPeriodEnd, 0).Add(time.Hour)
			_, err = s.Advance()
			require.NoError(t, err)
			require.Nil(t, get().Schedule)
			require.Equal(t, to.ID, get().Items.Data[0].Price.ID)
		})
	}
}

// A schedule takes no price that is off sale, also not the one that the subscription has, and keeps a trial.
func TestAScheduleRefusesWhatStripeMayRefuse(t *testing.T) {
	s := openShop(t)
	trial := s.now.at.Add(7 * 24 * time.Hour).Unix()
	params := s.params(s.pro)
	params.TrialEnd = &trial
	sub := s.subscribe(t, params)
	made, err := s.client.SubscriptionSchedules.New(&stripesdk.SubscriptionScheduleParams{FromSubscription: &sub.ID})
	require.NoError(t, err)
	require.Equal(t, trial, made.Phases[0].TrialEnd)
	update := func(present, later string) int {
		return s.do(t, "POST", "/v1/subscription_schedules/"+made.ID, "phases[0][items][0][price]="+s.pro.ID+"&phases[0][items][0][quantity]=1"+present+
			"&phases[1][items][0][price]="+s.basic.ID+"&phases[1][items][0][quantity]=1&phases[1][iterations]=1"+later).status
	}
	kept := fmt.Sprintf("&phases[0][end_date]=%d&phases[0][trial_end]=%d", trial, trial)
	require.Equal(t, 400, update(fmt.Sprintf("&phases[0][end_date]=%d", trial), ""), "the trial would end")
	require.Equal(t, 400, update(kept, fmt.Sprintf("&phases[1][trial_end]=%d", trial+1)))
	require.Equal(t, 200, update(kept, ""))
	_, err = s.client.Prices.Update(s.pro.ID, &stripesdk.PriceParams{Active: stripesdk.Bool(false)})
	require.NoError(t, err)
	require.Equal(t, 400, update(kept, ""))
}

// A schedule that is released leaves the subscription as it is.
func TestAReleasedSchedule(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.pro))
	made := s.schedule(t, sub, s.basic)
	for _, c := range []struct{ path, form string }{
		{"/v1/subscription_schedules", "from_subscription=" + sub.ID},
		{"/v1/subscription_schedules", "customer=" + s.customer},
		{"/v1/subscription_schedules/" + made.ID, "phases[0][items][0][price]=" + s.pro.ID + "&phases[0][trial]=true"},
		{"/v1/subscription_schedules/" + made.ID, "phases[0][items][0][price]=price_none"},
	} {
		require.Equal(t, 400, s.do(t, "POST", c.path, c.form).status, "%v", c)
	}
	got, err := s.client.SubscriptionSchedules.Release(made.ID, nil)
	require.NoError(t, err)
	require.Equal(t, stripesdk.SubscriptionScheduleStatusReleased, got.Status)
	_, err = s.client.SubscriptionSchedules.Release(made.ID, nil)
	require.Error(t, err)
	s.now.at = time.Unix(sub.CurrentPeriodEnd, 0).Add(time.Hour)
	_, err = s.Advance()
	require.NoError(t, err)
	now, err := s.client.Subscriptions.Get(sub.ID, nil)
	require.NoError(t, err)
	require.Nil(t, now.Schedule)
	require.Equal(t, s.pro.ID, now.Items.Data[0].Price.ID)
}
