package ledger_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// by reserves input tokens by a member and an API key of alice's account.
func (b *fixture) by(l *ledger.Ledger, request, user, key string, amount int64) (ledger.Hold, error) {
	return l.Reserve(b.t.Context(), ledger.Reservation{
		RequestID: request, AccountID: alice, UserID: user, APIKeyID: key, Model: "embed", InputTokens: amount,
	})
}

// stops tells which limit refuses a call.
func (b *fixture) stops(request, user, key string, amount int64) string {
	b.t.Helper()
	_, err := b.by(b.Ledger, request, user, key, amount)
	e := requireReason(b.t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
	return e.Metadata["limit"] + " " + e.Metadata["window"] + " " + e.Metadata["available_nano_usd"]
}

// Account, member and key decide together: the tightest of them refuses, and says which it is.
func TestTheTightestLimitRefuses(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		b.account()
		ann, key, every := ledger.MemberSubject("ann"), ledger.KeySubject("key_1"), ledger.MemberSubject(ledger.EveryMember)
		b.limit(b.Ledger, ann, ledger.PeriodDay, 300)
		hourly := b.limit(b.Ledger, ann, ledger.PeriodHour, 100)
		b.limit(b.Ledger, key, ledger.PeriodMonth, 150)
		weekly := b.limit(b.Ledger, every, ledger.PeriodWeek, 200)
		b.limit(b.Ledger, every, ledger.PeriodDay, 50) // ann has one of her own

		require.Equal(t, "member hour 100", b.stops("r1", "ann", "", 101))
		require.Equal(t, "member day 50", b.stops("r2", "bob", "", 51))
		require.Equal(t, "api_key month 150", b.stops("r3", "", "key_1", 151))
		require.Equal(t, "balance  ", b.stops("r4", "", "key_2", 1001))
		h, err := b.by(b.Ledger, "r5", "ann", "key_1", 100)
		require.NoError(t, err)
		b.settle(h, 100)
		require.Equal(t, "member hour 0", b.stops("r6", "ann", "", 1))
		require.Equal(t, "member hour 0", b.stops("r7", "ann", "key_1", 1))
		require.Equal(t, "member day 50", b.stops("r8", "bob", "key_1", 51), "the key's limit leaves as much")

		require.NoError(t, b.DeleteLimit(t.Context(), alice, hourly.ID, anyLimit))
		require.Equal(t, "api_key month 50", b.stops("r9", "ann", "key_1", 60))
		require.Equal(t, "member week 100", b.stops("r10", "ann", "", 101))
		h, err = b.by(b.Ledger, "r11", "ann", "", 100)
		require.NoError(t, err)
		b.settle(h, 90)
		require.NoError(t, b.DeleteLimit(t.Context(), alice, weekly.ID, anyLimit))
		require.Equal(t, "member day 110", b.stops("r12", "ann", "", 111))
		require.Equal(t, "member day 50", b.stops("r13", "bob", "", 51))

		next := b.clock.Now().Truncate(24*time.Hour).AddDate(0, 0, 1)
		b.clock.Set(next)
		require.Equal(t, "member day 300", b.stops("r14", "ann", "", 301))
		b.clock.Set(next.Add(-time.Microsecond))
		require.Equal(t, "member day 110", b.stops("r15", "ann", "", 111), "the day before does not give it twice")
	})
}

// A key's own limit and a stored one for the same windows: the lower one applies.
func TestTheLowerLimitOfAKeyApplies(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		b.account()
		b.limit(b.Ledger, ledger.KeySubject("key_1"), ledger.PeriodHour, 60)
		require.Error(t, b.ownLimit("r1", 61, 100))
		require.Error(t, b.ownLimit("r2", 41, 40))
		require.NoError(t, b.ownLimit("r3", 40, 40))
		require.Error(t, b.ownLimit("r4", 21, 100))
		require.NoError(t, b.ownLimit("r5", 20, 100))
	})
}

func (b *fixture) ownLimit(request string, amount, limit int64) error {
	_, err := b.Reserve(b.t.Context(), ledger.Reservation{
		RequestID: request, AccountID: alice, APIKeyID: "key_1", Model: "embed", InputTokens: amount,
		KeyLimit: ledger.KeyLimit{Amount: limit, Period: ledger.PeriodHour},
	})
	return err
}

// A limit that is set late counts what was spent before in its window, also by holds that are deleted and by other replicas.
func TestALateLimitCountsWhatWasSpent(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		h, err := b.by(b.Ledger, "r1", "ann", "", 60)
		require.NoError(t, err)
		b.settle(h, 50)
		_, err = b.Fold(t.Context(), always)
		require.NoError(t, err)
		b.clock.Add(72 * time.Hour)
		require.NoError(t, b.Prune(t.Context(), 0, always))
		require.Zero(t, b.count("SELECT COUNT(*) FROM hold"))
		other := b.replica()
		_, err = b.by(other, "r2", "ann", "", 30)
		require.NoError(t, err)
		b.limit(other, ledger.MemberSubject("ann"), ledger.PeriodMonth, 100)
		require.Equal(t, "member month 20", b.stops("r3", "ann", "", 21))
		_, err = b.by(b.Ledger, "r4", "ann", "", 20)
		require.NoError(t, err)
		uses, last, err := b.Limits(t.Context(), ledger.LimitQuery{AccountID: alice, Limit: 1})
		require.NoError(t, err)
		require.Nil(t, last)
		require.Equal(t, ledger.Spend{Held: 50, Spent: 50}, uses[0].Spend)
		require.Equal(t, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), uses[0].Window.End)
	})
}

// An erased person's limits and windows go, also while calls run; what is not stored about the person cannot be checked, so a later call is refused.
func TestAnErasedMembersLimitsGo(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		const gone = "user_gone"
		b.account()
		b.limit(b.Ledger, ledger.MemberSubject(gone), ledger.PeriodHour, 100)
		b.limit(b.Ledger, ledger.MemberSubject(ledger.EveryMember), ledger.PeriodDay, 500)
		h, err := b.by(b.Ledger, "r1", gone, "", 60)
		require.NoError(t, err)
		require.NoError(t, b.store.EraseUser(t.Context(), gone))
		b.settle(h, 50)
		for _, table := range []string{"member_window", "member_day"} {
			require.Zero(t, b.count("SELECT COUNT(*) FROM "+table+" WHERE user_id = $1", gone), table)
		}
		require.Zero(t, b.count("SELECT COUNT(*) FROM spend_limit WHERE subject_id = $1", gone))
		_, err = b.by(b.Ledger, "r2", gone, "", 1)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED, err)
		_, err = b.SetLimit(t.Context(), ledger.SpendLimit{AccountID: alice, Subject: ledger.MemberSubject(gone), Amount: 1})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED, err)
		require.Zero(t, b.count("SELECT COUNT(*) FROM member_window WHERE user_id = $1", gone))
		_, err = b.by(b.Ledger, "r3", "ann", "", 1)
		require.NoError(t, err)
	})
}

// An erasure that stops after the holds leaves a sound ledger, and the next one finishes it.
func TestAHalfDoneErasureIsSound(t *testing.T) {
	onSQLite(t, "monthly", func(t *testing.T, b *fixture) {
		const gone = "user_gone"
		b.account()
		b.limit(b.Ledger, ledger.MemberSubject(gone), ledger.PeriodHour, 100)
		h, err := b.by(b.Ledger, "r1", gone, "", 60)
		require.NoError(t, err)
		b.settle(h, 50)
		b.exec("CREATE TRIGGER stop BEFORE UPDATE ON unfolded_call BEGIN SELECT RAISE(ABORT, 'stopped'); END")
		require.ErrorContains(t, b.store.EraseUser(t.Context(), gone), "stopped")
		require.Zero(t, b.count("SELECT COUNT(*) FROM hold WHERE user_id = $1", gone))
		b.sound()
		b.exec("DROP TRIGGER stop")
		require.NoError(t, b.store.EraseUser(t.Context(), gone))
		require.Zero(t, b.count("SELECT COUNT(*) FROM spend_limit WHERE subject_id = $1", gone))
	})
}

// slowReader is a store on which something happens after a page of limits was read.
type slowReader struct {
	*store.Store
	then func()
}

func (s slowReader) SpendLimitPage(ctx context.Context, q ledger.LimitQuery) ([]ledger.SpendLimit, error) {
	page, err := s.Store.SpendLimitPage(ctx, q)
	s.then()
	return page, err
}

// A limit that is deleted or changed while a list is read: the list has what is stored at its end, and leaves no window of an account without limits.
func TestAListSeesLimitsThatChange(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		b.account()
		ann, key := ledger.MemberSubject("ann"), ledger.KeySubject("key_1")
		member, ofKey := b.limit(b.Ledger, ann, ledger.PeriodHour, 100), b.limit(b.Ledger, key, ledger.PeriodHour, 100)
		list := func(then func()) (amounts []int64) {
			uses, _, err := b.over(slowReader{b.store, then}).Limits(t.Context(), ledger.LimitQuery{AccountID: alice, Limit: 10})
			require.NoError(t, err)
			for _, use := range uses {
				amounts = append(amounts, use.Amount)
			}
			return amounts
		}
		require.Equal(t, []int64{100, 70}, list(func() { b.limit(b.Ledger, ann, ledger.PeriodHour, 70) }))
		require.Equal(t, []int64{70}, list(func() { require.NoError(t, b.DeleteLimit(t.Context(), alice, ofKey.ID, anyLimit)) }))
		require.Empty(t, list(func() { require.NoError(t, b.DeleteLimit(t.Context(), alice, member.ID, anyLimit)) }))
		require.Zero(t, b.count("SELECT COUNT(*) FROM member_window"))

		h, err := b.by(b.Ledger, "r1", "ann", "", 60)
		require.NoError(t, err)
		b.settle(h, 60)
		b.limit(b.Ledger, ann, ledger.PeriodHour, 100)
		require.Equal(t, "member hour 40", b.stops("r2", "ann", "", 41))
	})
}

// Whoever lists the limits begins the period, and so may be the person who has its free credit.
func TestAListBeginsThePeriod(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		b.free = ledger.FreePerPerson
		b.Ledger = b.again()
		a := b.account()
		b.limit(b.Ledger, ledger.MemberSubject("ann"), ledger.PeriodHour, 100)
		b.clock.Set(a.PeriodEnd)
		_, _, err := b.Limits(t.Context(), ledger.LimitQuery{AccountID: alice, Limit: 10, Caller: "ann"})
		require.NoError(t, err)
		require.Positive(t, b.account().Balance)
	})
}

func TestBadLimits(t *testing.T) {
	onSQLite(t, "monthly", func(t *testing.T, b *fixture) {
		good := ledger.SpendLimit{AccountID: alice, Subject: ledger.MemberSubject("ann"), Amount: 1}
		_, err := b.SetLimit(t.Context(), good)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, err)
		require.Zero(t, b.count("SELECT COUNT(*) FROM account"), "an account that is not there is not opened")
		b.account()
		for field, change := range map[string]func(*ledger.SpendLimit){
			"userId":       func(l *ledger.SpendLimit) { l.Subject.ID = "ann\n" },
			"apiKeyId":     func(l *ledger.SpendLimit) { l.Subject = ledger.KeySubject("") },
			"limitNanoUsd": func(l *ledger.SpendLimit) { l.Amount = ledger.MaxBalance + 1 },
		} {
			bad := good
			change(&bad)
			_, err := b.SetLimit(t.Context(), bad)
			require.Equal(t, field, requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err).Fields[0].Name)
		}
		set, err := b.SetLimit(t.Context(), good)
		require.NoError(t, err)
		require.Equal(t, set.ID, b.limit(b.Ledger, good.Subject, 0, 2).ID)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, b.DeleteLimit(t.Context(), alice, "limit_x", anyLimit))
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, b.DeleteLimit(t.Context(), "org_other", set.ID, anyLimit))
		require.ErrorIs(t, b.DeleteLimit(t.Context(), alice, set.ID, func(ledger.SpendLimit) error { return errRefused }), errRefused)
		require.Equal(t, "member billing_period 2", b.stops("r1", "ann", "", 3), "a refused deletion changes nothing")
	})
}

var errRefused = fmt.Errorf("refused")

// 300 calls at once, by three replicas, on a limit for 73 of them and all but one nano-dollar of the 74th. Others are settled meanwhile.
func TestManyAtOnceCanNotOverspendALimit(t *testing.T) {
	const calls, fits, price = 300, 73, 10
	for name, subject := range map[string]ledger.Subject{"member": ledger.MemberSubject("ann"), "key": ledger.KeySubject("key_1")} {
		t.Run(name, func(t *testing.T) {
			each(t, "empty", func(t *testing.T, b *fixture) {
				b.give("budget", calls*price)
				b.limit(b.Ledger, subject, ledger.PeriodDay, fits*price+price-1)
				all := []*ledger.Ledger{b.Ledger, b.replica(), b.replica()}
				var held atomic.Int64
				var group sync.WaitGroup
				for i := range calls {
					group.Go(func() {
						h, err := b.by(all[i%len(all)], fmt.Sprint("r", i), "ann", "key_1", price)
						if err == nil {
							held.Add(1)
							_, err = all[(i+1)%len(all)].Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: price}, Outcome: ledger.OutcomeCompleted})
						} else if reasonOf(err) == errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE {
							err = nil
						}
						if err != nil {
							t.Error(err)
						}
					})
				}
				group.Wait()
				require.EqualValues(t, fits, held.Load())
				require.EqualValues(t, fits*price, b.account().Period.Cost)
			})
		})
	}
}
