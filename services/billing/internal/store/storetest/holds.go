package storetest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

func holding(t *testing.T, s Store) {
	openAccount(t, s, "acc", 70)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(t, take(ctx, tx, newHold("h1", "acc", 60)))
		require.ErrorIs(t, take(ctx, tx, newHold("h1", "acc", 5)), errTaken, "within the batch")
		a, err := tx.LockAccount(ctx, "acc")
		require.NoError(t, err)
		require.EqualValues(t, 60, a.Held, "the batch sees its own changes")
	})
	require.EqualValues(t, 60, readAccount(t, s, "acc").Held)
	require.Equal(t, newHold("h1", "acc", 60), readHold(t, s, "h1"))
	runs := 0
	err := s.Write(t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) error {
		runs++
		return take(ctx, tx, newHold("h1", "acc", 5))
	})
	require.ErrorIs(t, err, errTaken, "by an earlier batch")
	require.Equal(t, 2, runs, "the first run assumes that it is new, the second looks")
	require.EqualValues(t, 60, readAccount(t, s, "acc").Held)
}

func openHolds(t *testing.T, s Store) {
	watch := func(want int64, oldest, lease time.Time) {
		t.Helper()
		count, gotOldest, gotLease, err := s.OpenHolds(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, count)
		require.Equal(t, oldest, gotOldest.UTC())
		require.Equal(t, lease, gotLease.UTC())
	}
	openAccount(t, s, "acc", 70)
	openGrant(t, s, "g1", 70)
	watch(0, time.Time{}, time.Time{})
	first := newHold("h1", "acc", 10)
	first.CreateTime = first.CreateTime.Add(-time.Hour)
	first.LeaseTime = first.LeaseTime.Add(time.Hour)
	write(t, s, func(ctx context.Context, tx ledger.Tx) { require.NoError(t, take(ctx, tx, first)) })
	second := openHold(t, s, "h2", 10)
	watch(2, first.CreateTime, second.LeaseTime)
	write(t, s, func(ctx context.Context, tx ledger.Tx) { require.NoError(t, charge(ctx, tx, first, 5)) })
	watch(1, second.CreateTime, second.LeaseTime)
}

// assumptions: what a first run assumes and is not so changes nothing.
func assumptions(t *testing.T, s Store) {
	openAccount(t, s, "acc", 70)
	openGrant(t, s, "g1", 70)
	h := openHold(t, s, "h1", 30)
	var seen []ledger.State
	settle := func(known ledger.Hold) error {
		seen = nil
		return s.Write(t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) error {
			now, err := tx.OpenHold(ctx, known)
			if err != nil {
				return err
			}
			seen = append(seen, now.State)
			if now.State != ledger.StateOpen {
				return nil
			}
			return charge(ctx, tx, now, 20)
		})
	}
	require.NoError(t, settle(h))
	require.Equal(t, []ledger.State{ledger.StateOpen}, seen, "one run is enough when it is so")
	require.NoError(t, settle(h), "the caller still remembers it as open")
	require.Equal(t, []ledger.State{ledger.StateOpen, ledger.StateSettled}, seen)
	a := readAccount(t, s, "acc")
	require.EqualValues(t, 50, a.Balance)
	require.EqualValues(t, 1, a.Period.Requests)
	require.Equal(t, map[string]int64{"g1": 50}, remaining(t, s, "acc"))
	require.ErrorIs(t, settle(newHold("none", "acc", 1)), ledger.ErrNotFound)
	require.EqualValues(t, 50, readAccount(t, s, "acc").Balance)
}

// failures: of decisions that share a batch, those that fail are undone and the others are not. A panic is one decision's failure too.
func failures(t *testing.T, s Store) {
	openAccount(t, s, "acc", 1000)
	var group sync.WaitGroup
	var failed atomic.Int64
	for i := range 60 {
		group.Go(func() {
			err := s.Write(t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) error {
				if err := take(ctx, tx, newHold("h"+strconv.Itoa(i), "acc", 1)); err != nil {
					return err
				}
				switch i % 6 {
				case 0:
					return errUndo
				case 1:
					panic("on purpose")
				case 2: // what only the database refuses
					return tx.InsertEntry(ctx, ledger.Entry{ID: strconv.Itoa(i), AccountID: "acc", Kind: "none", Debit: "a", Credit: "b", Amount: 1, CreateTime: base})
				}
				return nil
			})
			if err != nil {
				failed.Add(1)
			}
		})
	}
	group.Wait()
	require.EqualValues(t, 30, failed.Load())
	require.EqualValues(t, 30, readAccount(t, s, "acc").Held)
	for i := range 60 {
		_, err := s.Hold(t.Context(), "h"+strconv.Itoa(i))
		require.Equal(t, i%6 < 3, errors.Is(err, ledger.ErrNotFound), "hold %d: %v", i, err)
	}
}

// readingBack: whatever a batch has changed, it reads changed, in memory or in the database.
func readingBack(t *testing.T, s Store) {
	openAccount(t, s, "acc", 70)
	openGrant(t, s, "g1", 50)
	openGrant(t, s, "spent", 10)
	write(t, s, func(ctx context.Context, tx ledger.Tx) { require.NoError(t, tx.SetRemaining(ctx, "spent", 0)) })
	h := openHold(t, s, "h1", 30)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(t, take(ctx, tx, newHold("h2", "acc", 5)))
		sum, err := tx.HeldBefore(ctx, "acc", base.Add(time.Hour))
		require.NoError(t, err)
		require.EqualValues(t, 35, sum)
		require.NoError(t, charge(ctx, tx, h, 20))
		sum, err = tx.HeldBefore(ctx, "acc", base.Add(time.Hour))
		require.NoError(t, err)
		require.EqualValues(t, 5, sum)
		g, err := tx.GrantBySource(ctx, "acc", "source of g1")
		require.NoError(t, err)
		require.EqualValues(t, 30, g.Remaining)
		require.NoError(t, tx.SetRemaining(ctx, "spent", 4))
		live, err := tx.LiveGrants(ctx, "acc")
		require.NoError(t, err)
		require.Len(t, live, 2, "credit that comes back to a spent grant is live again")
	})
	require.EqualValues(t, 5, readAccount(t, s, "acc").Held)
	require.Equal(t, map[string]int64{"g1": 30, "spent": 4}, remaining(t, s, "acc"))
}

func holds(t *testing.T, s Store) {
	h := newHold("h1", "acc", 7)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		_, err := tx.Hold(ctx, "h1")
		require.ErrorIs(t, err, ledger.ErrNotFound)
		inserted, err := tx.InsertHold(ctx, h)
		require.NoError(t, err)
		require.True(t, inserted)
		inserted, err = tx.InsertHold(ctx, h)
		require.NoError(t, err)
		require.False(t, inserted)
		got, err := tx.Hold(ctx, "h1")
		require.NoError(t, err)
		require.Equal(t, h, got)

		for i, at := range []time.Duration{0, time.Second, 2 * time.Second} {
			other := newHold("other"+string(rune('a'+i)), "acc", 10)
			other.CreateTime = base.Add(at)
			_, err := tx.InsertHold(ctx, other)
			require.NoError(t, err)
		}
		_, err = tx.InsertHold(ctx, newHold("bees", "bee", 1000))
		require.NoError(t, err)
		sum, err := tx.HeldBefore(ctx, "acc", base)
		require.NoError(t, err)
		require.Zero(t, sum)
		sum, err = tx.HeldBefore(ctx, "acc", base.Add(2*time.Second))
		require.NoError(t, err)
		require.EqualValues(t, 27, sum)
		require.NoError(t, closeHold(ctx, tx, h, ledger.Closing{}))
		sum, err = tx.HeldBefore(ctx, "acc", base.Add(time.Hour))
		require.NoError(t, err)
		require.EqualValues(t, 30, sum, "only open ones")
	})
}

func checkpoints(t *testing.T, s Store) {
	openAccount(t, s, "acc", 70)
	h := openHold(t, s, "h1", 7)
	h.Used, h.LeaseTime = ledger.Usage{Input: 50, CachedInput: 2, Output: 60, Reasoning: 3}, base.Add(time.Hour)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(t, tx.ExtendHold(ctx, h))
		got, err := tx.Hold(ctx, "h1")
		require.NoError(t, err)
		require.Equal(t, h, got)
		require.ErrorIs(t, tx.ExtendHold(ctx, newHold("none", "acc", 1)), ledger.ErrNotFound)
	})
	require.Equal(t, h, readHold(t, s, "h1"))
	// A checkpoint and the end in one batch.
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		h.Used.Input = 51
		require.NoError(t, tx.ExtendHold(ctx, h))
		require.NoError(t, closeHold(ctx, tx, h, ledger.Closing{}))
	})
	require.Equal(t, closed(h, ledger.Closing{}, ledger.StateSettled), readHold(t, s, "h1"))
}

func closing(t *testing.T, s Store) {
	openAccount(t, s, "acc", 100)
	end := ledger.Closing{
		Cost: 5, BalanceAfter: -7, PaidBy: []ledger.Burn{{GrantID: "g1", Amount: 2}, {GrantID: "g2", Amount: 3}}, Outcome: ledger.OutcomeCallerLeft,
		Estimated: true, ProviderRequestID: "p",
		CallLog: ledger.CallLog{Target: "t", ServedModel: "m-1", Latency: 2 * time.Second, FirstByte: time.Microsecond, ErrorCode: "E"}, UsageTime: base.Add(time.Second), SettleTime: base.Add(time.Second),
	}
	h := openHold(t, s, "h1", 7)
	swept := closed(h, end, ledger.StateSwept)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(t, tx.CloseHold(ctx, swept, ledger.StateOpen))
	})
	require.Equal(t, swept, readHold(t, s, "h1"))
	end.Cost = 6
	settled := closed(h, end, ledger.StateSettled)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		_, _, err := tx.Unfold(ctx, "h1")
		require.NoError(t, err)
		require.NoError(t, tx.CloseHold(ctx, settled, ledger.StateSwept))
	})
	require.Equal(t, settled, readHold(t, s, "h1"))
	for name, fn := range map[string]func(ctx context.Context, tx ledger.Tx) error{
		"a hold that is not there": func(ctx context.Context, tx ledger.Tx) error {
			return tx.CloseHold(ctx, newHold("none", "acc", 7), ledger.StateOpen)
		},
		"a hold that is not as it was": func(ctx context.Context, tx ledger.Tx) error {
			return tx.CloseHold(ctx, swept, ledger.StateOpen)
		},
	} {
		require.Error(t, s.Write(t.Context(), "acc", fn), name)
	}
	require.Equal(t, settled, readHold(t, s, "h1"))
	// Swept and corrected within one batch.
	other := openHold(t, s, "h2", 7)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(t, tx.CloseHold(ctx, closed(other, end, ledger.StateSwept), ledger.StateOpen))
		_, _, err := tx.Unfold(ctx, "h2")
		require.NoError(t, err)
		require.NoError(t, tx.CloseHold(ctx, closed(other, end, ledger.StateSettled), ledger.StateSwept))
	})
	require.Equal(t, closed(other, end, ledger.StateSettled), readHold(t, s, "h2"))
}

func expiredHolds(t *testing.T, s Store) {
	openAccount(t, s, "acc", 100)
	h := openHold(t, s, "h1", 7)
	openHold(t, s, "h2", 7)
	over := openHold(t, s, "h3", 7)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(t, closeHold(ctx, tx, over, ledger.Closing{}))
	})
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		extended := newHold("h2", "acc", 7)
		extended.LeaseTime = base.Add(time.Hour)
		require.NoError(t, tx.ExtendHold(ctx, extended))
	})
	expired := func(at time.Time, after ledger.Hold, limit int) []ledger.Hold {
		t.Helper()
		found, err := s.ExpiredHolds(t.Context(), at, after, limit)
		require.NoError(t, err)
		return found
	}
	require.Empty(t, expired(base.Add(time.Minute-time.Microsecond), ledger.Hold{}, 10))
	require.Equal(t, []ledger.Hold{h}, expired(base.Add(time.Minute), ledger.Hold{}, 10))

	// By lease, then by id, and on from any of them.
	early, same := newHold("h9", "acc", 7), newHold("h0", "bee", 7)
	early.LeaseTime = base
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		for _, h := range []ledger.Hold{early, same} {
			_, err := tx.InsertHold(ctx, h)
			require.NoError(t, err)
		}
	})
	late := readHold(t, s, "h2")
	at := base.Add(time.Hour)
	require.Equal(t, []ledger.Hold{early, same, h, late}, expired(at, ledger.Hold{}, 10))
	require.Equal(t, []ledger.Hold{early, same}, expired(at, ledger.Hold{}, 2))
	require.Equal(t, []ledger.Hold{h, late}, expired(at, same, 10))
	require.Empty(t, expired(at, late, 10))
}

// keys and members: a window is summed up from the holds that were made in it, and then follows every hold that is made in it.
func keys(t *testing.T, s Store) { spendWindows(t, s, ledger.KeySubject("k")) }

func members(t *testing.T, s Store) {
	spendWindows(t, s, ledger.MemberSubject("k"), ledger.SpendLimit{ID: "l1", AccountID: "acc", Subject: ledger.MemberSubject("k"), Amount: 1, UpdateTime: base})
}

// spender is an account whose calls one subject makes.
type spender struct {
	t       *testing.T
	s       Store
	subject ledger.Subject
}

// spendWindow returns what a subject holds and spent in a window of the account "acc". The store may refuse the first try and make the decision again.
func spendWindow(t *testing.T, s Store, subject ledger.Subject, w ledger.Window, limit int64) (spend ledger.Spend) {
	t.Helper()
	require.NoError(t, s.Write(t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) (err error) {
		if _, err := tx.LockAccount(ctx, "acc"); err != nil {
			return err
		}
		spend, err = tx.SpendWindow(ctx, "acc", subject, w, limit)
		return err
	}))
	return spend
}

// spent returns what the subject holds and spent in a window.
func (p spender) spent(w ledger.Window) ledger.Spend {
	p.t.Helper()
	return spendWindow(p.t, p.s, p.subject, w, 0)
}

// hold makes a hold of a subject of the same kind.
func (p spender) hold(id, subject string, amount int64, at time.Time) ledger.Hold {
	p.t.Helper()
	h := newHold(id, "acc", amount)
	h.APIKeyID, h.UserID, h.CreateTime = subject, "", at
	if p.subject.Kind == ledger.SubjectMember {
		h.APIKeyID, h.UserID = "", subject
	}
	write(p.t, p.s, func(ctx context.Context, tx ledger.Tx) {
		a, err := tx.LockAccount(ctx, "acc")
		require.NoError(p.t, err)
		a.PeriodStart, a.Due = base.AddDate(-1, 0, 0), base.AddDate(1, 0, 0)
		require.NoError(p.t, tx.SaveAccount(ctx, a))
		require.NoError(p.t, take(ctx, tx, h))
	})
	return h
}

func (p spender) settle(h ledger.Hold, cost int64) {
	p.t.Helper()
	write(p.t, p.s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(p.t, charge(ctx, tx, h, cost))
	})
}

func (p spender) prune(ended time.Time, limit int) int {
	p.t.Helper()
	n, err := p.s.PruneWindows(p.t.Context(), ended, limit)
	require.NoError(p.t, err)
	return n
}

func spendWindows(t *testing.T, s Store, subject ledger.Subject, limits ...ledger.SpendLimit) {
	t.Helper()
	openAccount(t, s, "acc", 1_000_000)
	openGrant(t, s, "g1", 1_000_000)
	for _, l := range limits {
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			_, err := tx.SaveSpendLimit(ctx, l, 1)
			require.NoError(t, err)
		})
	}
	p := spender{t, s, subject}
	hour := ledger.Window{Period: time.Hour, Start: base.Truncate(time.Hour), End: base.Truncate(time.Hour).Add(time.Hour)}
	month := ledger.Window{Start: hour.Start, End: hour.Start.AddDate(0, 1, 0)} // begins at the same moment
	next := ledger.Window{Period: time.Hour, Start: hour.End, End: hour.End.Add(time.Hour)}
	windowsFollowHolds(p, hour, month, next)
	windowsAreSummedUpAgain(p, hour, month, next)
}

func windowsFollowHolds(p spender, hour, month, next ledger.Window) {
	p.t.Helper()
	t := p.t
	before := p.hold("h1", "k", 10, hour.Start.Add(-time.Microsecond))
	first := p.hold("h2", "k", 20, hour.Start)
	p.settle(p.hold("h3", "k", 40, hour.End.Add(-time.Microsecond)), 7)
	p.hold("h4", "k", 80, hour.End)
	p.hold("h5", "other", 160, base)
	p.hold("h6", "", 320, base)
	require.Equal(t, ledger.Spend{Held: 20, Spent: 7}, p.spent(hour), "what was made before anybody asked for the window")
	require.Equal(t, ledger.Spend{Held: 100, Spent: 7}, p.spent(month))

	p.hold("h7", "k", 1, base)
	require.Equal(t, ledger.Spend{Held: 21, Spent: 7}, p.spent(hour))
	require.Equal(t, ledger.Spend{Held: 101, Spent: 7}, p.spent(month), "windows of both limits count it")
	p.settle(first, 15)
	p.settle(before, 3)
	require.Equal(t, ledger.Spend{Held: 1, Spent: 22}, p.spent(hour))
	require.Equal(t, ledger.Spend{Held: 81, Spent: 22}, p.spent(month))
	require.Equal(t, ledger.Spend{Held: 80}, p.spent(next))

	h := p.hold("h8", "k", 5, base)
	p.settle(h, 0)
	require.Equal(t, ledger.Spend{Held: 1, Spent: 22}, p.spent(hour), "a hold that is closed holds no more")
	write(t, p.s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(t, tx.AddSpend(ctx, h, ledger.Spend{Held: -2}))
	})
	require.Equal(t, ledger.Spend{Spent: 22}, p.spent(hour), "what is held stops at 0")
	write(t, p.s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(t, tx.AddSpend(ctx, h, ledger.Spend{Spent: -23}))
	})
	require.Zero(t, p.spent(hour), "what is spent stops at 0")
	write(t, p.s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(t, tx.AddSpend(ctx, h, ledger.Spend{Spent: 8_000_000_000_000_000_000}))
	})
	require.EqualValues(t, 8_000_000_000_000_000_000, p.spent(hour).Spent, "it stops at its bound")
}

func windowsAreSummedUpAgain(p spender, hour, month, next ledger.Window) {
	p.t.Helper()
	t := p.t
	require.Zero(t, p.prune(hour.End.Add(-time.Microsecond), 10))
	require.Equal(t, 1, p.prune(next.End, 1), "the oldest first")
	require.Equal(t, ledger.Spend{Held: 1, Spent: 22}, p.spent(hour), "what is gone is summed up again")
	require.Equal(t, 2, p.prune(next.End, 10))
	require.Zero(t, p.prune(next.End, 10))

	shorter := ledger.Window{Start: month.Start, End: month.Start.Add(time.Hour)}
	require.Equal(t, ledger.Spend{Held: 1, Spent: 22}, p.spent(shorter), "a billing period that ends earlier than it was to")
	require.Equal(t, ledger.Spend{Held: 81, Spent: 22}, p.spent(month), "and one that ends later")
}

// debts: holds in debt are found oldest first, and paid.
func debts(t *testing.T, s Store) {
	openAccount(t, s, "acc", 100)
	owe := func(id string, owed int64, at time.Time) {
		t.Helper()
		h := openHold(t, s, id, 10)
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			state := map[bool]ledger.State{true: ledger.StateSwept, false: ledger.StateSettled}[id == "h2"]
			require.NoError(t, tx.CloseHold(ctx, closed(h, ledger.Closing{Cost: 10, Owed: owed, SettleTime: at}, state), ledger.StateOpen))
		})
	}
	owe("h1", 0, base)
	owe("h2", 7, base.Add(time.Second))
	owe("h3", 5, base)
	owe("h4", 1, base.Add(time.Second))
	read := func() (debts []ledger.HoldDebt) {
		t.Helper()
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			var err error
			debts, err = tx.HoldsInDebt(ctx, "acc")
			require.NoError(t, err)
			none, err := tx.HoldsInDebt(ctx, "bee")
			require.NoError(t, err)
			require.Empty(t, none)
		})
		return debts
	}
	require.Equal(t, []ledger.HoldDebt{{HoldID: "h3", Owed: 5}, {HoldID: "h2", Owed: 7}, {HoldID: "h4", Owed: 1}}, read())
	paid := []ledger.Burn{{GrantID: "g1", Amount: 3}, {GrantID: "g2", Amount: 1}}
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(t, tx.PayHold(ctx, ledger.HoldDebt{HoldID: "h2", Owed: 3, PaidBy: paid}))
		require.NoError(t, tx.PayHold(ctx, ledger.HoldDebt{HoldID: "h3", PaidBy: paid}))
	})
	require.Equal(t, []ledger.HoldDebt{{HoldID: "h2", Owed: 3, PaidBy: paid}, {HoldID: "h4", Owed: 1}}, read())
	require.Equal(t, paid, readHold(t, s, "h3").PaidBy)
}
