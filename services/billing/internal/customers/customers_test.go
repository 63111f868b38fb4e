package customers_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
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
	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
	"github.com/trivet-dev/trivet/services/billing/internal/stripe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a store and a fake Stripe, and what makes customers between them.
type fixture struct {
	*customers.Customers
	t     *testing.T
	store *store.Store
	fake  *fake.Fake
	*billingtest.Clock
}

func each(t *testing.T, test func(t *testing.T, w *fixture)) {
	t.Helper()
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) {
		w := &fixture{t: t, store: store.New(db), Clock: billingtest.NewClock(time.Now().UTC().Truncate(time.Microsecond))}
		var address string
		w.fake, address = billingtest.Stripe(t, fake.Config{Now: w.Now})
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		provider := stripe.New(stripe.Config{Key: settings.NewSecret("sk_test_1"), URL: address, HTTP: client, Logger: slog.New(slog.DiscardHandler)})
		w.Customers = customers.New(customers.Options{Store: w.store, Provider: provider, Now: w.Now})
		test(t, w)
	})
}

// atStripe lists the ids of the account's customers at Stripe.
func (w *fixture) atStripe(accountID string) (ids []string) {
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
	for _, c := range list.Data {
		if c.Metadata["trivet_account"] == accountID {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// A customer is made once, however Stripe fails meanwhile.
func TestOneCustomerWhateverFails(t *testing.T) {
	for name, f := range map[string]struct {
		fault fault.Fault
		later time.Duration
	}{
		"a rate limit":                         {fault.Fault{Kind: fault.RateLimit, Count: 1}, 0},
		"a lost answer":                        {fault.Fault{Kind: fault.CommitTimeout, Count: 1}, time.Minute},
		"a lost answer, and a forgotten key":   {fault.Fault{Kind: fault.CommitTimeout, Count: 1}, 50 * time.Hour},
		"an error that is repeated for a key":  {fault.Fault{Kind: fault.Status, Status: 500, Method: http.MethodPost, Count: 1}, time.Minute},
		"an answer that nobody can understand": {fault.Fault{Kind: fault.Garbage, Count: 1}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *fixture) {
				billingtest.Fail(t, w.fake, f.fault)
				_, err := w.Ensure(t.Context(), "org_1")
				require.Error(t, err)
				w.Add(f.later)
				id, err := w.Ensure(t.Context(), "org_1")
				require.NoError(t, err)
				again, err := w.Ensure(t.Context(), "org_1")
				require.NoError(t, err)
				require.Equal(t, id, again)
				require.Equal(t, []string{id}, w.atStripe("org_1"))
			})
		})
	}
}

func TestForgetDeletesAllCustomers(t *testing.T) {
	each(t, func(t *testing.T, w *fixture) {
		_, err := w.Ensure(t.Context(), "user_1")
		require.NoError(t, err)
		_, err = w.Ensure(t.Context(), "user_2")
		require.NoError(t, err)
		require.NoError(t, w.Forget(t.Context(), "user_1"))
		require.NoError(t, w.Forget(t.Context(), "user_1"), "idempotent")
		require.NoError(t, w.Forget(t.Context(), "user_without"))
		require.Empty(t, w.atStripe("user_1"))
		require.Len(t, w.atStripe("user_2"), 1)
	})
}

// script is a provider whose answers a test gives, and a store. It notes what is asked.
type script struct {
	have  customers.Customer
	found string
	made  string
	err   error

	asked []string
	saved string
	spent int
}

func (s *script) Create(_ context.Context, accountID, key string) (string, error) {
	s.asked = append(s.asked, "create "+accountID+" by "+key)
	return s.made, s.err
}

func (s *script) Find(_ context.Context, accountID string, since time.Time) (string, error) {
	s.asked = append(s.asked, "find "+accountID+" since "+since.Format(time.RFC3339))
	return s.found, s.err
}

func (s *script) Delete(context.Context, string) error { return s.err }

func (s *script) BeginCustomer(context.Context, customers.Begin) (customers.Customer, error) {
	return s.have, nil
}

func (s *script) SpendCustomerKey(context.Context, string) error {
	s.spent++
	return nil
}

func (s *script) SaveCustomer(_ context.Context, _, id string) error {
	s.saved = id
	return nil
}

func (s *script) CustomersOf(context.Context, string) ([]string, error) { return nil, nil }

// TestWhatIsAsked lists what an attempt asks of Stripe, and by which key, so that no account gets two customers.
func TestWhatIsAsked(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	const create, find = "create org_1 by org_1", "find org_1 since "
	for name, c := range map[string]struct {
		have  customers.Customer
		found string
		err   error
		empty bool
		asked []string
		saved string
		spent int
	}{
		"the first attempt":     {asked: []string{create}, saved: "cus_new"},
		"there is one":          {have: customers.Customer{ID: "cus_old"}},
		"the second":            {have: customers.Customer{Attempts: 1, FirstTime: now.Add(-10 * time.Second)}, asked: []string{create}, saved: "cus_new"},
		"while the key lives":   {have: customers.Customer{Attempts: 7, FirstTime: now.Add(-20 * time.Hour)}, asked: []string{create}, saved: "cus_new"},
		"after a deletion":      {have: customers.Customer{SpentKeys: 1}, asked: []string{"create org_1 by org_1/1"}, saved: "cus_new"},
		"an answer without one": {empty: true, asked: []string{create}},
		"after the key's life": {
			have:  customers.Customer{Attempts: 30, FirstTime: now.Add(-20*time.Hour - 1)},
			asked: []string{find + "2026-11-22T12:29:59Z", create}, saved: "cus_new",
		},
		"found": {
			have: customers.Customer{Attempts: 30, FirstTime: now.Add(-48 * time.Hour)}, found: "cus_old",
			asked: []string{find + "2026-11-21T08:30:00Z"}, saved: "cus_old",
		},
		"after a spent key": {
			have:  customers.Customer{Attempts: 1, SpentKeys: 1, FirstTime: now.Add(-time.Minute)},
			asked: []string{find + "2026-11-23T08:29:00Z", "create org_1 by org_1/1"}, saved: "cus_new",
		},
		"after a spent key, found": {
			have: customers.Customer{Attempts: 3, SpentKeys: 2, FirstTime: now.Add(-time.Minute)}, found: "cus_old",
			asked: []string{find + "2026-11-23T08:29:00Z"}, saved: "cus_old",
		},
		"a key is spent":       {err: &outcome.UnknownError{Err: errors.New("500"), Spent: true}, asked: []string{create}, spent: 1},
		"a lost answer":        {err: &outcome.UnknownError{Err: errors.New("lost")}, asked: []string{create}},
		"a failure of another": {err: &outcome.BusyError{Err: errors.New("429")}, asked: []string{create}},
	} {
		t.Run(name, func(t *testing.T) {
			c.have.AccountID = "org_1"
			s := &script{have: c.have, found: c.found, err: c.err, made: "cus_new"}
			if c.empty {
				s.made = ""
			}
			id, err := customers.New(customers.Options{Store: s, Provider: s, Now: func() time.Time { return now }}).Ensure(t.Context(), "org_1")
			require.Equal(t, c.asked, s.asked)
			require.Equal(t, c.saved, s.saved)
			require.Equal(t, c.spent, s.spent)
			if c.err != nil || c.empty {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.saved+c.have.ID, id)
		})
	}
}
