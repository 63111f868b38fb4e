package checkout_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// team is an organization with a subscription whose seats are due.
type team struct {
	checkout.Changer
	checkout.Store
	*billingtest.Clock
	db      *database.DB
	kept    int       // how often the job was kept
	period  time.Time // the end of Stripe's period
	plan    string
	members checkout.Members
	seats   int64
	phases  string // the phases of its schedule
	end     string // what happens at the end of its schedule
	err     error  // of the next changes
	called  []string
	keys    []string
	waited  time.Duration
	due     []string // default org_1
	told    []notices.Notice
	// reports come between the first reading of the members and the turn.
	reports []checkout.Members
}

func (o *team) DueSeats(context.Context, time.Time, int) ([]string, error) {
	if len(o.due) > 0 {
		return o.due, nil
	}
	return []string{"org_1"}, nil
}

func (o *team) Members(context.Context, string) (checkout.Members, error) {
	m := o.members
	if len(o.reports) > 0 {
		o.reports[0].Attempt = o.members.Attempt
		o.members, o.reports = o.reports[0], o.reports[1:]
	}
	return m, nil
}

func (o *team) PostponeSeats(_ context.Context, _ string, sequence int64, next time.Time) error {
	if sequence == o.members.Sequence {
		o.waited = next.Sub(o.Now())
	}
	return nil
}

func (o *team) SaveSeatAttempt(_ context.Context, _, text string) error {
	o.members.Attempt = text
	return nil
}

func (o *team) CardSince(context.Context, string, time.Time) (bool, error) { return false, nil }

func (o *team) Subscription(context.Context, string) (subscriptions.State, error) {
	return subscriptions.State{SubscriptionID: "sub_1", Access: subscriptions.Active, Plan: plans.Plan{ID: o.plan, Version: 1}}, nil
}

func (o *team) Replacement(context.Context, string) (checkout.Replacement, error) {
	return checkout.Replacement{}, ledger.ErrNotFound
}

func (o *team) Sync(_ context.Context, kind mirror.Kind, id string) (mirror.Object, error) {
	body := fmt.Sprintf(`{"id":%q,"end_behavior":%q,"phases":[%s]}`, id, cmp.Or(o.end, "release"), o.phases)
	if kind == mirror.Subscription {
		schedule := ""
		if o.phases != "" {
			schedule = "sub_sched_1"
		}
		body = fmt.Sprintf(`{"id":%q,"status":"active","schedule":%q,"current_period_start":%d,"current_period_end":%d,
			"items":{"data":[{"id":"si_1","quantity":%d,"price":{"id":%q}}]}}`,
			id, schedule, o.period.AddDate(0, -1, 0).Unix(), o.period.Unix(), o.seats, "price_"+o.plan)
	}
	return mirror.Object{Kind: kind, ID: id, Body: []byte(body)}, nil
}

func (o *team) Look(context.Context, mirror.Kind, string) (mirror.Object, error) {
	return mirror.Object{}, nil
}

func (o *team) Notify(_ context.Context, accountID string, n notices.Notice) error {
	n.AccountID = accountID
	o.told = append(o.told, n)
	return nil
}

func (o *team) call(text string, args ...any) error {
	o.called = append(o.called, fmt.Sprintf(text, args...))
	return o.err
}

func (o *team) Change(_ context.Context, p checkout.Preview, key string) (checkout.Changed, error) {
	o.keys = append(o.keys, fmt.Sprint(key, " ", p.Date.Unix()))
	return checkout.Changed{}, o.call("change to %d", p.Quantity)
}

func (o *team) ScheduleChange(_ context.Context, p checkout.Preview) error {
	return o.call("schedule %d of %s", p.Quantity, p.Price)
}

func (o *team) ReleaseSchedule(context.Context, string) error { return o.call("release") }

// begins is a phase that begins some days after the period's end.
func (o *team) begins(days int, price string, seats int64) string {
	return fmt.Sprintf(`{"start_date":%d,"items":[{"price":%q,"quantity":%d}]}`, o.period.AddDate(0, 0, days).Unix(), price, seats)
}

// followed runs a test with an organization that has three seats, on both databases. follow is one round.
func followed(t *testing.T, test func(t *testing.T, o *team, follow func() error)) {
	t.Helper()
	catalog, err := plans.Load("", "free", nil)
	require.NoError(t, err)
	var offers []plans.Offer
	for _, id := range []string{"crew", "small", "solo"} {
		p := plans.Plan{ID: id, Version: 1, Price: 20 * plans.Cent}
		if id != "solo" {
			p.Seats = &plans.Seats{Min: 1, Max: 9, PerMember: true}
		}
		offers = append(offers, plans.Offer{Plan: &p, Current: true, Prices: map[plans.Interval]string{plans.Month: "price_" + id}})
	}
	offers = append(offers, plans.Offer{ // Stripe charges at most $999,999.99 at once: four seats of a year
		Plan:    &plans.Plan{ID: "annual", Version: 1, Price: 20 * plans.Cent, YearlyPrice: 200_000_00 * plans.Cent, Seats: &plans.Seats{Min: 1, Max: 9, PerMember: true}},
		Current: true, Prices: map[plans.Interval]string{plans.Month: "price_monthly", plans.Year: "price_annual"},
	})
	catalog.Set(offers)
	databasetest.Each(t, job.Migrations(), func(t *testing.T, db *database.DB) {
		clock := billingtest.NewClock(time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC))
		o := &team{
			Clock: clock, db: db, period: clock.Now().AddDate(0, 0, 10), plan: "crew", seats: 3, members: checkout.Members{Count: 3, Sequence: 1},
		}
		service := checkout.New(checkout.Options{Database: db, Store: o, Changer: o, Mirror: o, Catalog: catalog, Notify: o.Notify, Now: clock.Now})
		test(t, o, func() error {
			return service.FollowSeats(t.Context(), func(context.Context) error { o.kept++; return nil })
		})
	})
}

// Only a schedule with one later phase, of a plan that is known, follows the members. When it begins is said by Stripe's period.
func TestSeatsOfSchedules(t *testing.T) {
	for name, c := range map[string]struct {
		members int64
		full    bool // all nine seats are taken now
		late    bool // this clock is at the period's end, and Stripe's is not
		phases  func(o *team) []string
		called  []string
		wait    time.Duration
	}{
		"none":                     {members: 2, called: []string{"schedule 2 of price_crew"}, wait: time.Hour},
		"a change of plan":         {members: 2, phases: func(o *team) []string { return []string{o.begins(0, "price_small", 3)} }, called: []string{"schedule 2 of price_small"}, wait: time.Hour},
		"a change to a year":       {members: 9, full: true, phases: func(o *team) []string { return []string{o.begins(0, "price_annual", 3)} }, called: []string{"schedule 4 of price_annual"}, wait: time.Hour},
		"fewer seats":              {members: 3, phases: func(o *team) []string { return []string{o.begins(0, "price_crew", 2)} }, called: []string{"release"}, wait: time.Hour},
		"the present phase":        {members: 2, phases: func(o *team) []string { return []string{o.begins(-20, "price_small", 3)} }, called: []string{"schedule 2 of price_crew"}, wait: time.Hour},
		"an unknown price":         {members: 2, phases: func(o *team) []string { return []string{o.begins(0, "price_other", 3)} }, wait: time.Hour},
		"two later phases":         {members: 2, phases: func(o *team) []string { return []string{o.begins(0, "price_small", 3), o.begins(31, "price_small", 1)} }, wait: time.Hour},
		"a cancellation":           {members: 2, phases: func(o *team) []string { o.end = "cancel"; return nil }, wait: time.Hour},
		"a renewal that is due":    {members: 2, late: true, phases: func(o *team) []string { return []string{o.begins(0, "price_small", 3)} }, wait: time.Minute},
		"more seats, but it's due": {members: 5, late: true, wait: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			followed(t, func(t *testing.T, o *team, follow func() error) {
				o.members.Count = c.members
				if c.full {
					o.seats = 9
				}
				if c.phases != nil {
					o.phases = strings.Join(append([]string{o.begins(-30, "price_crew", 3)}, c.phases(o)...), ",")
				}
				if c.late {
					o.Set(o.period)
				}
				require.NoError(t, follow())
				require.Equal(t, c.called, o.called)
				require.Equal(t, c.wait, o.waited)
			})
		})
	}
}

// A key stays until its outcome is known, and no longer. What Stripe refuses waits longer than what may succeed soon.
func TestTheKeyOfAChangeOfSeats(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		keep bool
		wait time.Duration
	}{
		"done":             {wait: time.Minute},
		"refused":          {err: &outcome.RefusedError{Status: 400}, wait: time.Hour},
		"fails for good":   {err: &outcome.UnknownError{Err: errors.New("500"), Spent: true}, wait: time.Minute},
		"unknown":          {err: &outcome.UnknownError{Err: errors.New("closed")}, keep: true, wait: time.Minute},
		"busy":             {err: &outcome.BusyError{Err: errors.New("429")}, keep: true, wait: time.Minute},
		"the turn is lost": {err: fmt.Errorf("keep: %w", job.ErrLost), keep: true, wait: time.Minute},
		"no database":      {err: errors.New("database is away"), keep: true, wait: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			followed(t, func(t *testing.T, o *team, follow func() error) {
				o.members.Count, o.err = 5, c.err
				require.ErrorIs(t, follow(), c.err)
				require.Equal(t, c.wait, o.waited)
				require.Equal(t, c.keep, o.members.Attempt != "")
				o.Add(c.wait)
				o.err = nil
				require.NoError(t, follow())
				require.Len(t, o.keys, 2)
				require.Equal(t, c.keep, o.keys[0] == o.keys[1], "%v", o.keys)
				require.Empty(t, o.members.Attempt)
			})
		})
	}
}

// More members than the plan has seats at most: the account is told, and pays for the maximum.
func TestMoreMembersThanSeats(t *testing.T) {
	for _, c := range []struct {
		plan    string
		members int64
		called  []string
		told    int
		most    int64
	}{
		{"crew", 9, []string{"change to 9"}, 0, 9},
		{"crew", 12, []string{"change to 9"}, 1, 9},
		{"annual", 4, []string{"change to 4"}, 0, 4},
		{"annual", 12, []string{"change to 4"}, 1, 4},
	} {
		followed(t, func(t *testing.T, o *team, follow func() error) {
			o.plan, o.members.Count = c.plan, c.members
			require.NoError(t, follow())
			require.Equal(t, c.called, o.called)
			require.Len(t, o.told, c.told)
			for _, n := range o.told {
				start := o.period.AddDate(0, -1, 0)
				require.Equal(t, notices.Notice{
					AccountID: "org_1", Source: fmt.Sprintf("sub:sub_1:seats_exceeded:%d:%d", start.Unix(), c.most), Kind: notices.SeatsExceeded,
					Data: notices.Data{Time: o.Now(), PlanID: c.plan, PlanVersion: 1, Seats: c.most, Members: 12, SubscriptionID: "sub_1"},
				}, n)
			}
		})
	}
}

// While Stripe does not answer, a round ends with the first account. Other failures keep nobody from its turn.
func TestARoundOfSeatsEndsWhileStripeIsSilent(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		called int
	}{
		"no answer":         {&outcome.UnknownError{Err: errors.New("closed")}, 1},
		"busy":              {&outcome.BusyError{Err: errors.New("429")}, 1},
		"a read is refused": {&mirror.LaterError{Err: errors.New("429"), After: time.Second}, 1},
		"a read fails":      {&mirror.SilentError{Err: errors.New("500")}, 1},
		"no time left":      {fmt.Errorf("seats: %w", context.DeadlineExceeded), 1},
		"refused":           {&outcome.RefusedError{Status: 400}, 2},
		"another error":     {errors.New("unreadable"), 2},
	} {
		t.Run(name, func(t *testing.T) {
			followed(t, func(t *testing.T, o *team, follow func() error) {
				o.due, o.members.Count, o.err = []string{"org_1", "org_2"}, 5, c.err
				require.ErrorIs(t, follow(), c.err)
				require.Len(t, o.called, c.called)
			})
		})
	}
}

// A failure to schedule seats must not miss the renewal.
func TestSeatsThatCannotBeScheduled(t *testing.T) {
	for _, c := range []struct {
		err  error
		wait time.Duration
	}{
		{&outcome.BusyError{Err: errors.New("429")}, time.Minute},
		{&outcome.UnknownError{Err: errors.New("500"), Spent: true}, time.Minute},
		{&outcome.RefusedError{Status: 400}, time.Hour},
		{checkout.ErrExpired, time.Hour},
	} {
		followed(t, func(t *testing.T, o *team, follow func() error) {
			o.members.Count, o.err = 2, c.err
			require.ErrorIs(t, follow(), c.err)
			require.Equal(t, c.wait, o.waited, "%v", c.err)
		})
	}
}

// The members are those of the moment when the account's turn begins, and a report that comes later is not postponed.
func TestSeatsOfTheNewestReport(t *testing.T) {
	followed(t, func(t *testing.T, o *team, follow func() error) {
		o.reports = []checkout.Members{{Count: 5, Sequence: 2}, {Count: 6, Sequence: 3}}
		require.NoError(t, follow())
		require.Equal(t, []string{"change to 5"}, o.called)
		require.Zero(t, o.waited)
	})
}

// The job leaves the key that a checkout of the account has stored, and does not wait for a turn. Plans without seats for members take none.
func TestSeatsAndOtherTurns(t *testing.T) {
	for plan, c := range map[string]struct {
		wait   time.Duration
		called []string
	}{"crew": {time.Minute, []string{"change to 5"}}, "solo": {time.Hour, nil}} {
		followed(t, func(t *testing.T, o *team, follow func() error) {
			o.plan, o.members.Count = plan, 5
			turn := func(fn func(ctx context.Context, h *job.Holder) error) error {
				return job.Run(t.Context(), o.db, checkout.JobName("org_1"), job.Options{Now: o.Now, Aside: true}, fn)
			}
			require.NoError(t, turn(func(ctx context.Context, h *job.Holder) error {
				require.NoError(t, follow(), "busy")
				require.Empty(t, o.called)
				require.Equal(t, c.wait, o.waited)
				return h.Save(ctx, "the key of a checkout")
			}))
			require.NoError(t, follow())
			require.Equal(t, c.called, o.called)
			require.Equal(t, 2, o.kept)
			require.NoError(t, turn(func(_ context.Context, h *job.Holder) error {
				var saved string
				require.True(t, h.Load(&saved))
				require.Equal(t, "the key of a checkout", saved)
				return nil
			}))
		})
	}
}
