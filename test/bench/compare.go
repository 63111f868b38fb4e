package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// maxAccounts is the most accounts that call in turn.
const maxAccounts = 64

// benchCase is the work that every target gets.
type benchCase struct {
	callers  int
	accounts int // that the callers belong to; 0 means that each call is the first of an account
	stream   bool
}

func (c benchCase) String() string {
	kind := "whole"
	if c.stream {
		kind = "streamed"
	}
	switch c.accounts {
	case 0:
		return fmt.Sprintf("%s, %d callers, first calls", kind, c.callers)
	case 1:
		return fmt.Sprintf("%s, %d callers", kind, c.callers)
	default:
		return fmt.Sprintf("%s, %d callers, %d accounts", kind, c.callers, c.accounts)
	}
}

func (o options) cases() []benchCase {
	all := []benchCase{
		{1, 1, false},
		{64, 1, false},
		{1, 1, true},
		{64, 1, true},
		{64, maxAccounts, false},
		{64, maxAccounts, true},
	}
	if o.once > 0 {
		all = append(all, benchCase{64, 0, false})
	}
	return slices.DeleteFunc(all, func(c benchCase) bool { return !strings.Contains(c.String()+"$", o.only) })
}

func compare(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	remove, err := profilesFolder(&o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	b, err := setUp(ctx, o, stderr)
	defer func() { err = errors.Join(err, b.tearDown()) }()
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d cores, Go %s; every figure is the median of %d rounds of %s, in turn; %d deltas a stream; CPU and allocations are per request\n",
		runtime.NumCPU(), runtime.Version(), o.rounds, o.duration, o.deltas)
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "case\tprogram\trequests/s\tCPU\tratio\tCPU/delta\tPostgreSQL\tallocations\tcommits\tp50\tp99\tfirst byte\tfailed\t")
	measured := map[string]time.Duration{} // CPU per request of a process, by the name of the profile
	var processes []string
	for _, c := range o.cases() {
		fmt.Fprintln(stderr, c)
		all, err := b.measureCase(ctx, c)
		if err != nil {
			return b.explain(err)
		}
		for i, t := range b.targets {
			f := median(all[i])
			show(table, c, t, f, median(all[0]), o.deltas)
			if c.accounts == 1 && len(t.ops) > 0 {
				for process, cpu := range f.processes {
					measured[profileName(t, process, c)] = cpu
				}
			}
			if len(t.parts) > 0 {
				processes = append(processes, byProcess(c, t, f))
			}
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, line := range processes {
		fmt.Fprintln(stdout, line)
	}
	if err := b.showMemory(stdout); err != nil || !o.stages {
		return err
	}
	return b.showStages(ctx, stdout, measured)
}

// measureCase runs a case in rounds, in which the targets take turns.
func (b *bench) measureCase(ctx context.Context, c benchCase) ([][]figures, error) {
	all := make([][]figures, len(b.targets))
	rounds := b.o.rounds
	if c.accounts == 0 {
		rounds = 1 // an account has one first call
	}
	for range rounds {
		for i, t := range b.targets {
			if err := profile(ctx, b.o, t, c); err != nil {
				return nil, err
			}
			f, err := drive(ctx, t, c, b.o.duration)
			if err != nil {
				return nil, err
			}
			if f.requests == 0 {
				return nil, fmt.Errorf("%s, %s: no request succeeded: %w", t.name, c, f.err)
			}
			all[i] = append(all[i], f)
		}
	}
	return all, nil
}

// profile runs a case twice more, under Go's profilers of CPU and of allocations.
func profile(ctx context.Context, o options, t *target, c benchCase) error {
	if o.profiles == "" || c.accounts != 1 {
		return nil
	}
	for i, ops := range t.ops {
		for kind, name := range map[string]string{"profile": "cpu", "allocs": "allocs"} {
			done := make(chan error, 1)
			go func() {
				_, err := drive(ctx, t, c, o.duration)
				done <- err
			}()
			path := fmt.Sprintf("%s/%s.%s.pprof", o.profiles, profileName(t, i, c), name)
			if err := errors.Join(takeProfile(ctx, ops, kind, o.duration, path), <-done); err != nil {
				return err
			}
		}
	}
	return nil
}

func show(w io.Writer, c benchCase, t *target, f, floor figures, deltas int) {
	delta, server, allocations, commits := "", "", "", ""
	if c.stream {
		delta = fmt.Sprintf("%.2f µs", float64(f.cpu.Nanoseconds())/1000/float64(deltas))
	}
	if t.server != 0 {
		server = micros(f.server)
	}
	if len(t.ops) > 0 {
		allocations, commits = fmt.Sprintf("%.0f", f.allocations), fmt.Sprintf("%.2f", f.commits)
	}
	fmt.Fprintf(w, "%s\t%s\t%.0f\t%s\t%.2f×\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t\n", c, t.name, f.rate, micros(f.cpu), float64(f.cpu)/float64(floor.cpu), delta, server,
		allocations, commits, micros(f.p50), micros(f.p99), micros(f.firstByte), f.failures)
}

// byProcess says what each process of an installation used.
func byProcess(c benchCase, t *target, f figures) string {
	parts := make([]string, 0, len(t.parts))
	for i, name := range t.parts {
		parts = append(parts, fmt.Sprintf("%s %s (%.1f)", name, micros(f.processes[i]), f.transfers[i]))
	}
	return fmt.Sprintf("CPU (and reads and writes) of %s, %s: %s", t.name, c, strings.Join(parts, ", "))
}

func micros(d time.Duration) string { return fmt.Sprintf("%d µs", d.Microseconds()) }

func median(all []figures) figures {
	slices.SortFunc(all, func(a, b figures) int { return int(a.cpu - b.cpu) })
	m := all[len(all)/2]
	m.failures = 0
	for _, f := range all {
		m.failures += f.failures
	}
	return m
}

// showMemory shows the peaks of the run; of several processes, the sum.
func (b *bench) showMemory(w io.Writer) error {
	const mib = 1 << 20
	for _, t := range b.targets {
		var peak int64
		for _, pid := range t.pids {
			own, err := peakOf(pid)
			if err != nil {
				return err
			}
			peak += own
		}
		if _, err := fmt.Fprintf(w, "peak memory of %s: %d MiB, of which anonymous %d MiB\n", t.name, peak/mib, t.anonymous/mib); err != nil {
			return err
		}
	}
	return nil
}
