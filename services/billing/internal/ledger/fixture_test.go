package ledger_test

import (
	"context"
	"log/slog"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/rpc"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

type clock = billingtest.Clock

func newClock() *clock {
	return billingtest.NewClock(time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC))
}

// The prices of the tests: a token of "plain" costs 1 nano-dollar in, half of it cached, and 3 out.
const priceFile = `
models:
  plain: {kind: chat, provider: test, context_tokens: 2147483647, max_output_tokens: 2147483647, default_output_tokens: 100, input: "0.001", cached_input: "0.0005", output: "0.003"}
  uneven: {kind: chat, provider: test, context_tokens: 1000000, max_output_tokens: 1000000, default_output_tokens: 100, input: "0.0000015", output: "0.0000007"}
  embed: {kind: embedding, provider: test, context_tokens: 1000000, input: "0.001"}
  gratis: {kind: chat, provider: test, context_tokens: 1000000, max_output_tokens: 1000000, default_output_tokens: 100, input: "0", output: "0"}
  dear-cache: {kind: chat, provider: test, context_tokens: 1000000, max_output_tokens: 1000000, default_output_tokens: 100, input: "0.001", cached_input: "0.005", output: "0"}
  cheap-cache: {kind: chat, provider: test, context_tokens: 1000000, max_output_tokens: 1000000, default_output_tokens: 100, input: "0.001", cached_input: "0", output: "0.003"}
  gold: {kind: chat, provider: test, context_tokens: 2147483647, max_output_tokens: 2147483647, default_output_tokens: 100, input: "1000000", output: "1000000"}
`

// The plans of the tests: none includes credit but "monthly", with 1000 nano-dollars a period.
const planFile = `
plans:
  - {id: empty, name: Empty, price: "0", included_credit: "0"}
  - {id: monthly, name: Monthly, price: "0", included_credit: "0.000001"}
  - {id: narrow, name: Narrow, price: "0", included_credit: "0.000001", models: [embed, gratis]}
`

func prices(t testing.TB) *models.List {
	t.Helper()
	list, err := models.Parse([]byte(priceFile))
	require.NoError(t, err)
	return list
}

// fixedPlans is a list of plans that tests may change.
type fixedPlans struct {
	all      map[string]plans.Plan
	prices   map[string]plans.Sale
	fallback string
	// applied are prices that another replica has applied.
	applied map[string]plans.Sale
	// reloads counts how often the applied plans were read, and reading, if set, is done before.
	reloads atomic.Int64
	reading func(ctx context.Context) error
}

func (p *fixedPlans) reload(ctx context.Context) error {
	p.reloads.Add(1)
	if p.reading != nil {
		if err := p.reading(ctx); err != nil {
			return err
		}
	}
	for id, sale := range p.applied {
		p.all[sale.Plan.Ref()], p.prices[id] = *sale.Plan, sale
	}
	return nil
}

func (p *fixedPlans) Get(id string) (plans.Plan, bool) {
	plan, ok := p.all[id]
	return plan, ok
}

func (p *fixedPlans) ByPrice(id string) (plans.Sale, bool) {
	sale, ok := p.prices[id]
	return sale, ok
}

func (p *fixedPlans) Default() plans.Plan { return p.all[p.fallback] }

func newPlans(t testing.TB, fallback string) *fixedPlans {
	t.Helper()
	file, err := plans.Parse([]byte(planFile), nil)
	require.NoError(t, err)
	p := &fixedPlans{all: map[string]plans.Plan{}, fallback: fallback}
	for _, plan := range file.Plans {
		p.all[plan.ID] = plan
	}
	return p
}

// fixture is a ledger under test.
type fixture struct {
	*ledger.Ledger
	t     testing.TB
	store *store.Store
	db    *database.DB
	place database.Config
	// outside is a connection of another process.
	outside *database.DB
	clock   *clock
	plans   *fixedPlans
	free    ledger.FreeCredit
	// limits is the subject whose limits are stored; nil for limits that come with the call.
	limits *ledger.Subject
	// logs gets the logs of the ledgers made after it was set.
	logs slog.Handler
}

const lease = time.Minute

func newFixture(t testing.TB, db *database.DB, defaultPlan string) *fixture {
	t.Helper()
	b := &fixture{t: t, db: db, store: store.New(db), clock: newClock(), plans: newPlans(t, defaultPlan)}
	b.Ledger = b.on(b.store)
	return b
}

// each runs a test on both databases, with new accounts on the given plan; the ledger must be sound when it ends.
func each(t *testing.T, defaultPlan string, test func(t *testing.T, b *fixture)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { onSQLite(t, defaultPlan, test) })
	t.Run("postgres", func(t *testing.T) {
		on(t, patient(t, databasetest.MigratedURL(t, store.Migrations())), defaultPlan, test)
	})
}

func onSQLite(t *testing.T, defaultPlan string, test func(t *testing.T, b *fixture)) {
	t.Helper()
	on(t, "sqlite://"+filepath.Join(t.TempDir(), "billing.db"), defaultPlan, test)
}

func on(t *testing.T, url, defaultPlan string, test func(t *testing.T, b *fixture)) {
	t.Helper()
	config := database.Config{URL: settings.NewSecret(url), Schema: "billing", Synchronous: "NORMAL", Lanes: databasetest.Lanes}
	b := newFixture(t, databasetest.Open(t, config, store.Migrations()), defaultPlan)
	b.place = config
	test(t, b)
	b.sound()
}

// patient has statements wait longer for locks than they do for callers, so that a slow machine refuses none.
func patient(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	query := u.Query()
	query.Set("lock_timeout", "30000")
	u.RawQuery = query.Encode()
	return u.String()
}

// sound checks every rule of the ledger.
func (b *fixture) sound() {
	b.t.Helper()
	found, err := b.Audit(context.Background())
	require.NoError(b.t, err)
	require.Empty(b.t, found)
}

func (b *fixture) account() ledger.Account {
	b.t.Helper()
	a, err := b.Account(b.t.Context(), alice, "")
	require.NoError(b.t, err)
	return a
}

// give grants credit; without an expiry it has no end.
func (b *fixture) give(source string, amount int64, expire ...time.Time) ledger.Grant {
	b.t.Helper()
	n := ledger.NewGrant{AccountID: alice, Create: true, Source: source, Amount: amount}
	if len(expire) > 0 {
		n.ExpireTime = expire[0]
	}
	g, err := b.Grant(b.t.Context(), n)
	require.NoError(b.t, err)
	return g
}

// remaining tells what is left of each grant, by source.
func (b *fixture) remaining() map[string]int64 {
	b.t.Helper()
	all, err := b.store.Grants(b.t.Context(), alice)
	require.NoError(b.t, err)
	left := map[string]int64{}
	for _, g := range all {
		left[g.Source] = g.Remaining
	}
	return left
}

// hold reserves input tokens of "embed", which cost a nano-dollar each.
func (b *fixture) hold(request string, amount int64) ledger.Hold {
	b.t.Helper()
	h, err := b.Reserve(b.t.Context(), ledger.Reservation{RequestID: request, AccountID: alice, UserID: "user_1", Model: "embed", InputTokens: amount})
	require.NoError(b.t, err)
	require.Equal(b.t, amount, h.Amount)
	return h
}

// settle reports that input tokens were used.
func (b *fixture) settle(h ledger.Hold, input int64) ledger.Closing {
	b.t.Helper()
	end, err := b.Settle(b.t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: input}, Outcome: ledger.OutcomeCompleted})
	require.NoError(b.t, err)
	return end
}

// moves lists the account's entries, oldest first, as "kind amount".
func (b *fixture) entries() []ledger.Entry {
	b.t.Helper()
	list, err := b.Entries(b.t.Context(), alice, "", 1000)
	require.NoError(b.t, err)
	return list
}

const alice = "user_alice"

// requireReason checks the reason that callers see.
func requireReason(t testing.TB, want errorsv1.ErrorReason, err error) *errs.Error {
	t.Helper()
	require.Error(t, err)
	e := errs.From(rpc.Public(err))
	require.Equal(t, want, e.Reason, "%v", err)
	return e
}

func reasonOf(err error) errorsv1.ErrorReason { return errs.ReasonOf(rpc.Public(err)) }

// reprice changes an open hold's output price behind the ledger's back, and makes the ledger forget what it remembers of it.
func (b *fixture) reprice(holdID string, price int64) error {
	b.Ledger = b.again()
	return b.db.Write(b.t.Context(), holdID, func(ctx context.Context, tx database.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE hold SET output_price = $1 WHERE id = $2", price, holdID)
		return err
	})
}

// again is the same process after a restart: it remembers nothing.
func (b *fixture) again() *ledger.Ledger { return b.on(b.store) }

// replica is another process on the same database.
func (b *fixture) replica() *ledger.Ledger {
	b.t.Helper()
	return b.on(store.New(databasetest.Open(b.t, b.place, database.Migrations{})))
}

func (b *fixture) on(s *store.Store) *ledger.Ledger { return b.over(s) }

func (b *fixture) over(s ledger.Store) *ledger.Ledger {
	logs := b.logs
	if logs == nil {
		logs = slog.DiscardHandler
	}
	return ledger.New(ledger.Options{
		Store: s, Prices: prices(b.t), Plans: b.plans, Reload: b.plans.reload, FreeCredit: b.free, Now: b.clock.Now, Logger: slog.New(logs), Lease: lease,
	})
}

// exec changes the database behind the ledger's back, as another process does.
func (b *fixture) exec(sql string, args ...any) {
	b.t.Helper()
	if b.outside == nil && b.place.URL.Reveal() == "" {
		b.outside = b.db
	} else if b.outside == nil {
		place := b.place
		place.Beside = true
		b.outside = databasetest.Open(b.t, place, database.Migrations{})
	}
	require.NoError(b.t, b.outside.Write(b.t.Context(), alice, func(ctx context.Context, tx database.Tx) error {
		_, err := tx.ExecContext(ctx, sql, args...)
		return err
	}))
}

// count reads one number.
func (b *fixture) count(sql string, args ...any) (n int64) {
	b.t.Helper()
	require.NoError(b.t, b.db.Read().QueryRowContext(b.t.Context(), sql, args...).Scan(&n))
	return n
}
