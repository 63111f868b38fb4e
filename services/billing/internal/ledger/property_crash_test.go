package ledger_test

import (
	"context"
	"errors"

	"pgregory.net/rapid"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// errCrash is what a caller sees of a process that dies.
var errCrash = errors.New("the process died")

// failing is a store whose next write fails at a point: "middle" within the decision, "decided" after it, "committed" after the commit, when nobody has seen
// the answer; "" for a write that succeeds. Most rows of a decision are written after it, so that they are not in the database yet at the
// first two points. TestKilledAtEachPoint kills a process in the commit.
type failing struct {
	*store.Store
	point string
	// rows is how many rows are decided before the middle.
	rows int
}

// take returns the point, once.
func (f *failing) take() (point string) {
	point, f.point = f.point, ""
	return point
}

func (f *failing) Write(ctx context.Context, accountID string, fn func(context.Context, ledger.Tx) error) error {
	return f.WriteCall(ctx, ledger.Caller{AccountID: accountID}, fn)
}

func (f *failing) WriteCall(ctx context.Context, caller ledger.Caller, fn func(context.Context, ledger.Tx) error) error {
	point := f.take()
	err := f.Store.WriteCall(ctx, caller, f.crashing(point, fn))
	if err == nil && point == "committed" {
		return errCrash
	}
	return err
}

// crashing is a decision that fails at a point before the commit.
func (f *failing) crashing(point string, fn func(context.Context, ledger.Tx) error) func(context.Context, ledger.Tx) error {
	return func(ctx context.Context, tx ledger.Tx) error {
		if point == "middle" {
			tx = &failingTx{Tx: tx, left: f.rows}
		}
		if err := fn(ctx, tx); err != nil {
			return err
		}
		if point == "decided" {
			return errCrash
		}
		return nil
	}
}

func (f *failing) Fold(ctx context.Context, accountIDs []string, limit int, how ledger.Folding) (int, error) {
	point := f.take()
	if point == "middle" || point == "decided" {
		return 0, errCrash
	}
	n, err := f.Store.Fold(ctx, accountIDs, limit, how)
	if err == nil && point == "committed" {
		return 0, errCrash
	}
	return n, err
}

// failingTx fails at a row.
type failingTx struct {
	ledger.Tx
	left int
}

func (tx *failingTx) next() error {
	tx.left--
	if tx.left < 0 {
		return errCrash
	}
	return nil
}

func (tx *failingTx) SaveAccount(ctx context.Context, a ledger.Account) error {
	return errors.Join(tx.next(), tx.Tx.SaveAccount(ctx, a))
}

func (tx *failingTx) InsertGrant(ctx context.Context, g ledger.Grant) (bool, error) {
	if err := tx.next(); err != nil {
		return false, err
	}
	return tx.Tx.InsertGrant(ctx, g)
}

func (tx *failingTx) SetRemaining(ctx context.Context, grantID string, remaining int64) error {
	return errors.Join(tx.next(), tx.Tx.SetRemaining(ctx, grantID, remaining))
}

func (tx *failingTx) InsertEntry(ctx context.Context, e ledger.Entry) error {
	return errors.Join(tx.next(), tx.Tx.InsertEntry(ctx, e))
}

func (tx *failingTx) CloseHold(ctx context.Context, h ledger.Hold, from ledger.State) error {
	return errors.Join(tx.next(), tx.Tx.CloseHold(ctx, h, from))
}

// restart is the process after its end: it remembers nothing.
func (m *model) restart() { m.b.Ledger = m.b.over(m.failing) }

// try does something during which the process may die. The caller then does it again.
func (m *model) try(t *rapid.T, do func() error) error {
	m.failing.point = rapid.SampledFrom([]string{"", "", "", "", "middle", "decided", "committed"}).Draw(t, "dies")
	m.failing.rows = rapid.IntRange(0, 3).Draw(t, "rows")
	err := do()
	m.failing.point = ""
	if errors.Is(err, errCrash) {
		m.restart()
		return do()
	}
	return err
}
