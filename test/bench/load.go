package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// figures are the results of one case.
type figures struct {
	requests    int
	failures    int
	rate        float64         // requests a second
	cpu         time.Duration   // per request
	processes   []time.Duration // the same, by process of the program
	transfers   []float64       // system calls that read or write, per request, by process
	server      time.Duration   // PostgreSQL's CPU per request
	allocations float64         // per request
	commits     float64         // durable ones, per request
	p50, p99    time.Duration
	firstByte   time.Duration // median until the first byte of the body
	err         error
}

type sample struct {
	total, first time.Duration
	err          error
}

// drive sends one request after another from each caller for d, or the first calls of all fresh accounts.
func drive(ctx context.Context, t *target, c benchCase, d time.Duration) (figures, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: c.callers, DisableCompression: true}}
	defer client.CloseIdleConnections()
	load := burst{client: client, target: t, c: c, body: chatBody(c.stream)}
	if c.accounts > 0 || len(t.fresh) == 0 {
		if _, err := load.run(ctx, d/4); err != nil { // warm up
			return figures{}, err
		}
	}
	before, err := t.spent(ctx)
	if err != nil {
		return figures{}, err
	}
	stop := t.watchMemory()
	start := time.Now()
	samples, err := load.run(ctx, d)
	took := time.Since(start)
	stop()
	if err != nil {
		return figures{}, err
	}
	after, err := t.spent(ctx)
	if err != nil {
		return figures{}, err
	}
	f := summarize(samples, took, after.cpu-before.cpu)
	if f.requests > 0 {
		for i := range after.processes {
			f.processes = append(f.processes, (after.processes[i]-before.processes[i])/time.Duration(f.requests))
			f.transfers = append(f.transfers, float64(after.transfers[i]-before.transfers[i])/float64(f.requests))
		}
		f.server = (after.server - before.server) / time.Duration(f.requests)
		f.allocations = (after.allocations - before.allocations) / float64(f.requests)
		f.commits = (after.commits - before.commits) / float64(f.requests)
	}
	return f, nil
}

// burst is the work of all callers of a case.
type burst struct {
	client *http.Client
	target *target
	c      benchCase
	body   []byte
}

func (b *burst) run(ctx context.Context, d time.Duration) ([]sample, error) {
	deadline := time.Now().Add(d)
	var mu sync.Mutex
	var all []sample
	var next atomic.Int64
	var wait sync.WaitGroup
	for i := range b.c.callers {
		wait.Go(func() {
			var own []sample
			buffer := make([]byte, 64<<10)
			for ctx.Err() == nil {
				token, more := b.token(i, &next, deadline)
				if !more {
					break
				}
				own = append(own, once(ctx, b.client, b.target, token, b.body, buffer))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, own...)
		})
	}
	wait.Wait()
	return all, ctx.Err()
}

// token returns who makes a caller's next call; false if none exists.
func (b *burst) token(caller int, next *atomic.Int64, deadline time.Time) (string, bool) {
	if b.c.accounts == 0 && len(b.target.fresh) > 0 {
		n := next.Add(1) - 1
		if n >= int64(len(b.target.fresh)) {
			return "", false
		}
		return b.target.fresh[n], true
	}
	accounts := max(1, min(b.c.accounts, len(b.target.tokens)))
	return b.target.tokens[caller%accounts], time.Now().Before(deadline)
}

func once(ctx context.Context, client *http.Client, t *target, token string, body, buffer []byte) (s sample) {
	start := time.Now()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return sample{err: err}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(request)
	if err != nil {
		return sample{err: err}
	}
	defer func() { _ = response.Body.Close() }()
	size := 0
	for {
		n, err := response.Body.Read(buffer)
		if n > 0 && size == 0 {
			s.first = time.Since(start)
		}
		size += n
		if err == io.EOF {
			break
		}
		if err != nil {
			return sample{err: err}
		}
	}
	if response.StatusCode != http.StatusOK {
		return sample{err: fmt.Errorf("%s answered %d: %.300s", t.name, response.StatusCode, buffer[:min(size, len(buffer))])}
	}
	s.total = time.Since(start)
	return s
}

func summarize(samples []sample, took, cpu time.Duration) figures {
	var f figures
	var totals, firsts []time.Duration
	for _, s := range samples {
		if s.err != nil {
			f.failures++
			f.err = s.err
			continue
		}
		totals = append(totals, s.total)
		firsts = append(firsts, s.first)
	}
	f.requests = len(totals)
	if f.requests == 0 {
		return f
	}
	slices.Sort(totals)
	slices.Sort(firsts)
	f.rate = float64(f.requests) / took.Seconds()
	f.cpu = cpu / time.Duration(f.requests)
	f.p50, f.p99 = totals[len(totals)/2], totals[len(totals)*99/100]
	f.firstByte = firsts[len(firsts)/2]
	return f
}
