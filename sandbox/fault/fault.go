// Package fault makes a fake provider fail on demand: late, wrong, truncated or silent.
//
// A [Set] belongs to one provider. Requests are matched against it in the order in which the faults were
// added; a fault with a count disappears when it has been used that often.
package fault

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Kind says what goes wrong.
type Kind string

// The kinds of faults. Latency and Pace add to any other; of the rest, the first that matches is used.
const (
	// Latency waits Delay before the answer.
	Latency Kind = "latency"
	// Status answers Status with the provider's error body, or with Body.
	Status Kind = "status"
	// RateLimit answers 429 with the provider's own headers and body.
	RateLimit Kind = "rate_limit"
	// Garbage answers 200 with a body that is not JSON.
	Garbage Kind = "garbage"
	// Hang takes the request and stays silent until the client leaves.
	Hang Kind = "hang"
	// Close cuts the connection before any answer; the request had no effect.
	Close Kind = "close"
	// CommitTimeout lets the request take effect, waits Delay, and cuts the connection without an answer.
	CommitTimeout Kind = "commit_timeout"
	// Cut breaks the connection of a stream after AfterChunks deltas.
	Cut Kind = "cut"
	// EOF ends a stream cleanly after AfterChunks deltas, without its closing event.
	EOF Kind = "eof"
	// StreamError sends an error event after AfterChunks deltas and ends the stream.
	StreamError Kind = "stream_error"
	// Stall stays silent after AfterChunks deltas: for Delay, or until the client leaves when Delay is zero.
	Stall Kind = "stall"
	// Pace waits Delay before each delta of a stream.
	Pace Kind = "pace"
	// ResponseFails lets a response of OpenAI that runs in the background fail after AfterChunks tokens of its output; without them it reports no usage.
	ResponseFails Kind = "response_fails"
	// ResponseHangs lets a response that runs in the background not end before it is cancelled.
	ResponseHangs Kind = "response_hangs"
	// ResponseLost lets OpenAI forget a response that runs in the background when it ends.
	ResponseLost Kind = "response_lost"
)

// Fault is one thing that goes wrong, for some requests.
type Fault struct {
	// ID is given by [Set.Add].
	ID string
	// Kind says what goes wrong.
	Kind Kind
	// Method limits the fault to one HTTP method; empty means any.
	Method string
	// Path limits the fault to one path inside the provider, such as "/v1/chat/completions"; a trailing
	// "*" makes it a prefix; empty means any.
	Path string
	// Count is how many matching requests are hit; zero means all until the fault is removed. In the
	// result of [Set.List] it is what is left.
	Count int
	// Delay is the time waited by Latency, CommitTimeout, Stall and Pace; at most [MaxDelay].
	Delay time.Duration
	// Status is the HTTP status of a Status fault, 400 to 599.
	Status int
	// RetryAfter is sent with Status and RateLimit faults, in whole seconds; zero sends none with Status
	// and 1 second with RateLimit; at most [MaxDelay].
	RetryAfter time.Duration
	// Body replaces the provider's error body of Status and RateLimit, the text of Garbage, or the data of
	// StreamError's event.
	Body string
	// AfterChunks is how many deltas a stream fault lets pass, counted over all choices, or how many tokens ResponseFails does.
	AfterChunks int
}

// scope is what a fault acts on.
type scope int

const (
	request  scope = iota
	stream         // the inside of a stream
	response       // a response that runs in the background, from its creation on
)

func (k Kind) scope() scope {
	switch k {
	case Cut, EOF, StreamError, Stall, Pace:
		return stream
	case ResponseFails, ResponseHangs, ResponseLost:
		return response
	default:
		return request
	}
}

// Kinds lists every kind.
func Kinds() []Kind {
	return []Kind{
		Latency, Status, RateLimit, Garbage, Hang, Close, CommitTimeout,
		Cut, EOF, StreamError, Stall, Pace,
		ResponseFails, ResponseHangs, ResponseLost,
	}
}

// MaxDelay bounds Delay and RetryAfter.
const MaxDelay = time.Hour

// Validate returns an error that names the first invalid field.
func (f Fault) Validate() error {
	switch {
	case !slices.Contains(Kinds(), f.Kind):
		return fmt.Errorf("kind %q is unknown; use one of %v", f.Kind, Kinds())
	case f.Path != "" && !strings.HasPrefix(f.Path, "/"):
		return fmt.Errorf("path %q must start with /", f.Path)
	case f.Count < 0 || f.AfterChunks < 0 || f.Delay < 0 || f.RetryAfter < 0:
		return errors.New("count, after_chunks, delay_ms and retry_after must not be negative")
	case f.Delay > MaxDelay || f.RetryAfter > MaxDelay:
		return fmt.Errorf("delay_ms must be at most %d and retry_after %d", MaxDelay.Milliseconds(), int(MaxDelay.Seconds()))
	case f.Kind == Latency && f.Delay == 0:
		return errors.New("a latency fault needs delay_ms")
	case f.Kind == Status && (f.Status < 400 || f.Status > 599):
		return fmt.Errorf("a status fault needs a status of 400 to 599, got %d", f.Status)
	}
	return f.validateFields()
}

// validateFields rejects fields that the kind would ignore.
func (f Fault) validateFields() error {
	for _, field := range []struct {
		name  string
		set   bool
		kinds []Kind
	}{
		{"status", f.Status != 0, []Kind{Status}},
		{"retry_after", f.RetryAfter != 0, []Kind{Status, RateLimit}},
		{"body", f.Body != "", []Kind{Status, RateLimit, Garbage, StreamError}},
		{"delay_ms", f.Delay != 0, []Kind{Latency, CommitTimeout, Stall, Pace}},
		{"after_chunks", f.AfterChunks != 0, []Kind{Cut, EOF, StreamError, Stall, ResponseFails}},
	} {
		if field.set && !slices.Contains(field.kinds, f.Kind) {
			return fmt.Errorf("%s belongs to faults of kind %v, not %s", field.name, field.kinds, f.Kind)
		}
	}
	return nil
}

func (f Fault) matches(r *http.Request) bool {
	if f.Method != "" && !strings.EqualFold(f.Method, r.Method) {
		return false
	}
	if prefix, ok := strings.CutSuffix(f.Path, "*"); ok {
		return strings.HasPrefix(r.URL.Path, prefix)
	}
	return f.Path == "" || f.Path == r.URL.Path
}
