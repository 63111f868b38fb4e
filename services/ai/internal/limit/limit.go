// Package limit enforces the limits of plans and API keys.
package limit

import (
	"context"
	"strconv"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// Minute is the length of every window but the day's.
const Minute = time.Minute

// day is the length of a day in UTC.
const day = 24 * time.Hour

// Ask is what a call wants and the limits that apply to it; 0 means no limit.
type Ask struct {
	// Account is who pays.
	Account string
	// Keys are the caller's API key and the keys that made it, each with its own limit; empty for a session.
	Keys []Key
	// AccountRequests is requests per minute.
	AccountRequests int64
	// AccountRequestsPerDay is requests per day in UTC.
	AccountRequestsPerDay int64
	// TokensPerMinute counts input and output of the account.
	TokensPerMinute int64
	// Concurrent is how many calls of the account may run at once.
	Concurrent int64
	// Streams is how many streams of the account may run at once; other calls do not count in it.
	Streams int64
	// Stream is true for a call with a streamed answer. It counts in the limits of streams.
	Stream bool
	// Tokens is the most that this call may use. It is taken at once and given back by Done as far as it was not used,
	// so that concurrent calls cannot exceed the limit together. A call that wants more than the whole limit may run
	// alone in its minute.
	Tokens int64
}

// Key is an API key with its limits; 0 means no limit.
type Key struct {
	ID string
	// Requests is requests per minute, and RequestsPerDay is requests per day in UTC.
	Requests, RequestsPerDay int64
	// TokensPerMinute counts input and output.
	TokensPerMinute int64
	// Streams is how many streams of the key may run at once.
	Streams int64
}

// taken is what a call that wants tokens takes from the key's limit of tokens. A key without that limit counts what its calls
// used when they end, so that a limit that is set later knows them.
func (k Key) taken(tokens int64) int64 { return min(tokens, k.TokensPerMinute) }

// Limiter counts. Memory counts for one process, Redis for all that share a Redis, and Failover by the one or the other.
type Limiter interface {
	// Admit counts the call in, or counts nothing and returns an *errs.Error with the reason RATE_LIMIT_EXCEEDED and
	// the time after which it would be let in.
	Admit(ctx context.Context, ask Ask) (Ticket, error)
}

// Ticket is a call that was let in.
type Ticket interface {
	// Levels returns what was left of each limit that applies, when the call was let in.
	Levels() []Level
	// Done ends the call and corrects its tokens to what it used. It must be called once.
	Done(used int64)
}

// refusal is the limit that a call would exceed, and when it would no longer.
type refusal struct {
	kind kind
	key  int // its index in Ask.Keys, for limits of keys
	wait time.Duration
	left int64 // what remains of the limit, for tokens; of the others nothing does
}

// kind is a limit of an Ask.
type kind int

// The kinds; admit.lua has the same numbers.
const (
	keyRequests kind = iota + 1
	accountRequests
	accountDay
	concurrent
	accountTokens
	keyDay
	keyStreams
	keyTokens
	accountStreams
)

// err is the error for a call that was not let in.
func (r refusal) err(ask Ask) *errs.Error {
	switch r.kind {
	case accountRequests:
		return exceeded(r.wait, nameRequests, "Your plan allows %d requests per minute.", ask.AccountRequests)
	case accountDay:
		return exceeded(r.wait, nameDay, "Your plan allows %d requests per day (UTC).", ask.AccountRequestsPerDay)
	case concurrent:
		return exceeded(busyRetry, nameConcurrent, "Your plan allows %d calls at the same time.", ask.Concurrent)
	case accountStreams:
		return exceeded(busyRetry, nameStreams, "Your plan allows %d streams at the same time.", ask.Streams)
	case accountTokens:
		return exceeded(r.wait, nameUse, "Your plan allows %d tokens per minute.", ask.TokensPerMinute).
			With(metadataRemaining, strconv.FormatInt(r.left, 10))
	default:
		return r.keyErr(ask.Keys[r.key])
	}
}

// keyErr is the error for a limit of an API key.
func (r refusal) keyErr(key Key) *errs.Error {
	about := func(d time.Duration, name, what string, limit int64) *errs.Error {
		format := "This API key allows %d " + what + "."
		if r.key > 0 {
			format = "An API key that made this one allows %d " + what + ", together with the keys that it made."
		}
		return exceeded(d, name, format, limit)
	}
	switch r.kind {
	case keyDay:
		return about(r.wait, nameKeyDay, "requests per day (UTC)", key.RequestsPerDay)
	case keyStreams:
		return about(busyRetry, nameKeyStreams, "streams at the same time", key.Streams)
	case keyTokens:
		return about(r.wait, nameKeyUse, "tokens per minute", key.TokensPerMinute).With(metadataRemaining, strconv.FormatInt(r.left, 10))
	default:
		return about(r.wait, nameKeyRequests, "requests per minute", key.Requests)
	}
}

// busyRetry is when to try again while too many calls run at once: it is unknown when one ends.
const busyRetry = time.Second

// metadataRemaining is what remains of the limit.
const metadataRemaining = "remaining"

func exceeded(d time.Duration, name, format string, limit int64) *errs.Error {
	d = max(d, time.Millisecond)
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, format, limit).
		After(d).With("limit", name).With("allowed", strconv.FormatInt(limit, 10)).With(metadataRemaining, "0")
}

// taken is what a call takes from the limit of tokens: a call that wants more than the whole limit runs alone.
func (a Ask) taken() int64 {
	if a.TokensPerMinute > 0 {
		return min(a.Tokens, a.TokensPerMinute)
	}
	return a.Tokens
}

// window counts what happened in the last minute: exactly since the present window began, and for the part of the
// minute before that by the share of the window before. It is two numbers instead of a list of times.
type window struct {
	start     time.Time
	now, past int64
}

func (w *window) roll(at time.Time) {
	passed := at.Sub(w.start)
	switch {
	case passed < Minute:
	case passed < 2*Minute:
		w.start, w.now, w.past = w.start.Add(Minute), 0, w.now
	default:
		w.start, w.now, w.past = at, 0, 0
	}
	if w.now == 0 && w.past == 0 { // it begins with the first call that counts
		w.start = at
	}
}

// wait returns how long to wait until n more fit under limit; 0 when they fit now. The window must have been rolled.
func (w *window) wait(at time.Time, n, limit int64) time.Duration {
	if limit <= 0 {
		return 0
	}
	n = min(n, limit)
	elapsed := at.Sub(w.start)
	if d := fade(w.past, limit-n-w.now); d >= 0 {
		return max(0, d-elapsed)
	}
	// Not in this window, whatever fades: in the next one, where the present count is the past.
	return Minute - elapsed + max(0, fade(w.now, limit-n))
}

// fade returns how far into a window the share of the past count has shrunk to room; below 0 when room is negative.
func fade(past, room int64) time.Duration {
	switch {
	case room < 0:
		return -1
	case past <= room:
		return 0
	}
	// past · (Minute − d) / Minute ≤ room, rounded up to the next millisecond
	const ms = int64(Minute / time.Millisecond)
	return time.Duration((ms*(past-room)+past-1)/past) * time.Millisecond
}

// correct changes the count that was taken in the window that began at start.
func (w *window) correct(start time.Time, by int64) {
	switch {
	case by > 0 || w.start.Equal(start):
		w.now = max(0, w.now+by)
	case w.start.Equal(start.Add(Minute)):
		w.past = max(0, w.past+by)
	}
}
