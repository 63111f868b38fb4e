package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"
)

const (
	// idle is how long the run loop sleeps when nothing is due; a signal wakes it.
	idle = time.Hour
	// maxAnswer is how much of an endpoint's answer is read, in bytes, so that its connection can be used again.
	maxAnswer = 64 << 10
)

// run starts what is due until the sender is closed.
func (s *Sender) run() {
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		timer.Reset(s.dispatch())
		select {
		case <-s.ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
	}
}

// dispatch starts the deliveries that are due and returns the time until the next one is.
func (s *Sender) dispatch() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	wait := idle
	if len(s.window.held) > 0 {
		if wait = s.window.until.Sub(now); wait <= 0 {
			s.release()
			wait = idle
		}
	}
	for s.running < s.settings.Concurrency && len(s.waiting) > 0 {
		first := s.waiting[0]
		if first.due.After(now) {
			return min(wait, first.due.Sub(now))
		}
		if s.settings.Paused && !first.called() {
			break
		}
		s.start(s.waiting.take())
	}
	return wait
}

func (s *Sender) start(d *delivery) {
	at := s.find(d.Endpoint)
	if at < 0 {
		s.finish(d, Dropped, "the endpoint was removed")
		return
	}
	endpoint := s.endpoints[at]
	d.State, d.NextAt = Sending, time.Time{}
	d.Attempts++
	s.running++
	s.tasks.Go(func() {
		status, err := s.post(endpoint, d.EventID, d.body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
		s.conclude(d, status, err)
		s.signal()
	})
}

// conclude records the outcome of an attempt and schedules the next one.
func (s *Sender) conclude(d *delivery, status int, err error) {
	d.Status, d.Error = status, ""
	if err == nil {
		s.finish(d, Delivered, "")
		return
	}
	d.Error = err.Error()
	s.cfg.Logger.Debug("webhook attempt failed", "event", d.EventID, "type", d.Type, "attempt", d.Attempts, "error", d.Error)
	switch {
	case d.Attempts >= len(s.cfg.Schedule):
		s.finish(d, Failed, "")
	case s.find(d.Endpoint) < 0:
		s.finish(d, Dropped, "the endpoint was removed")
	default:
		d.State = Pending
		d.due = time.Now().Add(time.Duration(float64(s.cfg.Schedule[d.Attempts]) * s.settings.RetryScale))
		d.NextAt = d.due
		s.waiting.add(d)
		s.settle(d)
	}
}

// post sends one attempt and returns the answer's status; the error is nil for 2xx only.
func (s *Sender) post(e Endpoint, id string, body []byte) (int, error) {
	ctx, cancel := context.WithTimeout(s.ctx, Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	signed, err := s.cfg.Sign(e.Secrets, id, s.cfg.Now(), body)
	if err != nil {
		return 0, err
	}
	maps.Copy(req.Header, signed)
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", s.cfg.UserAgent)
	resp, err := s.client.Do(req)
	if err != nil {
		if ctx.Err() != nil && s.ctx.Err() == nil {
			return 0, fmt.Errorf("no answer within %s", Timeout)
		}
		var bare *url.Error // whose text repeats the address
		if errors.As(err, &bare) {
			err = bare.Err
		}
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return resp.StatusCode, fmt.Errorf("the endpoint answered %d", resp.StatusCode)
	}
	return resp.StatusCode, nil
}
