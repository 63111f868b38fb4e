package customers_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/sandbox/fault"
	fake "github.com/trivet-dev/trivet/sandbox/stripe"
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
	mu    sync.Mutex
	clock time.Time
}

func (w *fixture) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *fixture) wait(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

func each(t *testing.T, test func(t *testing.T, w *fixture)) {
	t.Helper()
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) {
		w := &fixture{t: t, store: store.New(db), clock: time.Now().UTC().Truncate(time.Microsecond)}
		var err error
		w.fake, err = fake.New(fake.Config{Now: w.now})
		require.NoError(t, err)
		server := httptest.NewServer(w.fake)
		t.Cleanup(server.Close)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		w.Client = stripe.New(stripe.Config{Key: settings.NewSecret("sk_test_1"), URL: server.URL, HTTP: client, Logger: slog.New(slog.DiscardHandler)})
		test(t, w)
	})
}

func (w *fixture) open(accountID string) {
	w.t.Helper()
	require.NoError(w.t, w.store.Write(w.t.Context(), accountID, func(ctx context.Context, tx ledger.Tx) error {
		_, err := tx.InsertAccount(ctx, ledger.Account{ID: accountID, Plan: "free", CreateTime: w.now()})
		return err
	}))
}

func (w *fixture) worker() *customers.Worker {
	return customers.NewWorker(customers.Options{Store: w.store, Provider: w.Client, Now: w.now, Logger: slog.New(slog.DiscardHandler)})
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
	_, err := w.fake.Faults().Add(f)
	require.NoError(w.t, err)
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
		w.wait(10 * time.Second)
		w.work(0, 1)
		w.wait(10 * time.Second)
		w.work(0, 0)
		w.wait(10 * time.Second)
		w.work(1, 0)
		w.only("org_1")
	})
}

// A lost answer is asked for again by the same key.
func TestALostAnswerMakesNoSecondCustomer(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		w.open("org_1")
		w.fail(fault.Fault{Kind: fault.CommitTimeout, Count: 1})
		w.work(0, 1)
		w.wait(time.Minute)
		w.work(1, 0)
		w.only("org_1")
	})
}

// After Stripe has forgotten the key, the customer is looked for first.
func TestALostAnswerOfDaysAgo(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		w.open("org_1")
		w.fail(fault.Fault{Kind: fault.CommitTimeout, Count: 1})
		w.work(0, 1)
		w.wait(50 * time.Hour)
		w.work(1, 0)
		w.only("org_1")
	})
}

// Stripe repeats a failure for its key: the next attempt has another one, and makes the customer once.
func TestAFailureOfStripesOwn(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		w.open("org_1")
		w.fail(fault.Fault{Kind: fault.Status, Status: 500, Method: http.MethodPost, Count: 1})
		w.work(0, 1)
		w.wait(time.Minute)
		missing, err := w.store.MissingCustomers(t.Context(), w.now(), 10)
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
		worker := customers.NewWorker(customers.Options{Store: w.store, Provider: silent{}, Now: w.now, Logger: slog.New(slog.DiscardHandler)})
		made, failed, err := worker.Work(t.Context())
		require.NoError(t, err)
		require.Equal(t, [2]int{0, 1}, [2]int{made, failed})
		require.Empty(t, w.customer("org_1"))
	})
}
