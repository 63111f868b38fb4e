package ledger

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// Billed is what is mirrored of an account at Stripe, as JSON.
type Billed struct {
	Subscriptions, Invoices, Schedules [][]byte
	// Deleted are the account's customers that Stripe no longer has.
	Deleted []string
}

// opens tells whether an account exists, or has bought what opens it. A checkout that comes to nothing opens none: anybody can begin one for any number of
// organizations, and an account that a purchase opens has free credit. Its notices are written.
func (l *Ledger) opens(ctx context.Context, tx Tx, accountID string) (bool, error) {
	if _, err := tx.LockAccount(ctx, accountID); !errors.Is(err, ErrNotFound) {
		return err == nil, err
	}
	in, st, err := l.derive(ctx, tx, accountID, l.now())
	if err != nil {
		return false, err
	}
	if st.Access != subscriptions.None && st.Status != "incomplete" && st.Status != "incomplete_expired" {
		return true, nil
	}
	return false, l.noticeSubscription(ctx, tx, accountID, in, st, subscriptions.State{})
}

// derive works out what the mirrored objects of an account entitle it to.
func (l *Ledger) derive(ctx context.Context, tx Tx, accountID string, now time.Time) (in subscriptions.Input, st subscriptions.State, err error) {
	billed, err := tx.Billed(ctx, accountID)
	if err != nil || len(billed.Subscriptions) == 0 {
		return in, st, err
	}
	if in, err = input(billed); err != nil {
		return in, st, err
	}
	in.Catalog, in.Now = l.plans, now
	st = subscriptions.Derive(in)
	if len(st.Unmapped) > 0 && l.reload != nil {
		if err := l.reload(ctx); err != nil {
			return in, st, err
		}
		st = subscriptions.Derive(in)
	}
	for _, id := range st.Unmapped {
		l.log.WarnContext(ctx, "a subscription at Stripe has a price that no applied plan has; it gives nothing", slog.String("account", accountID), slog.String("subscription", id))
	}
	for _, id := range st.Duplicates {
		l.log.WarnContext(ctx, "the account has two live subscriptions at Stripe; cancel this one", slog.String("account", accountID), slog.String("subscription", id))
	}
	return in, st, nil
}

func input(billed Billed) (in subscriptions.Input, err error) {
	for _, body := range billed.Subscriptions {
		s, err := subscriptions.ParseSubscription(body)
		if err != nil {
			return in, err
		}
		s.CustomerDeleted = slices.Contains(billed.Deleted, s.Customer)
		in.Subscriptions = append(in.Subscriptions, s)
	}
	for _, body := range billed.Invoices {
		inv, err := subscriptions.ParseInvoice(body)
		if err != nil {
			return in, err
		}
		in.Invoices = append(in.Invoices, inv)
	}
	for _, body := range billed.Schedules {
		s, err := subscriptions.ParseSchedule(body)
		if err != nil {
			return in, err
		}
		in.Schedules = append(in.Schedules, s)
	}
	return in, nil
}
