package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

type benchCase struct {
	callers int
	stream  bool
}

func (c benchCase) String() string {
	if c.stream {
		return fmt.Sprintf("streamed, %d callers", c.callers)
	}
	return fmt.Sprintf("whole, %d callers", c.callers)
}

func compare(ctx context.Context, o options, stdout, stderr io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	proxy, trivet, stop, err := start(ctx, o, stderr)
	defer stop()
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d cores, Go %s; every figure is the median of %d rounds of %s; %d deltas a stream\n", runtime.NumCPU(), runtime.Version(), o.rounds, o.duration, o.deltas)
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "case\tprogram\trequests/s\tCPU/request\tp50\tp99\tfirst byte\tfailed\t")
	for _, c := range []benchCase{{1, false}, {64, false}, {1, true}, {64, true}} {
		var low, high []figures
		for range o.rounds {
			for _, m := range []struct {
				t    target
				into *[]figures
			}{{proxy, &low}, {trivet, &high}} {
				if err := profile(ctx, o, m.t, c); err != nil {
					return err
				}
				f, err := drive(ctx, m.t, c.callers, c.stream, o.duration)
				if err != nil {
					return err
				}
				if f.requests == 0 {
					return fmt.Errorf("%s, %s: no request succeeded: %w", m.t.name, c, f.err)
				}
				*m.into = append(*m.into, f)
			}
		}
		show(table, c, median(low), median(high))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return showMemory(stdout, proxy, trivet)
}

// profile runs a case once more under Go's CPU profiler.
func profile(ctx context.Context, o options, t target, c benchCase) error {
	if o.profiles == "" || t.ops == "" {
		return nil
	}
	done := make(chan error, 1)
	go func() {
		_, err := drive(ctx, t, c.callers, c.stream, o.duration)
		done <- err
	}()
	path := fmt.Sprintf("%s/%d-%t.pprof", o.profiles, c.callers, c.stream)
	return errors.Join(takeProfile(ctx, t.ops, o.duration, path), <-done)
}

func show(w io.Writer, c benchCase, proxy, trivet figures) {
	line := func(name string, f figures) {
		fmt.Fprintf(w, "%s\t%s\t%.0f\t%s\t%s\t%s\t%s\t%d\t\n", c, name, f.rate, micros(f.cpu), micros(f.p50), micros(f.p99), micros(f.firstByte), f.failures)
	}
	line("bare proxy", proxy)
	line("trivet", trivet)
	ratio := func(a, b time.Duration) string { return fmt.Sprintf("%.2f×", float64(a)/float64(b)) }
	fmt.Fprintf(w, "%s\tratio\t%.2f×\t%s\t%s\t%s\t%s\t\t\n", c, trivet.rate/proxy.rate, ratio(trivet.cpu, proxy.cpu), ratio(trivet.p50, proxy.p50), ratio(trivet.p99, proxy.p99), ratio(trivet.firstByte, proxy.firstByte))
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

func showMemory(w io.Writer, proxy, trivet target) error {
	low, err := peakOf(proxy.pid)
	if err != nil {
		return err
	}
	high, err := peakOf(trivet.pid)
	if err != nil {
		return err
	}
	const mib = 1 << 20
	_, err = fmt.Fprintf(w, "peak memory: bare proxy %d MiB, trivet %d MiB (%.1f×)\n", low/mib, high/mib, float64(high)/float64(low))
	return err
}

// start brings up the upstream, the proxy and Trivet, each in a process of its own, so that its CPU is its own.
func start(ctx context.Context, o options, stderr io.Writer) (proxy, trivet target, stop func(), err error) {
	dir, err := os.MkdirTemp("", "trivet-bench-")
	if err != nil {
		return proxy, trivet, func() {}, err
	}
	running := &programs{env: os.Environ(), log: stderr}
	stop = func() {
		running.stop()
		_ = os.RemoveAll(dir)
	}
	self, err := os.Executable()
	if err != nil {
		return proxy, trivet, stop, err
	}
	ports, err := freePorts(ctx, 6)
	if err != nil {
		return proxy, trivet, stop, err
	}
	if _, err = running.launch(nil, self, "upstream", ports[0], strconv.Itoa(o.deltas)); err != nil {
		return proxy, trivet, stop, err
	}
	proxy = target{name: "bare proxy", url: "http://" + ports[1], token: "none"}
	if proxy.pid, err = running.launch(nil, self, "proxy", ports[1], "http://"+ports[0]); err != nil {
		return proxy, trivet, stop, err
	}
	trivet = target{name: "trivet", url: "http://" + ports[2], ops: "http://" + ports[4]}
	env := []string{
		"TRIVET_HTTP_ADDR=" + ports[2], "TRIVET_GRPC_ADDR=" + ports[3], "TRIVET_OPS_ADDR=" + ports[4], "TRIVET_SANDBOX_ADDR=" + ports[5],
		"TRIVET_DATA_DIR=" + dir, "DEFAULT_PLAN=unlimited", "OPENAI_API_KEY=sk-bench", "OPENAI_BASE_URL=http://" + ports[0] + "/v1", "LOG_LEVEL=warn",
		"TRIVET_PPROF=" + strconv.FormatBool(o.profiles != ""),
	}
	if trivet.pid, err = running.launch(env, o.binary, "dev"); err != nil {
		return proxy, trivet, stop, err
	}
	if err = ready(ctx, "http://"+ports[4]+"/readyz"); err != nil {
		return proxy, trivet, stop, err
	}
	trivet.token, err = token(ctx, "http://"+ports[5]+"/control/clerk/tokens")
	return proxy, trivet, stop, err
}

// token asks the sandbox for a session that outlives the run.
func token(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(`{"user":"user_bench","ttl":"2h"}`)))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Token == "" {
		return "", fmt.Errorf("the sandbox gave no token (%d): %w", response.StatusCode, err)
	}
	return answer.Token, nil
}
