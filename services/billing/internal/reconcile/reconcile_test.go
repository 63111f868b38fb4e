package reconcile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/reconcile"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// fakeStripe has customers only. What it lists and fetches is in memory.
type fakeStripe struct {
	// options are those of the reconciler under test; with makes another.
	options reconcile.Options
	db      *database.DB

	bodies map[string]string
	order  []string
	events []string
	told   int // pages of events
	fail   func(call int) error
	calls  int
	asked  []string
	listed []time.Time
	// methods are the customers whose payment methods were listed; those of the customers in gone cannot be. Every other
	// one has a card if cards is true.
	methods []string
	gone    map[string]bool
	cards   bool
}

func (a *fakeStripe) add(id string) {
	a.bodies[id] = fmt.Sprintf(`{"id":%q,"object":"customer","created":1800000000}`, id)
	a.order = append(a.order, id)
}

func (a *fakeStripe) call() error {
	a.calls++
	if a.fail == nil {
		return nil
	}
	return a.fail(a.calls)
}

// Events gives two events a page, newest first.
func (a *fakeStripe) Events(_ context.Context, _ time.Time, after string) (page mirror.Page, err error) {
	if err := a.call(); err != nil {
		return page, err
	}
	a.told++
	from := 0
	if after != "" {
		from = slices.IndexFunc(a.events, func(e string) bool { return strings.Contains(e, `"`+after+`"`) }) + 1
		if from == 0 {
			return page, mirror.ErrGone
		}
	}
	for _, e := range a.events[from:min(from+2, len(a.events))] {
		page.Bodies = append(page.Bodies, []byte(e))
	}
	page.More = from+2 < len(a.events)
	return page, nil
}

// List gives two objects a page.
func (a *fakeStripe) List(_ context.Context, q mirror.Query) (page mirror.Page, err error) {
	if q.Kind == mirror.PaymentMethod {
		a.methods = append(a.methods, q.Customer)
		if a.gone[q.Customer] {
			return page, mirror.ErrGone
		}
		if a.cards {
			page.Bodies = [][]byte{fmt.Appendf(nil, `{"id":"pm_%[1]s","object":"payment_method","type":"card","customer":%[1]q,"created":1700000000}`, q.Customer)}
		}
	}
	if err := a.call(); err != nil || q.Kind != mirror.Customer {
		return page, err
	}
	a.listed = append(a.listed, q.Since)
	if q.After != "" && !slices.Contains(a.order, q.After) {
		return page, mirror.ErrGone
	}
	begun := q.After == ""
	for _, id := range a.order {
		if begun && len(page.Bodies) == 2 {
			page.More = true
			break
		}
		if begun {
			page.Bodies = append(page.Bodies, []byte(a.bodies[id]))
		}
		begun = begun || id == q.After
	}
	return page, nil
}

func (a *fakeStripe) Get(_ context.Context, _ mirror.Kind, id string) ([]byte, error) {
	a.asked = append(a.asked, id)
	if err := a.call(); err != nil {
		return nil, err
	}
	if a.bodies[id] == "" {
		return nil, mirror.ErrGone
	}
	return []byte(a.bodies[id]), nil
}

func each(t *testing.T, test func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, rows *store.Store)) {
	databasetest.EachOf(t, billingtest.Migrations(), func(t *testing.T, db *database.DB) {
		a, rows := &fakeStripe{bodies: map[string]string{}, db: db}, store.New(db)
		a.options = reconcile.Options{
			Database: db, Store: rows, Source: a, Mirror: mirror.New(mirror.Options{Store: rows, Source: a, Now: time.Now}),
			Now: time.Now, Logger: slog.New(slog.DiscardHandler),
			Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		}
		test(t, a, reconcile.New(a.options), rows)
	})
}

// with is a reconciler with other options.
func (a *fakeStripe) with(change func(*reconcile.Options)) *reconcile.Reconciler {
	o := a.options
	change(&o)
	return reconcile.New(o)
}

// hold takes the job as another process would and keeps it until the test ends.
func (a *fakeStripe) hold(t *testing.T, process string) {
	t.Helper()
	held, release := make(chan error, 1), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		err := job.Run(context.WithoutCancel(t.Context()), a.db, "stripe reconcile", job.Options{Process: process, Lease: time.Hour}, func(context.Context, *job.Holder) error {
			held <- nil
			<-release
			return errors.New("released")
		})
		held <- err
		done <- err
	}()
	require.NoError(t, <-held)
	t.Cleanup(func() {
		close(release)
		require.EqualError(t, <-done, "released")
	})
}

func run(t *testing.T, r *reconcile.Reconciler) (reconcile.Counts, error) {
	t.Helper()
	var last reconcile.Counts
	err := r.Run(t.Context(), time.Time{}, func(p reconcile.Progress) error {
		if p.Kind == mirror.Customer {
			last = p.Counts
		}
		return nil
	})
	return last, err
}

func TestInterruptedRunResumes(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, _ *store.Store) {
		for i := range 9 {
			a.add(fmt.Sprintf("cus_%d", i))
		}
		a.fail = func(call int) error {
			if call > 3 {
				return errors.New("down")
			}
			return nil
		}
		before, err := run(t, r)
		require.ErrorIs(t, err, reconcile.ErrAway)
		require.Positive(t, before.Created)
		require.Less(t, before.Created, int64(9))
		a.fail = nil
		after, err := run(t, r)
		require.NoError(t, err)
		require.GreaterOrEqual(t, after.Created, before.Created)
		require.EqualValues(t, 9, after.Created)
		anew, err := run(t, r)
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 9}, anew)
	})
}

func TestStripeStumbles(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, _ *store.Store) {
		a.add("cus_1")
		a.fail = func(call int) error {
			if call%3 != 0 {
				return errors.New("429")
			}
			return nil
		}
		counts, err := run(t, r)
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Created: 1}, counts)
	})
}

func TestAnotherAccountsKeyChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, rows *store.Store) {
		for i := range 50 {
			a.add(fmt.Sprintf("cus_%02d", i))
		}
		_, err := run(t, r)
		require.NoError(t, err)
		a.bodies, a.order = map[string]string{}, nil
		a.add("cus_theirs")
		_, err = run(t, r)
		require.ErrorIs(t, err, reconcile.ErrStranger)
		living, err := rows.Objects(t.Context(), mirror.Customer, "", 100)
		require.NoError(t, err)
		require.Len(t, living, 50)
		require.Equal(t, "cus_00", living[0].ID)

		a.add("cus_49")
		found, err := run(t, r)
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 1, Created: 1, Removed: 49}, found, "it is the account, and has lost a lot")
	})
}

// Ten stored customers of which Stripe knows none are enough to tell another account by.
func TestTenUnknownCustomersAreAnotherAccounts(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, rows *store.Store) {
		for i := range 10 {
			a.add(fmt.Sprintf("cus_%d", i))
		}
		_, err := run(t, r)
		require.NoError(t, err)
		a.bodies, a.order = map[string]string{}, nil
		_, err = run(t, r)
		require.ErrorIs(t, err, reconcile.ErrStranger)
		living, err := rows.Objects(t.Context(), mirror.Customer, "", 100)
		require.NoError(t, err)
		require.Len(t, living, 10)
	})
}

func TestAFewMayAllBeGone(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, _ *store.Store) {
		for i := range 9 {
			a.add(fmt.Sprintf("cus_%d", i))
		}
		_, err := run(t, r)
		require.NoError(t, err)
		a.bodies, a.order = map[string]string{}, nil
		found, err := run(t, r)
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Removed: 9}, found)
	})
}

// TestRecentChangesAreNotAFullRun: it does not put the scheduled one off, and leaves the progress of one that was cut
// short alone.
func TestRecentChangesAreNotAFullRun(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, _ *store.Store) {
		for i := range 9 {
			a.add(fmt.Sprintf("cus_%d", i))
		}
		cut := errors.New("cut")
		pages := 0
		require.ErrorIs(t, r.Run(t.Context(), time.Time{}, func(reconcile.Progress) error {
			if pages++; pages == 3 {
				return cut
			}
			return nil
		}), cut)
		since := time.Now().Add(-time.Hour)
		require.NoError(t, r.Run(t.Context(), since, func(reconcile.Progress) error { return nil }))
		calls := a.calls
		r.Due(t.Context(), time.Hour)
		require.Greater(t, a.calls, calls, "the full run is still due")
		found, err := run(t, r)
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 9}, found)
	})
}

// On a database of its own, a process takes the job at once from a process that died with it. Elsewhere the other may live.
func TestJobOfADeadProcess(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, _ *store.Store) {
		a.add("cus_1")
		a.hold(t, "dead")
		_, err := run(t, r)
		require.ErrorIs(t, err, reconcile.ErrBusy)
		require.Zero(t, a.calls)
		_, err = run(t, a.with(func(o *reconcile.Options) { o.Alone = true }))
		require.NoError(t, err)
	})
}

// A run that was cancelled gives the job back at once.
func TestCancelledRunReleasesTheJob(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, _ *store.Store) {
		a.add("cus_1")
		ctx, cancel := context.WithCancel(t.Context())
		err := r.Run(ctx, time.Time{}, func(reconcile.Progress) error {
			cancel()
			return ctx.Err()
		})
		require.ErrorIs(t, err, context.Canceled)
		counts, err := run(t, r)
		require.NoError(t, err)
		require.EqualValues(t, 1, counts.Same+counts.Created)
	})
}

// A replica that was silent beyond its lease, and whose job another has taken, stops without another call of Stripe.
func TestReplicaWithoutTheJobStops(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, _ *reconcile.Reconciler, _ *store.Store) {
		for i := range 9 {
			a.add(fmt.Sprintf("cus_%d", i))
		}
		now := time.Now()
		r := a.with(func(o *reconcile.Options) { o.Now = func() time.Time { return now } })
		calls := 0
		err := r.Run(t.Context(), time.Time{}, func(reconcile.Progress) error {
			if calls == 0 {
				now = now.Add(6 * time.Minute)
				other := a.with(func(o *reconcile.Options) { o.Now = func() time.Time { return now } })
				require.NoError(t, other.Run(t.Context(), time.Time{}, func(reconcile.Progress) error { return nil }))
				calls = a.calls
			}
			return nil
		})
		require.ErrorIs(t, err, job.ErrLost)
		require.Equal(t, calls, a.calls)
	})
}

// The object after which a list was to continue may be deleted before the run is resumed.
func TestAListWhoseLastObjectIsDeleted(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, _ *store.Store) {
		for i := range 9 {
			a.add(fmt.Sprintf("cus_%d", i))
		}
		cut := errors.New("cut")
		pages := 0
		require.ErrorIs(t, r.Run(t.Context(), time.Time{}, func(reconcile.Progress) error {
			if pages++; pages == 2 {
				return cut
			}
			return nil
		}), cut)
		require.Equal(t, "cus_3", a.order[3], "the last one of the second page")
		a.bodies["cus_3"], a.order = "", slices.Delete(a.order, 3, 4)
		counts, err := run(t, r)
		require.NoError(t, err)
		require.EqualValues(t, 1, counts.Removed)
	})
}

// The object after which a resumed run recalls the list may be deleted meanwhile: what is not recalled is fetched.
func TestARecalledListWhoseLastObjectIsDeleted(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, _ *store.Store) {
		for i := range 9 {
			a.add(fmt.Sprintf("cus_%d", i))
		}
		cut := errors.New("cut")
		pages := 0
		require.ErrorIs(t, r.Run(t.Context(), time.Time{}, func(reconcile.Progress) error {
			if pages++; pages == 4 {
				return cut
			}
			return nil
		}), cut)
		begun := a.calls
		a.fail = func(call int) error {
			if call == begun+2 { // after the first page
				a.bodies["cus_1"], a.order = "", slices.Delete(a.order, 1, 2)
			}
			return nil
		}
		counts, err := run(t, r)
		require.NoError(t, err)
		require.EqualValues(t, 9, counts.Created)
		require.Subset(t, a.asked, []string{"cus_2", "cus_7"}, "an object that was not recalled is fetched by its own call")
		counts, err = run(t, r)
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 8, Removed: 1}, counts)
	})
}

// A customer may be deleted before its payment methods are listed: those of the others are listed all the same.
func TestACustomerGoesBeforeItsPaymentMethodsAreListed(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, _ *store.Store) {
		for i := range 3 {
			a.add(fmt.Sprintf("cus_%d", i))
		}
		a.gone = map[string]bool{"cus_1": true}
		_, err := run(t, r)
		require.NoError(t, err)
		require.Equal(t, []string{"cus_0", "cus_1", "cus_2"}, a.methods)
	})
}

// A run since a time does not continue one since another time.
func TestRunSinceAnotherTimeStartsOver(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, _ *store.Store) {
		for i := range 9 {
			a.bodies[fmt.Sprintf("cus_%d", i)] = fmt.Sprintf(`{"id":"cus_%d","object":"customer","created":1700000000}`, i)
			a.happens("customer", fmt.Sprintf("cus_%d", i))
		}
		at := time.Unix(1_800_000_000, 0)
		a.fail = func(call int) error {
			if call > 7 {
				return errors.New("down")
			}
			return nil
		}
		_, err := since(t, r, at)
		require.ErrorIs(t, err, reconcile.ErrAway)
		a.fail, a.asked = nil, nil
		counts, err := since(t, r, at.Add(-time.Hour))
		require.NoError(t, err)
		require.Len(t, a.asked, 9, "all events are gone through")
		require.EqualValues(t, 9, counts.Same+counts.Created)
	})
}

// A payment method without a customer is never listed, nor used again: it costs no call.
func TestDetachedPaymentMethodsCostNoCall(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, rows *store.Store) {
		for _, method := range []string{
			`{"id":"pm_detached","object":"payment_method","type":"card"}`,
			`{"id":"pm_attached","object":"payment_method","type":"card","customer":"cus_1"}`,
		} {
			o, err := mirror.Parse(mirror.PaymentMethod, []byte(method))
			require.NoError(t, err)
			_, err = rows.AdoptObject(t.Context(), o, nil)
			require.NoError(t, err)
		}
		done := map[mirror.Kind]reconcile.Counts{}
		require.NoError(t, r.Run(t.Context(), time.Time{}, func(p reconcile.Progress) error {
			done[p.Kind] = p.Counts
			return nil
		}))
		require.Equal(t, []string{"pm_attached"}, a.asked)
		require.Equal(t, reconcile.Counts{Same: 1, Removed: 1}, done[mirror.PaymentMethod])
	})
}

// An object whose id can't be used is named in the log, escaped, and the others are compared.
func TestErrorNamesTheObject(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, _ *reconcile.Reconciler, _ *store.Store) {
		var log bytes.Buffer
		r := a.with(func(o *reconcile.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		a.add("cus_1")
		a.add("a/../\u202eb")
		a.add("gold/monthly")
		counts, err := run(t, r)
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Created: 2}, counts)
		require.Contains(t, log.String(), `\\u202eb`)
		require.NotContains(t, log.String(), "\u202e")
	})
}

func TestOneAtATime(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, _ *store.Store) {
		a.add("cus_1")
		err := r.Run(t.Context(), time.Time{}, func(reconcile.Progress) error {
			_, err := run(t, r)
			return err
		})
		require.ErrorIs(t, err, reconcile.ErrBusy)
		_, err = run(t, r)
		require.NoError(t, err, "the lease was given back")
		calls := a.calls
		r.Due(t.Context(), time.Hour)
		require.Equal(t, calls, a.calls, "done a moment ago")
	})
}

// TestRejectedKeyIsReportedAtOnce: to ask again is of no use.
func TestRejectedKeyIsReportedAtOnce(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, _ *store.Store) {
		a.fail = func(int) error { return fmt.Errorf("%w: 401", mirror.ErrRefused) }
		_, err := run(t, r)
		require.ErrorIs(t, err, mirror.ErrRefused)
		require.NotErrorIs(t, err, reconcile.ErrAway)
		require.Equal(t, 1, a.calls)
	})
}

// TestAResumedRunReportsAll: also the kinds that an earlier process was through with.
func TestAResumedRunReportsAll(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, _ *store.Store) {
		a.add("cus_1")
		cut := errors.New("cut")
		require.ErrorIs(t, r.Run(t.Context(), time.Time{}, func(p reconcile.Progress) error {
			if p.Kind == mirror.Invoice {
				return cut
			}
			return nil
		}), cut)
		done := map[mirror.Kind]reconcile.Counts{}
		require.NoError(t, r.Run(t.Context(), time.Time{}, func(p reconcile.Progress) error {
			if p.Done {
				done[p.Kind] = p.Counts
			}
			return nil
		}))
		require.Len(t, done, len(mirror.Kinds()))
		require.Equal(t, reconcile.Counts{Created: 1}, done[mirror.Customer])
	})
}

// TestARunIsResumedForADay: one that is older begins anew, because too much may have changed since.
func TestARunIsResumedForADay(t *testing.T) {
	for age, resumed := range map[time.Duration]bool{24*time.Hour - time.Second: true, 24 * time.Hour: false} {
		each(t, func(t *testing.T, a *fakeStripe, _ *reconcile.Reconciler, _ *store.Store) {
			now := time.Now()
			r := a.with(func(o *reconcile.Options) { o.Now = func() time.Time { return now } })
			for i := range 9 {
				a.add(fmt.Sprintf("cus_%d", i))
			}
			cut := errors.New("cut")
			pages := 0
			require.ErrorIs(t, r.Run(t.Context(), time.Time{}, func(reconcile.Progress) error {
				if pages++; pages == 2 {
					return cut
				}
				return nil
			}), cut)
			now = now.Add(age)
			counts, err := run(t, r)
			require.NoError(t, err)
			if resumed {
				require.Equal(t, reconcile.Counts{Created: 9}, counts)
			} else {
				require.Equal(t, reconcile.Counts{Same: 4, Created: 5}, counts)
			}
		})
	}
}

// TestARunOfOtherKindsStartsOver: a version that knows other kinds may have saved a run. What it has compared of them is not known.
func TestARunOfOtherKindsStartsOver(t *testing.T) {
	for name, change := range map[string]func(saved string) string{
		"a kind by its number": func(saved string) string { return strings.Replace(saved, `"kind":"customer"`, `"kind":0`, 1) },
		"without a kind":       func(saved string) string { return strings.Replace(saved, `"kinds":["customer",`, `"kinds":[`, 1) },
		"without kinds":        func(saved string) string { return strings.Replace(saved, `"kinds":`, `"others":`, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, _ *store.Store) {
				for i := range 9 {
					a.add(fmt.Sprintf("cus_%d", i))
				}
				cut := errors.New("cut")
				pages := 0
				require.ErrorIs(t, r.Run(t.Context(), time.Time{}, func(reconcile.Progress) error {
					if pages++; pages == 2 {
						return cut
					}
					return nil
				}), cut)
				var saved string
				require.NoError(t, a.db.Read().QueryRowContext(t.Context(), "SELECT progress FROM job_lease WHERE name = 'stripe reconcile'").Scan(&saved))
				require.NotEqual(t, saved, change(saved))
				require.NoError(t, a.db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error {
					_, err := tx.ExecContext(ctx, "UPDATE job_lease SET progress = $1 WHERE name = 'stripe reconcile'", []byte(change(saved)))
					return err
				}))
				counts, err := run(t, r)
				require.NoError(t, err)
				require.Equal(t, reconcile.Counts{Same: 4, Created: 5}, counts)
			})
		})
	}
}

// TestPaymentMethodsAreCountedOnce: a run that was cut short while it compared them compares them all again.
func TestPaymentMethodsAreCountedOnce(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, _ *store.Store) {
		a.cards = true
		for i := range 3 {
			a.add(fmt.Sprintf("cus_%d", i))
		}
		cut := errors.New("cut")
		require.ErrorIs(t, r.Run(t.Context(), time.Time{}, func(p reconcile.Progress) error {
			if p.Kind == mirror.PaymentMethod {
				require.EqualValues(t, 3, p.Created)
				return cut
			}
			return nil
		}), cut)
		var last reconcile.Counts
		require.NoError(t, r.Run(t.Context(), time.Time{}, func(p reconcile.Progress) error {
			if p.Kind == mirror.PaymentMethod {
				last = p.Counts
			}
			return nil
		}))
		require.Equal(t, reconcile.Counts{Same: 3}, last)
	})
}

// TestPaymentMethodsOfOldCustomers are listed only when Stripe no longer has the events since the given time.
func TestPaymentMethodsOfOldCustomers(t *testing.T) {
	for age, listed := range map[time.Duration][]string{29 * 24 * time.Hour: {"cus_new"}, 31 * 24 * time.Hour: {"cus_new", "cus_old"}} {
		each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, _ *store.Store) {
			at := time.Now().Add(-age).Truncate(time.Second)
			for id, created := range map[string]time.Time{"cus_old": at.Add(-time.Second), "cus_new": at} {
				a.add(id)
				a.bodies[id] = fmt.Sprintf(`{"id":%q,"object":"customer","created":%d}`, id, created.Unix())
			}
			_, err := run(t, r)
			require.NoError(t, err)
			a.methods = nil
			_, err = since(t, r, at)
			require.NoError(t, err)
			require.Equal(t, listed, a.methods)
		})
	}
}

// TestEventsAreGoneThroughOnce: a run that was cut short behind them does not ask for them again.
func TestEventsAreGoneThroughOnce(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, _ *store.Store) {
		for i := range 5 {
			a.add(fmt.Sprintf("cus_%d", i))
			a.happens("customer", fmt.Sprintf("cus_%d", i))
		}
		at, cut := time.Unix(1_800_000_000, 0), errors.New("cut")
		require.ErrorIs(t, r.Run(t.Context(), at, func(p reconcile.Progress) error {
			if p.Kind == mirror.Product {
				return cut
			}
			return nil
		}), cut)
		require.Equal(t, 3, a.told)
		_, err := since(t, r, at)
		require.NoError(t, err)
		require.Equal(t, 3, a.told)
	})
}

// TestListedObjectHasTheTimeOfItsList: its fetch time is that of the successful request, not of the first failed one.
func TestListedObjectHasTheTimeOfItsList(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, _ *reconcile.Reconciler, rows *store.Store) {
		now := time.Now().UTC().Truncate(time.Microsecond)
		r := a.with(func(o *reconcile.Options) {
			o.Now = func() time.Time { return now }
			o.Sleep = func(_ context.Context, d time.Duration) error {
				now = now.Add(d)
				return nil
			}
		})
		a.add("cus_1")
		a.fail = func(call int) error {
			if call == 1 {
				return errors.New("down")
			}
			return nil
		}
		begun := now
		_, err := run(t, r)
		require.NoError(t, err)
		o, err := rows.Object(t.Context(), mirror.Customer, "cus_1")
		require.NoError(t, err)
		require.Equal(t, begun.Add(time.Second), o.FetchTime)
	})
}
