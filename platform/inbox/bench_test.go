package inbox_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/settings"
)

const benchCallers = 64

// bench is an inbox on a durable database, whose commits are counted.
type bench struct {
	*testing.B
	db      *database.DB
	in      *inbox.Inbox
	commits atomic.Int64
	handled atomic.Int64
	all     chan struct{}
}

// eachDurable runs a benchmark on both databases. Each event has a body of 3 KB; there are 500 subjects.
//
//	go test -run xxx -bench . -benchtime 20000x ./inbox
func eachDurable(b *testing.B, run func(b *bench)) {
	open := func(b *testing.B, config database.Config) *bench {
		one := &bench{B: b, all: make(chan struct{})}
		config.Observe = func(batch database.Batch) { one.commits.Add(int64(batch.Attempts)) }
		one.db = databasetest.Open(b, config, schema)
		var err error
		one.in, err = inbox.New(one.db, inbox.Options{})
		require.NoError(b, err)
		require.NoError(b, one.in.Handle("s", inbox.Handler{Handle: func(ctx context.Context, j *inbox.Job) error {
			err := apply(ctx, j)
			if one.handled.Add(1) == int64(b.N) {
				close(one.all)
			}
			return err
		}}))
		return one
	}
	b.Run("sqlite", func(b *testing.B) {
		// Not in /tmp, which may be memory, where fsync costs nothing.
		dir, err := os.MkdirTemp(".", "bench-") //nolint:usetesting // see above
		require.NoError(b, err)
		defer os.RemoveAll(dir)
		run(open(b, database.Config{URL: settings.NewSecret("sqlite://" + filepath.Join(dir, "bench.db"))}))
	})
	b.Run("postgres", func(b *testing.B) {
		server := databasetest.NewServer(b, true)
		run(open(b, database.Config{URL: settings.NewSecret(server.NewDatabase(b)), Schema: schema.Service}))
	})
}

// put puts b.N events from 64 callers and returns the slowest 1 %.
func (b *bench) put() (p99 time.Duration) {
	payload := make([]byte, 3<<10)
	took := make([]time.Duration, b.N)
	var next atomic.Int64
	var callers sync.WaitGroup
	for range benchCallers {
		callers.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				begun := time.Now()
				e := inbox.Event{Source: "s", ID: fmt.Sprintf("evt_%016d", n), Type: "invoice.updated", Subject: fmt.Sprintf("in_%d", n%500), Payload: payload}
				if _, err := b.in.Put(b.Context(), e); err != nil {
					b.Error(err)
				}
				took[n-1] = time.Since(begun)
			}
		})
	}
	callers.Wait()
	return slowest(took)
}

func (b *bench) measure(name string, work func()) {
	commits, before, begun := b.commits.Load(), cpu(), time.Now()
	b.ResetTimer()
	work()
	b.StopTimer()
	events := float64(b.N)
	b.ReportMetric(events/time.Since(begun).Seconds(), name+"/s")
	b.ReportMetric(events/float64(b.commits.Load()-commits), name+"/commit")
	b.ReportMetric(float64((cpu()-before).Microseconds())/events, "cpu-µs/event")
	b.ReportMetric(0, "ns/op")
}

// drain handles all events.
func (b *bench) drain(during func()) {
	ctx, stop := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := b.in.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	during()
	<-b.all
	stop()
	running.Wait()
}

// BenchmarkPut is arrival alone.
func BenchmarkPut(b *testing.B) {
	eachDurable(b, func(b *bench) {
		var p99 time.Duration
		b.measure("puts", func() { p99 = b.put() })
		b.ReportMetric(float64(p99.Microseconds())/1000, "p99-ms")
	})
}

// BenchmarkDrain handles what has arrived before, with 16 workers and an effect each.
func BenchmarkDrain(b *testing.B) {
	eachDurable(b, func(b *bench) {
		b.put()
		b.measure("handled", func() { b.drain(func() {}) })
	})
}

// BenchmarkFlow puts and handles at once.
func BenchmarkFlow(b *testing.B) {
	eachDurable(b, func(b *bench) {
		var p99 time.Duration
		b.measure("events", func() { b.drain(func() { p99 = b.put() }) })
		b.ReportMetric(float64(p99.Microseconds())/1000, "put-p99-ms")
	})
}

func slowest(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)*99/100]
}

// cpu is the process's user and system time; PostgreSQL's is not in it.
func cpu() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
