package auth_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/auth"
)

// BenchmarkReceiveWebhook stores events of 64 callers, verified, reduced and committed durably, while workers apply them.
// On SQLite synchronous is FULL.
func BenchmarkReceiveWebhook(b *testing.B) {
	for _, kind := range []string{"sqlite", "postgres"} {
		b.Run(kind, func(b *testing.B) {
			h := start(b, func(c *auth.Config) {
				withWebhooks(c)
				if kind == "postgres" {
					c.DatabaseURL = settings.NewSecret(databasetest.PostgresURL(b))
				}
			})
			var n atomic.Int64
			b.SetParallelism(32) // of 2 processors
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					i := n.Add(1)
					if _, err := h.receive(fmt.Sprintf("msg_%d", i), event("user.updated", userData(fmt.Sprintf("user_%d", i%1000), "Ada", int(i)))); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
