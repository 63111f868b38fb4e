package fault

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

var errFull = errors.New("the limit of 1000 faults is reached; remove some first")

// maxBody is how much of a request body is read before a fault strikes, in bytes.
const maxBody = 64 << 20

// Answer writes the provider's own error for a status: headers and body as the real one would send them.
// A zero retryAfter sends no Retry-After header.
type Answer func(w http.ResponseWriter, status int, retryAfter time.Duration)

// Handler puts the set in front of next. A nil Set lets everything pass.
func (s *Set) Handler(next http.Handler, answer Answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s == nil || !s.armed.Load() {
			next.ServeHTTP(w, r)
			return
		}
		p := s.take(r)
		if p.delay == 0 && p.act == nil {
			next.ServeHTTP(w, r)
			return
		}
		strike(w, r, p, next, answer)
	})
}

func strike(w http.ResponseWriter, r *http.Request, p plan, next http.Handler, answer Answer) {
	if err := buffer(r); err != nil {
		panic(http.ErrAbortHandler)
	}
	if !Sleep(r.Context(), p.delay) {
		panic(http.ErrAbortHandler)
	}
	if p.act == nil {
		next.ServeHTTP(w, r)
		return
	}
	act(w, r, *p.act, next, answer)
}

func act(w http.ResponseWriter, r *http.Request, f Fault, next http.Handler, answer Answer) {
	switch f.Kind {
	case Status:
		writeStatus(w, f, answer)
	case RateLimit:
		f.Status = http.StatusTooManyRequests
		if f.RetryAfter == 0 {
			f.RetryAfter = time.Second
		}
		writeStatus(w, f, answer)
	case Garbage:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, cmp.Or(f.Body, "<html>upstream connect error"))
	case Hang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case CommitTimeout:
		next.ServeHTTP(newDiscard(), r.WithContext(context.WithoutCancel(r.Context())))
		Sleep(r.Context(), f.Delay)
		panic(http.ErrAbortHandler)
	case Close:
		panic(http.ErrAbortHandler)
	case Latency, Cut, EOF, StreamError, Stall, Pace, ResponseFails, ResponseHangs, ResponseLost:
		next.ServeHTTP(w, r)
	}
}

func writeStatus(w http.ResponseWriter, f Fault, answer Answer) {
	if f.Body == "" {
		answer(w, f.Status, f.RetryAfter)
		return
	}
	SetRetryAfter(w.Header(), f.RetryAfter)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.Status)
	_, _ = io.WriteString(w, f.Body)
}

// SetRetryAfter sets Retry-After in whole seconds, rounded up; zero sets nothing.
func SetRetryAfter(h http.Header, d time.Duration) {
	if d > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10))
	}
}

// Sleep waits d and reports true, or false when ctx ends first.
func Sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// buffer reads the whole body: net/http notices that a client has left only once its request is read.
func buffer(r *http.Request) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	if len(body) > maxBody {
		return errors.New("request body too large")
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// discard drops an answer that no client will receive.
type discard struct{ header http.Header }

func newDiscard() *discard { return &discard{header: http.Header{}} }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Flush()                      {}
