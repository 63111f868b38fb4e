package mailing_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/mailing"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
)

// recovered is a store that has at most one notice, of the kind recovered.
type recovered struct {
	mailing.Store
	notices []notices.Notice
	err     error
}

func (s recovered) Notices(_ context.Context, accountID string, kind notices.Kind, before string, limit int) ([]notices.Notice, error) {
	if accountID != "org_1" || kind != notices.Recovered || before != "" || limit != 1 {
		return nil, errors.New("these are other notices")
	}
	return s.notices, s.err
}

func TestOutdated(t *testing.T) {
	now := time.Date(2026, 3, 9, 9, 0, 0, 0, time.UTC)
	later, earlier := "ntc_9", "ntc_1"
	one := func(id, subscription string) recovered {
		return recovered{notices: []notices.Notice{{ID: id, Kind: notices.Recovered, Data: notices.Data{SubscriptionID: subscription}}}}
	}
	for name, c := range map[string]struct {
		kind  notices.Kind
		time  time.Time
		store recovered
		want  bool
	}{
		"a trial that ends later":          {notices.TrialWillEnd, now.Add(time.Second), recovered{}, false},
		"a trial that ends now":            {notices.TrialWillEnd, now, recovered{}, true},
		"a trial that has ended":           {notices.TrialWillEnd, now.Add(-time.Hour), recovered{}, true},
		"a plan that ends later":           {notices.WillEnd, now.Add(time.Second), recovered{}, false},
		"a plan that has ended":            {notices.WillEnd, now, recovered{}, true},
		"a change to come":                 {notices.WillChange, now.Add(time.Second), recovered{}, false},
		"a change that took place":         {notices.WillChange, now, recovered{}, true},
		"an unknown time":                  {notices.WillEnd, time.Time{}, recovered{}, false},
		"what has happened":                {notices.Ended, now.Add(-time.Hour), recovered{}, false},
		"a payment that failed":            {notices.PaymentFailed, now.Add(-time.Hour), one(later, "sub_1"), false},
		"suspended":                        {notices.Downgraded, now.Add(-time.Hour), recovered{}, false},
		"suspended, then recovered":        {notices.Downgraded, now.Add(-time.Hour), one(later, "sub_1"), true},
		"recovered, then suspended":        {notices.Downgraded, now.Add(-time.Hour), one(earlier, "sub_1"), false},
		"another subscription's recovery":  {notices.Downgraded, now.Add(-time.Hour), one(later, "sub_2"), false},
		"a recovery that was mailed later": {notices.Recovered, now.Add(-time.Hour), one(later, "sub_1"), false},
	} {
		m := mailing.Mailer{Options: mailing.Options{Store: c.store, Now: func() time.Time { return now }}}
		got, err := m.Outdated(t.Context(), notices.Notice{ID: "ntc_5", AccountID: "org_1", Kind: c.kind, Data: notices.Data{Time: c.time, SubscriptionID: "sub_1"}})
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
	m := mailing.Mailer{Options: mailing.Options{Store: recovered{err: context.Canceled}, Now: func() time.Time { return now }}}
	_, err := m.Outdated(t.Context(), notices.Notice{ID: "ntc_5", AccountID: "org_1", Kind: notices.Downgraded})
	require.ErrorIs(t, err, context.Canceled)
}
