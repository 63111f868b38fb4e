package customers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/sandbox/fault"
	fake "github.com/trivet-dev/trivet/sandbox/stripe"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
	"github.com/trivet-dev/trivet/services/billing/internal/customers"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
	"github.com/trivet-dev/trivet/services/billing/internal/stripe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a store with accounts, a fake Stripe, and workers between them.
type fixture struct {
	t     *testing.T
	store *store.Store
	fake  *fake.Fake
	*stripe.Client
	*billingtest.Clock
}

func each(t *testing.T, test func(t *testing.T, w *fixture)) {
	t.Helper()
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) {
		w := &fixture{t: t, store: store.New(db), Clock: billingtest.NewClock(time.Now().UTC().Truncate(time.Microsecond))}
		var address string
		w.fake, address = billingtest.Stripe(t, fake.Config{Now: w.Now})
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		w.Client = stripe.New(stripe.Config{Key: settings.NewSecret("sk_test_1"), URL: address, HTTP: client, Logger: slog.New(slog.DiscardHandler)})
		test(t, w)
	})
}

func (w *fixture) open(accountID string) {
	w.t.Helper()
	require.NoError(w.t, w.store.Write(w.t.Context(), accountID, func(ctx context.Context, tx ledger.Tx) error {
		_, err := tx.InsertAccount(ctx, ledger.Account{ID: accountID, Plan: "free", CreateTime: w.Now()})
		return err
	}))
}

func (w *fixture) worker() *customers.Worker {
	return customers.NewWorker(customers.Options{Store: w.store, Provider: w.Client, Now: w.Now, Logger: slog.New(slog.DiscardHandler)})
}

func (w *fixture) work(made, failed int) {
	w.t.Helper()
	m, f, err := w.worker().Work(w.t.Context())
	require.NoError(w.t, err)
	require.Equal(w.t, [2]int{made, failed}, [2]int{m, f})
}

func (w *fixture) customer(accountID string) string {
	w.t.Helper()
	id, err := w.store.Customer(w.t.Context(), accountID)
	require.NoError(w.t, err)
	return id
}

// only checks that Stripe has one customer for the account, the one that the store names.
func (w *fixture) only(accountID string) {
	w.t.Helper()
	request := httptest.NewRequestWithContext(w.t.Context(), http.MethodGet, "/v1/customers?limit=100", http.NoBody)
	request.Header.Set("Authorization", "Bearer sk_test_1")
	answer := httptest.NewRecorder()
	w.fake.ServeHTTP(answer, request)
	var list struct {
		Data []struct {
			ID       string            `json:"id"`
			Metadata map[string]string `json:"metadata"`
		} `json:"data"`
	}
	require.NoError(w.t, json.Unmarshal(answer.Body.Bytes(), &list))
	var ids []string
	for _, c := range list.Data {
		if c.Metadata["trivet_account"] == accountID {
			ids = append(ids, c.ID)
		}
	}
	require.Equal(w.t, []string{w.customer(accountID)}, ids)
}

func (w *fixture) fail(f fault.Fault) {
	w.t.Helper()
	billingtest.Fail(w.t, w.fake, f)
}

func TestEveryAccountGetsACustomer(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		w.work(0, 0)
		for i := range 25 {
			w.open("org_" + strconv.Itoa(i))
		}
		w.work(20, 0)
		w.work(5, 0)
		w.work(0, 0)
		for i := range 25 {
			w.only("org_" + strconv.Itoa(i))
		}
	})
}

func TestFailuresAreTriedAgainLater(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		w.open("org_1")
		w.fail(fault.Fault{Kind: fault.RateLimit, Count: 2})
		w.work(0, 1)
		w.work(0, 0)
		w.Add(10 * time.Second)
		w.work(0, 1)
		w.Add(10 * time.Second)
		w.work(0, 0)
		w.Add(10 * time.Second)
		w.work(1, 0)
		w.only("org_1")
	})
}

// A lost answer is asked for again by the same key.
func TestLostAnswerCreatesOneCustomer(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		w.open("org_1")
		w.fail(fault.Fault{Kind: fault.CommitTimeout, Count: 1})
		w.work(0, 1)
		w.Add(time.Minute)
		w.work(1, 0)
		w.only("org_1")
	})
}

// After Stripe has forgotten the key, the customer is looked for first.
func TestLostAnswerAfterTheKeyExpired(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		w.open("org_1")
		w.fail(fault.Fault{Kind: fault.CommitTimeout, Count: 1})
		w.work(0, 1)
		w.Add(50 * time.Hour)
		w.work(1, 0)
		w.only("org_1")
	})
}

// Stripe repeats a failure for its key: the next attempt has another one, and makes the customer once.
func TestStripeServerErrorSpendsTheKey(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		w.open("org_1")
		w.fail(fault.Fault{Kind: fault.Status, Status: 500, Method: http.MethodPost, Count: 1})
		w.work(0, 1)
		w.Add(time.Minute)
		missing, err := w.store.MissingCustomers(t.Context(), w.Now(), 10)
		require.NoError(t, err)
		require.EqualValues(t, 1, missing[0].SpentKeys)
		w.work(1, 0)
		w.only("org_1")
	})
}

// Of many replicas one makes the customer.
func TestReplicasShareTheWork(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		for i := range 15 {
			w.open("org_" + strconv.Itoa(i))
		}
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				if _, failed, err := w.worker().Work(t.Context()); err != nil || failed > 0 {
					t.Errorf("%d failed, %v", failed, err)
				}
			})
		}
		group.Wait()
		for i := range 15 {
			w.only("org_" + strconv.Itoa(i))
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		w.open("org_1")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.worker().Run(ctx, time.Millisecond)
		}()
		require.Eventually(t, func() bool { return w.customer("org_1") != "" }, 10*time.Second, time.Millisecond)
		cancel()
		<-done
	})
}

type silent struct{ customers.Provider }

func (silent) Create(context.Context, string, string) (string, error) { return "", nil }

func TestAnAnswerWithoutAnIDIsAnError(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		w.open("org_1")
		worker := customers.NewWorker(customers.Options{Store: w.store, Provider: silent{}, Now: w.Now, Logger: slog.New(slog.DiscardHandler)})
		made, failed, err := worker.Work(t.Context())
		require.NoError(t, err)
		require.Equal(t, [2]int{0, 1}, [2]int{made, failed})
		require.Empty(t, w.customer("org_1"))
	})
}

// script is a provider whose answers a test gives, and a store that leases as it is told. It notes what is asked.
type script struct {
	missing customers.Missing
	leased  bool
	found   string
	err     error

	asked []string
	saved string
	spent int
}

func (s *script) Create(_ context.Context, accountID, key string) (string, error) {
	s.asked = append(s.asked, "create "+accountID+" by "+key)
	return "cus_new", s.err
}

func (s *script) Find(_ context.Context, accountID string, since time.Time) (string, error) {
	s.asked = append(s.asked, "find "+accountID+" since "+since.Format(time.RFC3339))
	return s.found, s.err
}

func (s *script) MissingCustomers(context.Context, time.Time, int) ([]customers.Missing, error) {
	return []customers.Missing{s.missing}, nil
}

func (s *script) LeaseCustomer(_ context.Context, _ customers.Missing, at, next time.Time) (bool, error) {
	s.asked = append(s.asked, "lease for "+next.Sub(at).String())
	return s.leased, nil
}

func (s *script) SpendCustomerKey(context.Context, string) error {
	s.spent++
	return nil
}

func (s *script) SaveCustomer(_ context.Context, _, id string) error {
	s.saved = id
	return nil
}

// TestWhatIsAsked lists what an attempt asks of Stripe, and by which key, so that no account gets two customers.
func TestWhatIsAsked(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	const create, find = "create org_1 by org_1", "find org_1 since "
	for name, c := range map[string]struct {
		missing     customers.Missing
		taken       bool // another replica is at it
		found       string
		err         error
		asked       []string
		saved       string
		made, wrong int
		spent       int
	}{
		"the first attempt": {asked: []string{"lease for 10s", create}, saved: "cus_new", made: 1},
		"another replica":   {taken: true, asked: []string{"lease for 10s"}},
		"the second": {
			missing: customers.Missing{Attempts: 1, FirstTime: now.Add(-10 * time.Second)},
			asked:   []string{"lease for 20s", create}, saved: "cus_new", made: 1,
		},
		"while the key lives": {
			missing: customers.Missing{Attempts: 7, FirstTime: now.Add(-20 * time.Hour)},
			asked:   []string{"lease for 21m20s", create}, saved: "cus_new", made: 1,
		},
		"after the key's life": {
			missing: customers.Missing{Attempts: 30, FirstTime: now.Add(-20*time.Hour - 1)},
			asked:   []string{"lease for 1h0m0s", find + "2026-11-22T12:29:59Z", create}, saved: "cus_new", made: 1,
		},
		"found": {
			missing: customers.Missing{Attempts: 30, FirstTime: now.Add(-48 * time.Hour)}, found: "cus_old",
			asked: []string{"lease for 1h0m0s", find + "2026-11-21T08:30:00Z"}, saved: "cus_old", made: 1,
		},
		"after a spent key": {
			missing: customers.Missing{Attempts: 1, SpentKeys: 1, FirstTime: now.Add(-time.Minute)},
			asked:   []string{"lease for 20s", find + "2026-11-23T08:29:00Z", "create org_1 by org_1/1"}, saved: "cus_new", made: 1,
		},
		"after a spent key, found": {
			missing: customers.Missing{Attempts: 3, SpentKeys: 2, FirstTime: now.Add(-time.Minute)}, found: "cus_old",
			asked: []string{"lease for 1m20s", find + "2026-11-23T08:29:00Z"}, saved: "cus_old", made: 1,
		},
		"a key is spent":       {err: fmt.Errorf("500: %w", customers.ErrKeySpent), asked: []string{"lease for 10s", create}, wrong: 1, spent: 1},
		"a failure of another": {err: errors.New("429"), asked: []string{"lease for 10s", create}, wrong: 1},
	} {
		t.Run(name, func(t *testing.T) {
			c.missing.AccountID = "org_1"
			s := &script{missing: c.missing, leased: !c.taken, found: c.found, err: c.err}
			w := customers.NewWorker(customers.Options{Store: s, Provider: s, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)})
			made, wrong, err := w.Work(t.Context())
			require.NoError(t, err)
			require.Equal(t, c.asked, s.asked)
			require.Equal(t, c.saved, s.saved)
			require.Equal(t, []int{c.made, c.wrong, c.spent}, []int{made, wrong, s.spent})
		})
	}
}

// oneByOne has so many accounts without a customer, and gives one at a time.
type oneByOne struct {
	script
	left int
}

func (s *oneByOne) MissingCustomers(context.Context, time.Time, int) ([]customers.Missing, error) {
	if s.left == 0 {
		return nil, nil
	}
	s.left--
	return []customers.Missing{{AccountID: "org_1"}}, nil
}

// TestABacklogIsNotMadeToWait: after a batch that went well there may be more, after one that did not there is a pause.
func TestABacklogIsNotMadeToWait(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		left int // after half an hour
	}{"good": {nil, 0}, "bad": {errors.New("down"), 99}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &oneByOne{left: 100, script: script{leased: true, err: c.err}}
				w := customers.NewWorker(customers.Options{Store: s, Provider: s, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				w.Run(ctx, time.Minute)
				require.Equal(t, c.left, s.left)
			})
		})
	}
}
