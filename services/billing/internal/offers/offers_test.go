package offers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/platform/settings"
	fake "github.com/trivet-dev/trivet/sandbox/stripe"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
	"github.com/trivet-dev/trivet/services/billing/internal/offers"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
	"github.com/trivet-dev/trivet/services/billing/internal/stripe"
)

const first = `
plans:
  - {id: free, name: Free, price: "0", included_credit: "5"}
  - {id: pro, name: Pro, price: "20.00", yearly_price: "200.00", included_credit: "25", tax_code: txcd_10000000}
packs:
  - {id: credit, name: Credit, price: "20.00", credit: "20"}
`

const second = `
plans:
  - {id: free, name: Free, price: "0", included_credit: "5"}
  - {id: pro, name: Pro plus, price: "25.00", included_credit: "30"}
  - {id: max, name: Max, price: "50.00", included_credit: "60"}
`

// wire makes calls to the fake Stripe until the process dies: at one call, before it arrives or before its answer does.
type wire struct {
	next     http.RoundTripper
	calls    int
	dieAt    int
	answered bool
	dead     bool
	// before is called before each call.
	before func()
}

var errKilled = errors.New("killed")

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.calls++
	if w.before != nil {
		w.before()
	}
	if w.dead || w.calls == w.dieAt && !w.answered {
		w.dead = true
		return nil, errKilled
	}
	response, err := w.next.RoundTrip(r)
	if err == nil && w.calls == w.dieAt {
		w.dead = true
		_ = response.Body.Close()
		return nil, errKilled
	}
	return response, err
}

// fixture is an Applier with a fake Stripe and a database.
type fixture struct {
	*offers.Applier
	t    *testing.T
	fake *fake.Fake
	wire *wire
	// address is that of the fake.
	address string
}

func newFixture(t *testing.T, db *database.DB, key string) *fixture {
	t.Helper()
	f := &fixture{t: t, wire: &wire{next: &http.Transport{DisableKeepAlives: true}}}
	var address string
	f.fake, address = billingtest.Stripe(t, fake.Config{Keys: []string{"sk_test_1", "sk_live_1"}})
	f.address = address
	f.Applier = f.with(db, address, key)
	return f
}

func (f *fixture) with(db *database.DB, address, key string) *offers.Applier {
	f.t.Helper()
	catalog, err := plans.Load("", "free", nil)
	require.NoError(f.t, err)
	provider := stripe.New(stripe.Config{Key: settings.NewSecret(key), URL: address, HTTP: &http.Client{Transport: f.wire}, Logger: slog.New(slog.DiscardHandler)})
	return offers.New(offers.Options{Database: db, Store: store.New(db), Provider: provider, Catalog: catalog, Now: time.Now, Alone: true})
}

// beside is another process on the same database, with another wire to the same Stripe.
func (f *fixture) beside(clock *billingtest.Clock) *offers.Applier {
	f.t.Helper()
	o := f.Options
	o.Provider = stripe.New(stripe.Config{
		Key: settings.NewSecret("sk_test_1"), URL: f.address, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, Logger: slog.New(slog.DiscardHandler),
	})
	o.Now, o.Alone = clock.Now, false
	return offers.New(o)
}

func each(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	databasetest.EachOf(t, billingtest.Migrations(), func(t *testing.T, db *database.DB) {
		test(t, newFixture(t, db, "sk_test_1"))
	})
}

func (f *fixture) apply(file string) []offers.Change {
	f.t.Helper()
	changes, err := f.Apply(f.t.Context(), []byte(file), false)
	require.NoError(f.t, err)
	return changes
}

// atStripe lists what is on sale at Stripe, without ids.
func (f *fixture) atStripe() (all []string) {
	f.t.Helper()
	for _, p := range f.list("/v1/products?limit=100") {
		all = append(all, fmt.Sprintf("%s %q active=%t", p.ID, p.Name, p.Active))
	}
	for _, p := range f.list("/v1/prices?limit=100") {
		all = append(all, fmt.Sprintf("%s %d active=%t", p.LookupKey, p.UnitAmount, p.Active))
	}
	for range f.list("/v1/billing_portal/configurations?limit=100") {
		all = append(all, "portal")
	}
	slices.Sort(all)
	return all
}

type object struct {
	ID, Name   string
	LookupKey  string `json:"lookup_key"`
	UnitAmount int64  `json:"unit_amount"`
	Active     bool
}

func (f *fixture) list(path string) []object {
	f.t.Helper()
	request := httptest.NewRequestWithContext(f.t.Context(), http.MethodGet, path, http.NoBody)
	request.Header.Set("Authorization", "Bearer sk_test_1")
	answer := httptest.NewRecorder()
	f.fake.ServeHTTP(answer, request)
	var list struct{ Data []object }
	require.NoError(f.t, json.Unmarshal(answer.Body.Bytes(), &list))
	return list.Data
}

func onSaleFirst() []string {
	return []string{
		"portal", "trivet:pack:credit@1 2000 active=true", "trivet:plan:pro@1:month 2000 active=true", "trivet:plan:pro@1:year 20000 active=true",
		`trivet_pack_credit "Credit" active=true`, `trivet_plan_pro "Pro" active=true`,
	}
}

func onSaleSecond() []string {
	return []string{
		"portal", "trivet:pack:credit@1 2000 active=false", "trivet:plan:max@1:month 5000 active=true", "trivet:plan:pro@1:month 2000 active=false",
		"trivet:plan:pro@1:year 20000 active=false", "trivet:plan:pro@2:month 2500 active=true",
		`trivet_pack_credit "Credit" active=false`, `trivet_plan_max "Max" active=true`, `trivet_plan_pro "Pro plus" active=true`,
	}
}

func TestApply(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		planned, err := f.Apply(t.Context(), []byte(first), true)
		require.NoError(t, err)
		require.Empty(t, f.atStripe(), "a dry run changes nothing")
		require.Equal(t, planned, f.apply(first), "and lists what a run does")
		require.Equal(t, onSaleFirst(), f.atStripe())
		pro, ok := f.Catalog.Get("pro")
		require.True(t, ok)
		require.EqualValues(t, 1, pro.Version)
		require.Empty(t, f.apply(first), "idempotent")

		planned, err = f.Apply(t.Context(), []byte(second), true)
		require.NoError(t, err)
		require.Equal(t, planned, f.apply(second))
		require.Equal(t, onSaleSecond(), f.atStripe())
		old, ok := f.Catalog.Get("pro@1")
		require.True(t, ok, "a version stays")
		require.EqualValues(t, 25_000_000_000, old.IncludedCredit)
		_, ok = f.Catalog.OfferOf("", "credit")
		require.False(t, ok)

		f.apply(first)
		pro, _ = f.Catalog.Get("pro")
		require.EqualValues(t, 3, pro.Version, "what was before is a new version too")
	})
}

// A process that dies at any call, before or after Stripe did it, leaves something that the next run completes: nothing twice.
func TestKilledAtEachCall(t *testing.T) {
	for kind, open := range map[string]opener{"sqlite": databasetest.SQLiteOf, "postgres": databasetest.PostgresOf} {
		t.Run(kind, func(t *testing.T) { killedAtEachCall(t, open) })
	}
}

// opener makes a database.
type opener func(testing.TB, []database.Migrations, ...databasetest.Option) *database.DB

func killedAtEachCall(t *testing.T, open opener) {
	t.Helper()
	for _, answered := range []bool{false, true} {
		t.Run(fmt.Sprintf("answered %t", answered), func(t *testing.T) {
			for n, done := 1, false; !done; n++ {
				f := newFixture(t, open(t, billingtest.Migrations()), "sk_test_1")
				f.apply(first)
				f.wire.calls, f.wire.dieAt, f.wire.answered = 0, n, answered
				_, err := f.Apply(t.Context(), []byte(second), false)
				done = f.wire.calls < n
				require.Equal(t, done, err == nil)
				f.wire.dead, f.wire.dieAt = false, 0
				f.apply(second)
				require.Equal(t, onSaleSecond(), f.atStripe(), "killed at call %d", n)
				require.Empty(t, f.apply(second))
			}
		})
	}
}

// An edit after an interrupted run abandons what that run had begun.
func TestAnotherFileAfterAnInterruptedRun(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.apply(first)
		f.wire.calls, f.wire.dieAt, f.wire.answered = 0, 6, true
		_, err := f.Apply(t.Context(), []byte(second), false)
		require.Error(t, err)
		f.wire.dead, f.wire.dieAt = false, 0
		f.apply(strings.ReplaceAll(second, "25.00", "26.00"))
		pro, _ := f.Catalog.Get("pro")
		require.EqualValues(t, 26_000_000_000, pro.Price)
		active := 0
		for _, p := range f.list("/v1/prices?limit=100") {
			if p.Active {
				active++
			}
		}
		require.Equal(t, 2, active, "only what is on sale is active")
	})
}

// What somebody has changed at Stripe is put right.
func TestDrift(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.apply(first)
		require.NoError(t, f.Provider.UpdateProduct(t.Context(), offers.Product{ID: "trivet_plan_pro", Name: "Edited", Active: false}))
		price := f.list("/v1/prices?lookup_keys[]=trivet:plan:pro@1:month")[0]
		require.NoError(t, f.Provider.SetPriceActive(t.Context(), price.ID, false))
		require.Len(t, f.apply(first), 2)
		require.Equal(t, onSaleFirst(), f.atStripe())
	})
}

func TestRefusedFiles(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		for name, file := range map[string]string{
			"a typo":                   strings.ReplaceAll(first, "included_credit", "incuded_credit"),
			"without the default plan": `plans: [{id: pro, name: Pro, price: "20.00", included_credit: "25"}]`,
		} {
			_, err := f.Apply(t.Context(), []byte(file), false)
			_, invalid := errors.AsType[*offers.InvalidError](err)
			require.True(t, invalid, "%s: %v", name, err)
		}
		require.Zero(t, f.wire.calls)
	})
}

// A database belongs to one mode of Stripe.
func TestAKeyOfTheOtherMode(t *testing.T) {
	db := databasetest.SQLiteOf(t, billingtest.Migrations())
	newFixture(t, db, "sk_test_1").apply(first)
	f := newFixture(t, db, "sk_live_1")
	_, err := f.Apply(t.Context(), []byte(first), false)
	mode, ok := errors.AsType[*offers.ModeError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, offers.ModeError{Applied: "test", Key: "live"}, *mode)
	require.Zero(t, f.wire.calls)
}

// One run at a time: a second one is told.
func TestTwoRunsAtOnce(t *testing.T) {
	db := databasetest.SQLiteOf(t, billingtest.Migrations())
	f := newFixture(t, db, "sk_test_1")
	err := job.Run(t.Context(), db, "apply plans", job.Options{}, func(ctx context.Context, _ *job.Holder) error {
		_, err := f.Apply(ctx, []byte(first), false)
		return err
	})
	require.ErrorIs(t, err, offers.ErrBusy)
	require.Zero(t, f.wire.calls)
}

// An apply whose process died or hangs keeps others out until its lease ends, and not longer. When it wakes up, it calls Stripe no more.
func TestAnApplyThatHangs(t *testing.T) {
	for call := 1; ; call++ {
		db := databasetest.SQLiteOf(t, billingtest.Migrations())
		clock := billingtest.NewClock(time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC))
		f := newFixture(t, db, "sk_test_1")
		f.Now, f.Alone = clock.Now, false
		other := f.beside(clock)
		calls := 0
		f.wire.before = func() {
			if calls++; calls != call {
				return
			}
			clock.Add(offers.Lease - time.Second)
			_, err := other.Apply(t.Context(), []byte(first), false)
			require.ErrorIs(t, err, offers.ErrBusy, "call %d", call)
			clock.Add(time.Second)
			_, err = other.Apply(t.Context(), []byte(first), false)
			require.NoError(t, err, "call %d", call)
		}
		_, err := f.Apply(t.Context(), []byte(first), false)
		// The time of a step cuts a call before another process has the lease. Here it arrives, and may leave a second configuration of the portal.
		require.Equal(t, onSaleFirst(), slices.Compact(f.atStripe()), "call %d", call)
		if calls < call {
			require.NoError(t, err)
			require.Greater(t, call, 5)
			return
		}
		require.Error(t, err, "call %d", call) // job.ErrLost, or Stripe's refusal of what the other has made
		require.Equal(t, call, calls, "it stops after the call in which it lost the lease")
	}
}

// A Stripe whose every call takes nearly the time of a step does not let two runs apply at once.
func TestASlowApplyKeepsItsLease(t *testing.T) {
	db := databasetest.SQLiteOf(t, billingtest.Migrations())
	clock := billingtest.NewClock(time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC))
	f := newFixture(t, db, "sk_test_1")
	f.Now, f.Alone = clock.Now, false
	other := f.beside(clock)
	f.wire.before = func() {
		clock.Add(34 * time.Second)
		_, err := other.Apply(t.Context(), []byte(first), false)
		require.ErrorIs(t, err, offers.ErrBusy)
	}
	f.apply(first)
	f.apply(second) // it also makes prices inactive
	require.Equal(t, onSaleSecond(), f.atStripe())
}

// slowStore answers its first reader after another one has read what was applied since.
type slowStore struct {
	offers.Store
	meanwhile func()
}

func (s *slowStore) Offers(ctx context.Context) ([]offers.Row, error) {
	rows, err := s.Store.Offers(ctx)
	if meanwhile := s.meanwhile; meanwhile != nil {
		s.meanwhile = nil
		meanwhile()
	}
	return rows, err
}

// A reader that is slower than the next apply does not put the earlier versions back.
func TestASlowReaderKeepsTheLaterVersions(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.apply(first)
		slow := &slowStore{Store: f.Store, meanwhile: func() { f.apply(second) }}
		require.NoError(t, offers.Load(t.Context(), slow, f.Catalog))
		pro, ok := f.Catalog.Get("pro")
		require.True(t, ok)
		require.EqualValues(t, 2, pro.Version)
	})
}
