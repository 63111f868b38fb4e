// Package serve holds what every Trivet process does around its services:
// read the common settings, log, measure, listen, and stop in order.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/trivet-dev/trivet/platform/tracing"
)

// Part is something that runs until its context ends.
type Part struct {
	// Name is for the log.
	Name string
	// Run returns nil after its context has ended and all that it started has stopped.
	Run func(ctx context.Context) error
}

type result struct {
	index int
	err   error
}

// Run runs the parts until ctx ends or one of them returns. When ctx ends, the process first stops being ready and keeps
// accepting connections for Settings.DrainDelay, because load balancers notice late. Then Run stops the parts in reverse
// order: what takes requests stops before what serves them. It returns the first failure.
func (h *Host) Run(ctx context.Context, parts ...Part) error {
	h.lines.Hold()
	defer h.lines.Release()
	defer h.captureLibraries()()
	// Reading settings and migrations leaves several times as much garbage as a running process has memory in use.
	debug.FreeOSMemory()
	r := running{host: h, parts: parts, stops: make([]context.CancelFunc, len(parts)), results: make(chan result, len(parts)), ended: map[int]error{}}
	for i, part := range parts {
		// Each part ends when it is told to, not when ctx ends: the order matters.
		own, stop := context.WithCancel(tracing.With(context.WithoutCancel(ctx), h.Tracer))
		r.stops[i] = stop
		go func() { r.results <- result{i, part.Run(own)} }()
	}
	begun := time.Now()
	failure := r.untilEnd(ctx)
	if failure == nil {
		begun = time.Now()
		failure = r.drain(context.WithoutCancel(ctx))
	}
	h.draining.Store(true) // also when a part failed
	failure = r.stopAll(context.WithoutCancel(ctx), failure)
	h.Logger.InfoContext(ctx, "stopped", slog.String("after", since(begun)))
	return failure
}

// running is a set of parts that were started.
type running struct {
	host    *Host
	parts   []Part
	stops   []context.CancelFunc
	results chan result
	ended   map[int]error
}

// untilEnd waits for the signal to stop, or for a part that returns before it.
func (r *running) untilEnd(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case one := <-r.results:
		return r.early(ctx, one)
	}
}

// drain makes the process unready and waits while load balancers take notice.
func (r *running) drain(ctx context.Context) error {
	r.host.draining.Store(true)
	delay := r.host.Settings.DrainDelay
	r.host.Logger.InfoContext(ctx, "stopping: the process is no longer ready; a second signal ends it at once",
		slog.String("new_connections_accepted_for", delay.String()))
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case one := <-r.results:
		return r.early(ctx, one)
	}
}

// early notes a part that returned while it should run.
func (r *running) early(ctx context.Context, one result) error {
	r.ended[one.index] = one.err
	name, err := r.parts[one.index].Name, one.err
	r.host.Logger.ErrorContext(ctx, "component exited unexpectedly; shutting down", slog.String("component", name), slog.Any("error", err))
	if err == nil {
		err = errors.New("exited unexpectedly")
	}
	return fmt.Errorf("%s: %w", name, err)
}

// stopAll stops the parts, the last one first, and returns the first failure.
func (r *running) stopAll(ctx context.Context, failure error) error {
	for i := len(r.parts) - 1; i >= 0; i-- {
		r.stops[i]()
		if err := r.await(ctx, i); err != nil && failure == nil {
			failure = fmt.Errorf("%s: %w", r.parts[i].Name, err)
		}
	}
	return failure
}

// patience is how long a part may take to stop before the log says that it is awaited.
const patience = 200 * time.Millisecond

// await waits for one part to end. The log says so when that takes a while.
func (r *running) await(ctx context.Context, i int) error {
	begun, told := time.Now(), false
	slow := time.NewTimer(patience)
	defer slow.Stop()
	for {
		if err, ok := r.ended[i]; ok {
			if told {
				r.host.Logger.InfoContext(ctx, "component stopped", slog.String("component", r.parts[i].Name), slog.String("after", since(begun)))
			}
			return err
		}
		select {
		case one := <-r.results:
			r.ended[one.index] = one.err
		case <-slow.C:
			told = true
			r.host.Logger.InfoContext(ctx, "waiting for a component to finish its work", slog.String("component", r.parts[i].Name))
		}
	}
}

// since is how long ago something was, for people.
func since(begun time.Time) string { return time.Since(begun).Round(time.Millisecond).String() }
