package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// answerTimeout bounds the wait for an answer; providers wait about as long.
	answerTimeout = 15 * time.Second
	// maxConnections bounds the connections; what finds none free waits for one, and the wait counts.
	maxConnections = 1024
)

// answer is the result of one webhook.
type answer struct {
	clerk  bool
	late   time.Duration // from its time until it was sent: the generator's own part
	took   time.Duration // from its time to the end of the answer
	status int           // 0 when there was none
	err    error
}

// offering is all that was offered.
type offering struct {
	answers      []answer
	begun, ended time.Time
}

// offer sends webhooks at a fixed rate, each at its time, whether or not those before it are answered; so the times of
// answers hold also what a slow answer makes others wait.
func offer(ctx context.Context, edge string, f *feed, rate int, d time.Duration) (offering, error) {
	client := &http.Client{Timeout: answerTimeout, Transport: &http.Transport{
		MaxConnsPerHost: maxConnections, MaxIdleConnsPerHost: maxConnections, DisableCompression: true,
	}}
	defer client.CloseIdleConnections()
	all := offering{answers: make([]answer, int(float64(rate)*d.Seconds())), begun: time.Now()}
	var sending sync.WaitGroup
	for i := range all.answers {
		at := all.begun.Add(time.Duration(i) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(at)) // a second at most
		if ctx.Err() != nil {
			break
		}
		draft := f.next()
		sending.Go(func() { all.answers[i] = send(ctx, client, edge, draft, at) })
	}
	sending.Wait()
	all.ended = time.Now()
	return all, ctx.Err()
}

func send(ctx context.Context, client *http.Client, edge string, d draft, at time.Time) (a answer) {
	a = answer{clerk: d.clerk, late: time.Since(at)}
	defer func() { a.took = time.Since(at) }()
	header, body, err := d.write(time.Now())
	if err != nil {
		a.err = err
		return a
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, edge+"/api/webhooks/"+d.source(), strings.NewReader(body)) //nolint:gosec // our own program
	if err != nil {
		a.err = err
		return a
	}
	request.Header = header
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request) //nolint:gosec // as above
	if err != nil {
		a.err = err
		return a
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		a.err = err
	case response.StatusCode == http.StatusOK && string(text) != `{"received": true}`:
		a.err = fmt.Errorf("a 200 that says %.300q", text)
	default:
		a.status = response.StatusCode
		if a.status != http.StatusOK {
			a.err = fmt.Errorf("%s answered %d: %.300s", request.URL.Path, a.status, text)
		}
	}
	return a
}
