package ledger_test

import (
	"context"
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
					benchmarkPair(b, db, accounts, callers, false)
					b.ReportMetric(2*float64(b.N)/float64(commits.Load()), "calls/commit")
				})
			}
		}
	}
}

// BenchmarkPairLimits compares calls that only credit pays with calls of a limited API key, by a limited member, that use overage alone. PostgreSQL needs
// more callers for 16 calls a commit.
func BenchmarkPairLimits(b *testing.B) {
	for dialect, callers := range map[string]int{"sqlite": 32, "postgres": 96} {
		for _, limited := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/limited=%t", dialect, limited), func(b *testing.B) {
				var commits atomic.Int64
				db := benchDatabase(b, dialect, func(database.Batch) { commits.Add(1) })
				commits.Store(0)
				benchmarkPair(b, db, 4, callers, limited)
				b.ReportMetric(2*float64(b.N)/float64(commits.Load()), "calls/commit")
			})
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

func benchmarkPair(b *testing.B, db *database.DB, accounts, callers int, limited bool) {
	open := func() *ledger.Ledger {
		return ledger.New(ledger.Options{
			Store: store.New(db), Prices: prices(b), Plans: newPlans(b, "empty"), Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		})
	}
	book := open()
	for i := range accounts {
		var err error
		if limited {
			_, err = book.Account(b.Context(), "org_"+strconv.Itoa(i), "")
			require.NoError(b, err)
			_, err = book.SetLimit(b.Context(), ledger.SpendLimit{
				AccountID: "org_" + strconv.Itoa(i), Subject: ledger.MemberSubject(ledger.EveryMember), Period: ledger.PeriodMonth, Amount: ledger.MaxBalance,
			})
		} else {
			_, err = book.Grant(b.Context(), ledger.NewGrant{AccountID: "org_" + strconv.Itoa(i), Create: true, Source: "bench", Amount: ledger.MaxAmount})
		}
		require.NoError(b, err)
	}
	if limited {
		require.NoError(b, db.Write(b.Context(), "bench", func(ctx context.Context, tx database.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE account SET overage_cap = $1, overage_close_time = $2", int64(ledger.MaxAmount), ledger.Never.UnixMicro())
			return err
		}))
		book = open() // it has no account in memory
	}
	var next atomic.Int64
	var group sync.WaitGroup
	begun, cpu := time.Now(), cpuTime(b)
	b.ResetTimer()
	for range callers {
		group.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				pair(b, book, int(i), accounts, limited)
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

func pair(b *testing.B, book *ledger.Ledger, i, accounts int, limited bool) {
	account, key, limit := "org_"+strconv.Itoa(i%accounts), "", ledger.KeyLimit{}
	if limited {
		key, limit = "key_1", ledger.KeyLimit{Amount: ledger.MaxAmount, Period: time.Hour}
	}
	// The calls begin long after the ledger, as most do: those around its start cost a look for holds of earlier versions.
	h, err := book.Reserve(b.Context(), ledger.Reservation{
		RequestID: callid.New(account, time.Now().Add(time.Hour)), AccountID: account, UserID: "user_1", Model: "plain",
		InputTokens: 100, MinOutputTokens: 1, MaxOutputTokens: 1000, APIKeyID: key, KeyLimit: limit,
	})
	if err == nil {
		_, err = book.Settle(b.Context(), ledger.Settlement{
			HoldID: h.ID, Usage: ledger.Usage{Input: 90, Output: 200}, Outcome: ledger.OutcomeCompleted, ProviderRequestID: "chatcmpl-BqX7dR2mK9fTzL4wYvN8sJc1hGpEa",
			CallLog: ledger.CallLog{
				Target: "openai", ServedModel: "plain-2026-01-01", HTTPRequestID: "req_01K9ZJ7W6N9Q4XH2M5T8VB3CDE", Latency: 2_345_678_000, FirstByte: 345_678_000,
			},
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
