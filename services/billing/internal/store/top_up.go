package store

import (
	"context"
	"fmt"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
	"github.com/trivet-dev/trivet/services/billing/internal/topup"
)

var _ topup.Store = (*Store)(nil)

// TopUp reads an account's setting; see topup.Store.
func (s *Store) TopUp(ctx context.Context, accountID string) (topup.Setting, error) {
	row, err := s.read.GetTopUp(ctx, accountID)
	if err != nil {
		return topup.Setting{}, translate(err)
	}
	return topup.Setting{
		AccountID: row.AccountID, PackID: row.PackID, Threshold: row.Threshold, MonthlyCap: row.MonthlyCap, State: topup.State(row.State),
		Declines: row.Declines, SetTime: toTime(row.SetTime),
	}, nil
}

// SetTopUp replaces an account's setting. Its row is locked before the purchases are read, as in BeginTopUp.
func (s *Store) SetTopUp(ctx context.Context, t topup.Setting, pause time.Duration) error {
	return s.write(ctx, t.AccountID, func(ctx context.Context, q *db.Queries) error {
		err := q.PutTopUp(ctx, db.PutTopUpParams{
			AccountID: t.AccountID, PackID: t.PackID, Threshold: t.Threshold, MonthlyCap: t.MonthlyCap, State: string(t.State), SetTime: t.SetTime.UnixMicro(),
		})
		if err != nil {
			return err
		}
		// After the write: either this sees the erasure, or the erasure waits for the end of this transaction.
		erased, err := q.IsErasedUser(ctx, hash(t.AccountID))
		if err != nil {
			return err
		}
		if erased > 0 {
			return &ledger.ErasedError{AccountID: t.AccountID}
		}
		last, err := q.LastTopUpCharge(ctx, t.AccountID)
		if err != nil {
			return err
		}
		return q.SetTopUpNext(ctx, db.SetTopUpNextParams{AccountID: t.AccountID, NextTime: last + pause.Microseconds()})
	})
}

// DueTopUps lists accounts whose balance is at the threshold; see topup.Store.
func (s *Store) DueTopUps(ctx context.Context, at time.Time, limit int) ([]string, error) {
	ids, err := s.read.ListDueTopUps(ctx, db.ListDueTopUpsParams{AtTime: at.UnixMicro(), Most: int64(limit)})
	return ids, translate(err)
}

// PostponeTopUp has an account wait; see topup.Store.
func (s *Store) PostponeTopUp(ctx context.Context, accountID string, next time.Time) error {
	return s.write(ctx, accountID, func(ctx context.Context, q *db.Queries) error {
		return q.SetTopUpNext(ctx, db.SetTopUpNextParams{AccountID: accountID, NextTime: next.UnixMicro()})
	})
}

// TopUpSpent sums purchases, in cents.
func (s *Store) TopUpSpent(ctx context.Context, accountID string, since time.Time) (int64, error) {
	sum, err := s.read.SumTopUps(ctx, db.SumTopUpsParams{AccountID: accountID, Since: since.UnixMicro()})
	return sum, translate(err)
}

// BeginTopUp writes a purchase, if the account may make one; see topup.Store.
func (s *Store) BeginTopUp(
	ctx context.Context, t topup.Setting, c topup.Charge, pause time.Duration, month time.Time, maxCents int64,
) (begun bool, err error) {
	err = s.write(ctx, c.AccountID, func(ctx context.Context, q *db.Queries) error {
		begun = false
		claimed, err := q.ClaimTopUp(ctx, db.ClaimTopUpParams{
			AccountID: c.AccountID, AtTime: c.CreateTime.UnixMicro(), NextTime: c.CreateTime.Add(pause).UnixMicro(), SetTime: t.SetTime.UnixMicro(),
		})
		if err != nil || claimed == 0 {
			return err
		}
		spent, err := q.SumTopUps(ctx, db.SumTopUpsParams{AccountID: c.AccountID, Since: month.UnixMicro()})
		if err != nil || spent+c.Cents > maxCents { // it is checked again after the pause
			return err
		}
		n, err := q.InsertTopUpCharge(ctx, db.InsertTopUpChargeParams{
			ID: c.ID, AccountID: c.AccountID, PackID: c.PackID, Price: c.Price, Cents: c.Cents, CreateTime: c.CreateTime.UnixMicro(),
		})
		begun = n > 0
		return err
	})
	return begun, err
}

// OpenTopUps lists purchases in progress that are due; see topup.Store.
func (s *Store) OpenTopUps(ctx context.Context, at time.Time, limit int) ([]topup.Charge, error) {
	rows, err := s.read.ListOpenTopUpCharges(ctx, db.ListOpenTopUpChargesParams{AtTime: at.UnixMicro(), Most: int64(limit)})
	return toTopUps(rows), translate(err)
}

// TopUpCharge reads a purchase.
func (s *Store) TopUpCharge(ctx context.Context, id string) (topup.Charge, error) {
	row, err := s.read.GetTopUpCharge(ctx, id)
	return toTopUp(row), translate(err)
}

// TopUpCharges lists purchases of an account, newest first.
func (s *Store) TopUpCharges(ctx context.Context, accountID string, limit int) ([]topup.Charge, error) {
	rows, err := s.read.ListTopUpCharges(ctx, db.ListTopUpChargesParams{AccountID: accountID, Most: int64(limit)})
	return toTopUps(rows), translate(err)
}

func toTopUps(rows []db.TopUpCharge) []topup.Charge {
	all := make([]topup.Charge, 0, len(rows))
	for _, r := range rows {
		all = append(all, toTopUp(r))
	}
	return all
}

func toTopUp(r db.TopUpCharge) topup.Charge {
	return topup.Charge{
		ID: r.ID, AccountID: r.AccountID, PackID: r.PackID, Price: r.Price, Cents: r.Cents, State: topup.Progress(r.State),
		Verdict: topup.State(r.Verdict), CreateTime: toTime(r.CreateTime), NextTime: toTime(r.NextTime), Attempts: r.Attempts, SpentKeys: r.SpentKeys,
		CustomerID: r.CustomerID, InvoiceID: r.InvoiceID, ItemID: r.ItemID, Problem: r.Problem,
	}
}

// SaveTopUp writes how far a purchase is. Its end counts once for the setting, whose row is locked first, as in BeginTopUp, and makes its notices.
func (s *Store) SaveTopUp(ctx context.Context, c topup.Charge, now time.Time) error {
	return translate(s.db.Write(ctx, c.AccountID, func(ctx context.Context, t database.Tx) error {
		u := s.newUnit(t, false)
		if err := u.q.LockTopUp(ctx, c.AccountID); err != nil {
			return err
		}
		n, err := u.q.SaveTopUpCharge(ctx, db.SaveTopUpChargeParams{
			ID: c.ID, State: string(c.State), Verdict: string(c.Verdict), NextTime: c.NextTime.UnixMicro(), Attempts: c.Attempts, SpentKeys: c.SpentKeys,
			CustomerID: c.CustomerID, InvoiceID: c.InvoiceID, ItemID: c.ItemID, Problem: c.Problem,
		})
		if err != nil || n == 0 {
			return err
		}
		switch c.State { //nolint:exhaustive // only an end counts
		case topup.Paid:
			if err := u.q.ClearTopUpDeclines(ctx, c.AccountID); err != nil {
				return err
			}
			return u.tellTopUp(ctx, c, notices.TopUpSucceeded, now)
		case topup.Failed:
			return u.topUpFailed(ctx, c, now)
		case topup.Canceled:
			if c.Problem != "" { // Stripe refused it for a reason other than the card
				return u.topUpRefused(ctx, c, now)
			}
		}
		return nil
	}))
}

// topUpFailed counts a failed payment, and tells of it and of the end of the top-up.
func (u *unit) topUpFailed(ctx context.Context, c topup.Charge, now time.Time) error {
	kind := notices.TopUpFailed
	if c.Verdict == topup.Authentication {
		kind = notices.TopUpAuthentication
	}
	if err := u.tellTopUp(ctx, c, kind, now); err != nil {
		return err
	}
	before, err := u.q.GetTopUp(ctx, c.AccountID)
	if translate(err) == ledger.ErrNotFound { //nolint:errorlint // translate returns it as it is
		return nil
	}
	if err != nil {
		return err
	}
	err = u.q.CountTopUpDecline(ctx, db.CountTopUpDeclineParams{
		AccountID: c.AccountID, Verdict: string(c.Verdict), CreateTime: c.CreateTime.UnixMicro(),
	})
	if err != nil {
		return err
	}
	after, err := u.q.GetTopUp(ctx, c.AccountID)
	if err != nil || before.State != string(topup.On) || after.State == before.State {
		return err
	}
	return u.tell(ctx, c.AccountID, notices.TopUpOff(toTime(after.SetTime), now, after.State), now)
}

const (
	// refusalReminder is how often a notice repeats that Stripe still refuses the purchases of an account, which are tried each day.
	refusalReminder = 7 * 24 * time.Hour
	// refusalPause ends a series of refusals: the balance was fine meanwhile, and the next refusal is news.
	refusalPause = 3 * 24 * time.Hour
)

// topUpRefused tells of a refusal that is not the card's fault: when it begins, and then each week that it lasts. Another problem is another refusal.
func (u *unit) topUpRefused(ctx context.Context, c topup.Charge, now time.Time) error {
	begin, err := u.q.TopUpRefusalsBegin(ctx, c.AccountID)
	if err != nil {
		return err
	}
	first, err := u.q.FirstTopUpRefusal(ctx, db.FirstTopUpRefusalParams{
		AccountID: c.AccountID, Problem: c.Problem, Since: begin, Pause: refusalPause.Microseconds(),
	})
	if err != nil {
		return err
	}
	since := toTime(first)
	if first == 0 { // the setting is gone or newer
		since = c.CreateTime
	}
	n := topUpNotice(c, notices.TopUpFailed, now)
	n.Source = fmt.Sprintf("top_up:refused:%s:%d:%d", hash(c.Problem), since.UnixMicro(), max(c.CreateTime.Sub(since), 0)/refusalReminder)
	return u.tell(ctx, c.AccountID, n, now)
}

// tellTopUp writes the notice of the end of a purchase.
func (u *unit) tellTopUp(ctx context.Context, c topup.Charge, kind notices.Kind, now time.Time) error {
	return u.tell(ctx, c.AccountID, topUpNotice(c, kind, now), now)
}

func topUpNotice(c topup.Charge, kind notices.Kind, now time.Time) notices.Notice {
	return notices.Notice{
		Source: c.ID + ":" + string(c.State), Kind: kind,
		Data: notices.Data{Time: now, Amount: c.Cents * plans.Cent, InvoiceID: c.InvoiceID, ObjectID: c.ID, Problem: c.Problem},
	}
}

// tell writes a notice once for its source.
func (u *unit) tell(ctx context.Context, accountID string, n notices.Notice, now time.Time) error {
	n.ID, n.AccountID, n.CreateTime = ledger.NoticeID(now), accountID, now
	_, err := u.InsertNotice(ctx, n)
	return err
}

// HasCards tells whether an account has a payment method at Stripe.
func (s *Store) HasCards(ctx context.Context, accountID string) (bool, error) {
	n, err := s.read.CountCards(ctx, accountID)
	return n > 0, translate(err)
}

// CardSince tells whether an account has a newer payment method at Stripe; see checkout.Store.
func (s *Store) CardSince(ctx context.Context, accountID string, since time.Time) (bool, error) {
	n, err := s.read.CountCardsSince(ctx, db.CountCardsSinceParams{AccountID: accountID, Since: since.UnixMicro()})
	return n > 0, translate(err)
}

// StopTopUp turns an account's top-up off; see ledger.Tx.
func (u *unit) StopTopUp(ctx context.Context, stop ledger.TopUpStop) (setUp time.Time, err error) {
	var micros int64
	if stop.Disputed {
		micros, err = u.q.StopTopUp(ctx, db.StopTopUpParams{AccountID: stop.AccountID, AtTime: stop.Time.UnixMicro()})
	} else {
		micros, err = u.q.RefuseTopUp(ctx, db.RefuseTopUpParams{AccountID: stop.AccountID, Paid: stop.Paid, AtTime: stop.Time.UnixMicro()})
	}
	return toTime(micros), translate(err)
}
