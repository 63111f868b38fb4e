package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// target is a program under measurement.
type target struct {
	name  string
	url   string
	token string
	pid   int
	ops   string // Trivet's ops address; empty for others
}

// figures are what one case showed.
type figures struct {
	requests  int
	failures  int
	rate      float64       // requests a second
	cpu       time.Duration // per request
	p50, p99  time.Duration
	firstByte time.Duration // median until the first byte of the body
	err       error
}

type sample struct {
	total, first time.Duration
	err          error
}

// drive sends one request after another from each of n callers for d.
func drive(ctx context.Context, t target, n int, stream bool, d time.Duration) (figures, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n, DisableCompression: true}}
	defer client.CloseIdleConnections()
	body := chatBody(stream)
	if _, err := burst(ctx, client, t, n, body, d/4); err != nil { // warm up
		return figures{}, err
	}
	before, err := cpuOf(t.pid)
	if err != nil {
		return figures{}, err
	}
	start := time.Now()
	samples, err := burst(ctx, client, t, n, body, d)
	if err != nil {
		return figures{}, err
	}
	took := time.Since(start)
	after, err := cpuOf(t.pid)
	if err != nil {
		return figures{}, err
	}
	return summarize(samples, took, after-before), nil
}

func burst(ctx context.Context, client *http.Client, t target, n int, body []byte, d time.Duration) ([]sample, error) {
	deadline := time.Now().Add(d)
	var mu sync.Mutex
	var all []sample
	var wait sync.WaitGroup
	for range n {
		wait.Go(func() {
			var own []sample
			buffer := make([]byte, 64<<10)
			for time.Now().Before(deadline) && ctx.Err() == nil {
				own = append(own, once(ctx, client, t, body, buffer))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, own...)
		})
	}
	wait.Wait()
	return all, ctx.Err()
}

func once(ctx context.Context, client *http.Client, t target, body, buffer []byte) (s sample) {
	start := time.Now()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return sample{err: err}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+t.token)
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
