package inbox

import (
	"errors"
	"time"
)

// maxRetryAfter bounds what a provider's Retry-After may ask for.
const maxRetryAfter = day

// Permanent marks an error that another attempt cannot fix: the event is dead at once. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// RetryAfter marks an error after which no attempt is of use before d has passed, such as a rate limit's. More than a day
// counts as a day. RetryAfter(nil, d) is nil.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &laterError{err, min(max(d, 0), maxRetryAfter)}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

type laterError struct {
	err   error
	after time.Duration
}

func (e *laterError) Error() string { return e.err.Error() }
func (e *laterError) Unwrap() error { return e.err }

func isPermanent(err error) bool {
	_, ok := errors.AsType[*permanentError](err)
	return ok
}

// pauseAfter returns how long to wait after a failed attempt (from 1). Also a provider's time is spread, as all that it
// turned away would come back at once.
func (o Options) pauseAfter(err error, attempt int) time.Duration {
	if later, ok := errors.AsType[*laterError](err); ok {
		return later.after + o.Backoff.pause(1, o.Rand())
	}
	return o.Backoff.pause(attempt, o.Rand())
}
