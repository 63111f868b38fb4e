package ledger_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// BenchmarkGrowth seeds calls of one account, ten times more in each step up to GROWTH_CALLS (default 10,000), and then measures what should not
// depend on their number: make bench-growth. The seed's calls are spread over a month, and folded and pruned as time passes.
func BenchmarkGrowth(b *testing.B) {
	most := 10_000
	if n, err := strconv.Atoi(os.Getenv("GROWTH_CALLS")); err == nil {
		most = n
	}
	file := filepath.Join(b.TempDir(), "billing.db")
	db := databasetest.Open(b, database.Config{URL: settings.NewSecret("sqlite://" + file)}, store.Migrations())
	clock := newClock()
	book := ledger.New(ledger.Options{
		Store: store.New(db), Prices: prices(b), Plans: newPlans(b, "empty"), Now: clock.Now, Logger: slog.New(slog.DiscardHandler),
	})
	_, err := book.Grant(b.Context(), ledger.NewGrant{AccountID: "org_0", Create: true, Source: "bench", Amount: ledger.MaxAmount})
	require.NoError(b, err)
	g := &growth{b: b, book: book, db: db, clock: clock, file: file}
	for calls := 1000; calls <= most; calls *= 10 {
		g.seed(calls)
		g.measure(calls)
	}
}

// growth is a ledger that grows.
type growth struct {
	b      *testing.B
	book   *ledger.Ledger
	db     *database.DB
	clock  *billingtest.Clock
	file   string
	seeded int
}

// seed makes calls until there are that many; the last tenth of them is less than 48 hours old.
func (g *growth) seed(calls int) {
	g.b.Helper()
	const steps = 20
	for range steps {
		g.calls((calls - g.seeded) / steps)
		_, err := g.book.Fold(g.b.Context(), always)
		require.NoError(g.b, err)
		g.clock.Add(24 * time.Hour)
		require.NoError(g.b, g.book.Prune(g.b.Context(), 0, always))
	}
	g.seeded = calls
}

var growthCall atomic.Int64

func (g *growth) calls(n int) {
	g.b.Helper()
	var group sync.WaitGroup
	var made atomic.Int64
	for range 32 {
		group.Go(func() {
			for made.Add(1) <= int64(n) {
				pair(g.b, g.book, int(growthCall.Add(1)), 1, false)
			}
		})
	}
	group.Wait()
}

func (g *growth) measure(calls int) {
	g.b.Helper()
	const some = 2000
	cpu := cpuTime(g.b)
	g.calls(some)
	perPair := (cpuTime(g.b) - cpu) / some
	account := g.time(func(ctx context.Context) error {
		_, err := g.book.Account(ctx, "org_0", "")
		return err
	})
	usage := g.time(func(ctx context.Context) error {
		_, _, err := g.book.Usage(ctx, ledger.UsageQuery{AccountID: "org_0", From: g.clock.Now().AddDate(0, -1, 0), To: g.clock.Now().Add(time.Hour)})
		return err
	})
	entries := g.time(func(ctx context.Context) error {
		_, err := g.book.Entries(ctx, "org_0", "", 50)
		return err
	})
	require.NoError(g.b, g.db.Checkpoint(g.b.Context()))
	info, err := os.Stat(g.file)
	require.NoError(g.b, err)
	g.b.Logf("%9d calls: CPU %v per pair, GetAccount %v, GetUsage %v, entries %v, file %s", calls, perPair, account, usage, entries,
		fmt.Sprintf("%d kB (%d bytes per call)", info.Size()>>10, info.Size()/int64(calls)))
}

// time is the mean of some runs.
func (g *growth) time(fn func(context.Context) error) time.Duration {
	g.b.Helper()
	const runs = 20
	begun := time.Now()
	for range runs {
		require.NoError(g.b, fn(g.b.Context()))
	}
	return time.Since(begun) / runs
}
