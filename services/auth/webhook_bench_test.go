package auth_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
)

// BenchmarkReceiveWebhook stores events of 64 callers, verified, reduced and committed durably, while workers apply them.
// On SQLite synchronous is FULL.
func BenchmarkReceiveWebhook(b *testing.B) {
	for _, kind := range []string{"sqlite", "postgres"} {
		b.Run(kind, func(b *testing.B) {
			at := settings.NewSecret("sqlite://" + b.TempDir())
			if kind == "postgres" {
				at = settings.NewSecret(databasetest.PostgresURL(b))
			}
			f := startAt(b, at, withWebhooks, noop.Meter{})
			var n atomic.Int64
			var mu sync.Mutex
			var took []time.Duration
			b.SetParallelism(32) // of 2 processors
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				var mine []time.Duration
				defer func() {
					mu.Lock()
					defer mu.Unlock()
					took = append(took, mine...)
				}()
				for pb.Next() {
					i, begun := n.Add(1), time.Now()
					if _, err := f.receive(fmt.Sprintf("msg_%d", i), event("user.updated", userData(fmt.Sprintf("user_%d", i%1000), "Ada", int(i)))); err != nil {
						b.Error(err)
						return
					}
					mine = append(mine, time.Since(begun))
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

// BenchmarkOffered1000 offers 1,000 events a second, each at its time whether or not those before it are answered, and
// reports how long the answers took and when the queue was empty.
func BenchmarkOffered1000(b *testing.B) {
	const every = time.Second / 1000
	f := start(b, withWebhooks)
	took := make([]time.Duration, b.N)
	var all sync.WaitGroup
	b.ResetTimer()
	begun := time.Now()
	for i := range b.N {
		time.Sleep(time.Until(begun.Add(time.Duration(i) * every)))
		all.Go(func() {
			at := time.Now()
			if _, err := f.receive(fmt.Sprintf("msg_%d", i), event("user.updated", userData(fmt.Sprintf("user_%d", i%1000), "Ada", i))); err != nil {
				b.Error(err)
			}
			took[i] = time.Since(at)
		})
	}
	all.Wait()
	b.StopTimer()
	acknowledged := time.Now()
	for {
		counts, err := f.Inbox().Counts(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if len(counts) == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(time.Since(acknowledged).Seconds(), "drain-s")
}
