package provider

import (
	"context"
	"log/slog"
	"regexp"
	"sync"
	"time"
)

// Attempt is the last call to a provider that was made for a request, so that the request's own log line can tell of it. The
// zero value is ready. It is safe for concurrent use, and a nil *Attempt drops what it is told.
type Attempt struct {
	mu     sync.Mutex
	taken  bool
	made   bool
	call   record
	tokens int64
	code   string
}

// record is what the log tells of a call.
type record struct {
	integration, target, method, requestID string
	status                                 int
	outcome                                outcome
	latency, firstByte                     time.Duration
	err                                    string
	try                                    int // of a repeated call; 0 for the first try
}

type attemptKey struct{}

// WithAttempt returns a context whose calls are noted in a. A call that went well then has no log line of its own.
func WithAttempt(ctx context.Context, a *Attempt) context.Context {
	return context.WithValue(ctx, attemptKey{}, a)
}

// AttemptOf returns the context's attempt; nil when it has none.
func AttemptOf(ctx context.Context) *Attempt {
	a, _ := ctx.Value(attemptKey{}).(*Attempt)
	return a
}

// Used notes how many tokens the call used.
func (a *Attempt) Used(tokens int64) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens = tokens
}

// errorCode is what a provider's code of an error looks like.
var errorCode = regexp.MustCompile(`^[a-zA-Z0-9_.:-]{1,64}$`)

// LogCode is a provider's own code of an error for the log; "other" for any other text, which may repeat the request.
func LogCode(code string) string {
	if code == "" || errorCode.MatchString(code) {
		return code
	}
	return "other"
}

// Refused notes the provider's own code of an error, such as "rate_limit_exceeded".
func (a *Attempt) Refused(code string) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.code = LogCode(code)
}

// note takes a call that has ended. It reports false when nobody will tell of it any more.
func (a *Attempt) note(r record) bool {
	if a == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.taken {
		return false
	}
	a.made, a.call = true, r
	return true
}

// Take returns the attempt as the attribute "provider"; false when no call has ended. A call that ends later, because its
// caller left, has a log line of its own.
func (a *Attempt) Take() (slog.Attr, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taken = true
	if !a.made {
		return slog.Attr{}, false
	}
	attrs := a.call.attrs(a.code)
	if a.tokens > 0 {
		attrs = append(attrs, slog.Int64("tokens_used", a.tokens))
	}
	return slog.Attr{Key: "provider", Value: slog.GroupValue(attrs...)}, true
}
