package ledger_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/callid"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// BenchmarkPair measures a Reserve and its Settle, and then the folding of them all, durable as in production: go test -run '^$' -bench Pair ./internal/ledger
// CPU is this process's alone; PostgreSQL's own is not in it.
func BenchmarkPair(b *testing.B) {
	for _, dialect := range []string{"sqlite", "postgres"} {
		for _, accounts := range []int{1, 4, 16} {
			for _, callers := range []int{1, 16, 64} {
				b.Run(fmt.Sprintf("%s/accounts=%d/callers=%d", dialect, accounts, callers), func(b *testing.B) {
					var commits atomic.Int64
					db := benchDatabase(b, dialect, func(database.Batch) { commits.Add(1) })
					commits.Store(0)
					benchmarkPair(b, db, accounts, callers)
					b.ReportMetric(2*float64(b.N)/float64(commits.Load()), "calls/commit")
				})
			}
		}
	}
}

func benchDatabase(b *testing.B, dialect string, observe func(database.Batch)) *database.DB {
	b.Helper()
	config := database.Config{URL: settings.NewSecret("sqlite://" + filepath.Join(b.TempDir(), "billing.db")), Schema: "billing", Observe: observe}
	if dialect == "postgres" {
		config.URL = settings.NewSecret(databasetest.NewServer(b, true).NewDatabase(b))
	}
	return databasetest.Open(b, config, store.Migrations())
}

func benchmarkPair(b *testing.B, db *database.DB, accounts, callers int) {
	book := ledger.New(ledger.Options{
		Store: store.New(db), Prices: prices(b), Plans: newPlans(b, "empty"), Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	for i := range accounts {
		_, err := book.Grant(b.Context(), ledger.NewGrant{AccountID: "org_" + strconv.Itoa(i), Create: true, Source: "bench", Amount: ledger.MaxAmount})
		require.NoError(b, err)
	}
	var next atomic.Int64
	var group sync.WaitGroup
	begun, cpu := time.Now(), cpuTime(b)
	b.ResetTimer()
	for range callers {
		group.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				pair(b, book, int(i), accounts)
			}
		})
	}
	group.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/time.Since(begun).Seconds(), "pairs/s")
	b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "cpu-µs/pair")
	cpu = cpuTime(b)
	_, err := book.Fold(b.Context(), always)
	require.NoError(b, err)
	b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "cpu-µs/fold")
	found, err := book.Audit(b.Context())
	require.NoError(b, err)
	require.Empty(b, found)
}

func pair(b *testing.B, book *ledger.Ledger, i, accounts int) {
	account := "org_" + strconv.Itoa(i%accounts)
	// The calls begin long after the ledger, as most do: those around its start cost a look for holds of earlier versions.
	h, err := book.Reserve(b.Context(), ledger.Reservation{
		RequestID: callid.New(account, time.Now().Add(time.Hour)), AccountID: account, UserID: "user_1", Model: "plain",
		InputTokens: 100, MinOutputTokens: 1, MaxOutputTokens: 1000,
	})
	if err == nil {
		_, err = book.Settle(b.Context(), ledger.Settlement{
			HoldID: h.ID, Usage: ledger.Usage{Input: 90, Output: 200}, Outcome: ledger.OutcomeCompleted, ProviderRequestID: "chatcmpl-1",
		})
	}
	if err != nil {
		b.Error(err)
	}
}

// cpuTime is the user and system time of this process.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
