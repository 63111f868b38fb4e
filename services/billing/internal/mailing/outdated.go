package mailing

import (
	"context"

	"github.com/trivet-dev/trivet/services/billing/internal/notices"
)

// Invoice is a notice's invoice at Stripe.
type Invoice struct {
	// Settled is true when nothing can be paid any more, because it was paid, voided or written off.
	Settled bool
	// PayURL is where it can be paid; "" for nowhere.
	PayURL string
}

// outdated reports whether what a notice says stopped being true while its mail waited. Later mails are not held back meanwhile, so that one mail that the
// server delays does not delay all others of its account.
func (m *Mailer) outdated(ctx context.Context, n notices.Notice) (bool, error) {
	switch n.Kind {
	case notices.TrialWillEnd, notices.WillEnd, notices.WillChange: // they announce what has happened by now
		return !n.Data.Time.IsZero() && !m.Now().Before(n.Data.Time), nil
	case notices.Downgraded:
		later, err := m.Store.Notices(ctx, n.AccountID, notices.Recovered, "", 1)
		return err == nil && len(later) > 0 && later[0].ID > n.ID && later[0].Data.SubscriptionID == n.Data.SubscriptionID, err
	default: // Stripe tells of a payment that failed
		return false, nil
	}
}
