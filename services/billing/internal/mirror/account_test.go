package mirror_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/settings"
	platform "github.com/trivet-dev/trivet/platform/webhook"
	fake "github.com/trivet-dev/trivet/sandbox/stripe"
	"github.com/trivet-dev/trivet/sandbox/webhook"
	"github.com/trivet-dev/trivet/services/billing/internal/intake"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/reconcile"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
	"github.com/trivet-dev/trivet/services/billing/internal/stripe"
	"github.com/trivet-dev/trivet/services/billing/internal/stripesig"
)

const webhookSecret = "whsec_0123456789abcdef"

// tester is what is needed of a test; rapid's have it too.
type tester interface {
	require.TestingT
	Helper()
	Cleanup(fn func())
}

// copied is an account at Stripe with a mirror of it: everything between a signed webhook and the store is production's.
type replica struct {
	*fake.Fake
	t          tester
	client     *stripe.Client
	inbox      *inbox.Inbox
	store      *store.Store
	mirror     *mirror.Mirror
	receiver   *platform.Receiver
	reconciler *reconcile.Reconciler

	mu     sync.Mutex
	clock  time.Time
	events []webhook.Event
	calls  map[string]int
	emit   func(webhook.Event) // in the place of keeping them
}

// newCopy uses a database that holds nothing of earlier copies.
func newCopy(t tester, db *database.DB) *replica {
	t.Helper()
	c := &replica{t: t, clock: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), calls: map[string]int{}}
	var err error
	c.Fake, err = fake.New(fake.Config{Now: c.now, PublicURL: "http://stripe.test", Emit: c.told})
	require.NoError(t, err)
	server := httptest.NewServer(http.HandlerFunc(c.serve))
	quiet := slog.New(slog.DiscardHandler)
	transport, err := provider.New(stripe.Transport(), quiet, noop.Meter{})
	require.NoError(t, err)
	c.client = stripe.New(stripe.Config{
		Key: settings.NewSecret("sk_test_copy"), URL: server.URL, HTTP: transport.Client(), Logger: quiet, ReadsPerSecond: 10_000,
		ReadTimeout: 3 * time.Second,
	})
	c.inbox, err = inbox.New(db, inbox.Options{Backoff: inbox.Backoff{Base: time.Millisecond, Cap: 20 * time.Millisecond}})
	require.NoError(t, err)
	c.store = store.New(db)
	c.mirror = mirror.New(mirror.Options{
		Inbox: c.inbox, Store: c.store, Source: c.client, Now: c.now, Applied: func(context.Context, string, string) {},
	})
	require.NoError(t, c.mirror.Handle())
	verifier, err := stripesig.New([]string{webhookSecret}, c.now)
	require.NoError(t, err)
	livemode := false
	c.receiver = platform.New(platform.Options{
		Provider: intake.Provider(verifier, &livemode), Inbox: c.inbox, Record: func(context.Context, string, string) {}, Logger: quiet,
	})
	c.reconciler = reconcile.New(reconcile.Options{Database: db, Store: c.store, Source: c.client, Mirror: c.mirror, Now: c.now, Logger: quiet})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.inbox.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
		transport.CloseIdleConnections()
		server.Close()
		require.NoError(t, c.Close())
	})
	return c
}

func (c *replica) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clock
}

func (c *replica) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock = c.clock.Add(d)
}

// told keeps events for the test to deliver.
func (c *replica) told(e webhook.Event) {
	if c.emit != nil {
		c.emit(e)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, e)
}

func (c *replica) take() []webhook.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	events := c.events
	c.events = nil
	return events
}

// serve counts what the client calls.
func (c *replica) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.calls[c.Route(r)]++
	c.mu.Unlock()
	c.ServeHTTP(w, r)
}

// count returns the calls since the last time.
func (c *replica) count() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.calls
	c.calls = map[string]int{}
	return calls
}

func sum(calls map[string]int) (n int) {
	for _, one := range calls {
		n += one
	}
	return n
}

// do calls the API as the dashboard would, and returns the object; nil when it was refused.
func (c *replica) do(method, path, form string) map[string]any {
	c.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(form))
	r.Header.Set("Authorization", "Bearer sk_test_copy")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return nil
	}
	var object map[string]any
	require.NoError(c.t, json.Unmarshal(w.Body.Bytes(), &object))
	return object
}

// must is do for what is not refused; it returns the id.
func (c *replica) must(method, path, form string) string {
	c.t.Helper()
	object := c.do(method, path, form)
	require.NotNil(c.t, object, "%s %s %s", method, path, form)
	return object["id"].(string)
}

// ids lists all objects of a path, which ends in its parameters.
func (c *replica) ids(path string) (ids []string) {
	c.t.Helper()
	for after := ""; ; after = "&starting_after=" + ids[len(ids)-1] {
		page := c.do(http.MethodGet, path+"limit=100"+after, "")
		require.NotNil(c.t, page, path)
		for _, one := range page["data"].([]any) {
			ids = append(ids, one.(map[string]any)["id"].(string))
		}
		if page["has_more"] != true {
			return ids
		}
	}
}

// living are the ids of all objects of a kind.
func (c *replica) living(kind mirror.Kind) (ids []string) {
	if kind == mirror.PaymentMethod {
		for _, customer := range c.living(mirror.Customer) {
			ids = append(ids, c.ids("/v1/payment_methods?customer="+customer+"&")...)
		}
		return ids
	}
	return c.ids(map[mirror.Kind]string{
		mirror.Customer: "/v1/customers?", mirror.Product: "/v1/products?", mirror.Price: "/v1/prices?", mirror.Subscription: "/v1/subscriptions?status=all&",
		mirror.Invoice: "/v1/invoices?", mirror.CheckoutSession: "/v1/checkout/sessions?", mirror.Refund: "/v1/refunds?", mirror.Dispute: "/v1/disputes?",
		mirror.Schedule: "/v1/subscription_schedules?", mirror.CreditNote: "/v1/credit_notes?",
	}[kind])
}

// deliver hands signed webhooks to the receiver, many at once, and waits until all have taken effect.
func (c *replica) deliver(events []webhook.Event) {
	c.t.Helper()
	var all sync.WaitGroup
	errs := make(chan error, len(events))
	for _, e := range events {
		all.Go(func() { errs <- c.receive(e.Body) })
	}
	all.Wait()
	for range events {
		require.NoError(c.t, <-errs)
	}
	c.drain()
}

func (c *replica) receive(body []byte) error {
	headers, err := webhook.Stripe([]string{webhookSecret}, "", c.now(), body)
	if err != nil {
		return err
	}
	_, err = c.receiver.Receive(context.Background(), map[string]string{stripesig.Header: headers.Get(stripesig.Header)}, body)
	return err
}

// drain waits until nothing is left to apply; nothing must be dead.
func (c *replica) drain() {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		counts, err := c.inbox.Counts(context.Background())
		return err == nil && len(counts) == 0
	}, time.Minute, time.Millisecond)
}

// reconcile returns the last counts of each kind.
func (c *replica) reconcile(since time.Time) map[mirror.Kind]reconcile.Counts {
	c.t.Helper()
	found := map[mirror.Kind]reconcile.Counts{}
	require.NoError(c.t, c.reconciler.Run(context.Background(), since, func(p reconcile.Progress) error {
		found[p.Kind] = p.Counts
		return nil
	}))
	return found
}

// differences compares all that Stripe has with all that the store has. Of an open checkout session no event tells: unless all
// is expected, it may be missing.
func (c *replica) differences(all bool) (found []string) {
	c.t.Helper()
	ctx := context.Background()
	for _, kind := range mirror.Kinds() {
		kept := map[string]mirror.Object{}
		for after := ""; ; {
			page, err := c.store.Objects(ctx, kind, after, 100)
			require.NoError(c.t, err)
			if len(page) == 0 {
				break
			}
			for _, o := range page {
				kept[o.ID], after = o, o.ID
			}
		}
		ids := slices.AppendSeq(c.living(kind), maps.Keys(kept))
		slices.Sort(ids)
		for _, id := range slices.Compact(ids) {
			is, has := kept[id]
			body, err := c.client.Get(ctx, kind, id)
			if err != nil {
				require.ErrorIs(c.t, err, mirror.ErrGone)
				found = append(found, fmt.Sprintf("%s %s is kept, and gone", kind, id))
				continue
			}
			want, err := mirror.Parse(kind, body)
			require.NoError(c.t, err)
			switch {
			case !has && !all && kind == mirror.CheckoutSession && want.Status == "open":
			case !has:
				found = append(found, fmt.Sprintf("%s %s is missing", kind, id))
			case string(want.Body) != string(is.Body) || want.Status != is.Status || want.Customer != is.Customer || want.Partial:
				found = append(found, fmt.Sprintf("%s %s is\n%s\nnot\n%s", kind, id, is.Body, want.Body))
			}
		}
	}
	return found
}

// same fails unless a comparison found nothing but what is the same.
func (c *replica) same(found map[mirror.Kind]reconcile.Counts) {
	c.t.Helper()
	for kind, counts := range found {
		require.Equal(c.t, reconcile.Counts{Same: counts.Same}, counts, kind)
	}
}

func form(pairs ...string) string {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Add(pairs[i], pairs[i+1])
	}
	return values.Encode()
}

// post hands an event to the receiver over HTTP, as the edge does.
func (c *replica) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		_, err = c.receiver.Receive(r.Context(), map[string]string{stripesig.Header: r.Header.Get(stripesig.Header)}, body)
	}
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}
