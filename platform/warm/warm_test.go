package warm_test

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/warm"
)

// running returns a pool that keeps its goroutines until the test ends.
func running(t testing.TB) *warm.Pool {
	t.Helper()
	var p warm.Pool
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { p.Run(ctx) })
	for waiting() == 0 { // until Run has begun
		done := make(chan struct{})
		p.Go(func() { close(done) })
		<-done
		runtime.Gosched()
	}
	t.Cleanup(func() {
		cancel()
		run.Wait()
		for waiting() > 0 { // those that were told to end; other tests count the goroutines of the whole process
			time.Sleep(time.Millisecond)
		}
	})
	return &p
}

// goroutine returns the name of the present goroutine, such as "goroutine 7".
func goroutine() string {
	buffer := make([]byte, 64)
	name, _, _ := strings.Cut(string(buffer[:runtime.Stack(buffer, false)]), " [")
	return name
}

func TestAGoroutineIsUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		names := map[string]bool{}
		for range 10 {
			p.Go(func() { names[goroutine()] = true })
			synctest.Wait()
		}
		require.Len(t, names, 1)
	})
}

func TestTasksDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		release := make(chan struct{})
		var running sync.WaitGroup
		var begun atomic.Int64
		for range 1000 {
			running.Add(1)
			p.Go(func() {
				defer running.Done()
				begun.Add(1)
				<-release
			})
		}
		synctest.Wait()
		require.EqualValues(t, 1000, begun.Load())
		close(release)
		running.Wait()
		synctest.Wait()
		require.LessOrEqual(t, waiting(), 256)
	})
}

// waiting counts the goroutines of pools.
func waiting() int {
	buffer := make([]byte, 4<<20)
	return strings.Count(string(buffer[:runtime.Stack(buffer, true)]), "warm.(*Pool).work(")
}

func TestIdleGoroutinesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		pair := func(n int) {
			var running sync.WaitGroup
			release := make(chan struct{})
			for range n {
				running.Add(1)
				p.Go(func() { <-release; running.Done() })
			}
			close(release)
			running.Wait()
			synctest.Wait()
		}
		time.Sleep(100 * time.Millisecond) // Run sweeps at whole seconds
		synctest.Wait()
		pair(3)
		require.Equal(t, 3, waiting())
		time.Sleep(time.Second) // the sweep finds that the three have waited since none had
		time.Sleep(700 * time.Millisecond)
		pair(1)
		time.Sleep(700 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, 1, waiting(), "one of them has worked since")
		pair(2)
		require.Equal(t, 2, waiting(), "tasks that come later find the one that is left")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Zero(t, waiting())
		pair(1)
		require.Equal(t, 1, waiting(), "a pool works again after all have ended")
	})
}

func TestATaskIsNotKept(t *testing.T) {
	p := running(t)
	collected := make(chan struct{})
	func() {
		big := make([]byte, 1<<20)
		runtime.AddCleanup(&big[0], func(int) { close(collected) }, 0)
		done := make(chan struct{})
		p.Go(func() { big[0] = 1; close(done) })
		<-done
	}()
	for range 200 {
		runtime.GC()
		select {
		case <-collected:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("an idle goroutine keeps what its last task used")
}

func TestNoAllocationBesidesTheTask(t *testing.T) {
	p := running(t)
	done := make(chan struct{})
	task := func() { done <- struct{}{} }
	require.LessOrEqual(t, testing.AllocsPerRun(1000, func() {
		p.Go(task)
		<-done
		runtime.Gosched() // until the goroutine waits again
	}), 0.9)
}

// A pool that does not run keeps nothing, and one that has stopped neither.
func TestGoroutinesAreKeptWhileThePoolRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p warm.Pool
		task := func() {
			var done sync.WaitGroup
			done.Add(1)
			p.Go(done.Done)
			done.Wait()
			synctest.Wait()
		}
		task()
		require.Zero(t, waiting())
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { p.Run(ctx) })
		synctest.Wait()
		task()
		require.Equal(t, 1, waiting())
		cancel()
		run.Wait()
		synctest.Wait()
		require.Zero(t, waiting())
		task()
		require.Zero(t, waiting())
	})
}

// A pool that runs again knows nothing of the goroutines of its earlier run.
func TestAPoolRunsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p warm.Pool
		run := func(tasks int) {
			ctx, cancel := context.WithCancel(t.Context())
			var runs sync.WaitGroup
			runs.Go(func() { p.Run(ctx) })
			synctest.Wait()
			release := make(chan struct{})
			for range tasks {
				p.Go(func() { <-release })
			}
			close(release)
			time.Sleep(time.Second + time.Millisecond) // until a sweep has counted them
			cancel()
			runs.Wait()
			synctest.Wait()
		}
		run(3)
		run(0)
		run(2)
		require.Zero(t, waiting())
	})
}

func BenchmarkGo(b *testing.B) {
	p := running(b)
	done := make(chan struct{})
	deep := func() { grow(64); done <- struct{}{} }
	b.Run("pool", func(b *testing.B) {
		for b.Loop() {
			p.Go(deep)
			<-done
		}
	})
	b.Run("go statement", func(b *testing.B) {
		for b.Loop() {
			go deep()
			<-done
		}
	})
}

// grow needs about 200 bytes of stack for each level.
//
//go:noinline
func grow(levels int) byte {
	var frame [128]byte
	if levels > 0 {
		frame[levels] = grow(levels - 1)
	}
	return frame[levels&1]
}
