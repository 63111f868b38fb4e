package provider

import (
	"context"
	"log/slog"
	"regexp"
	"sync"
	"time"
)

// message is the text of the line of a call.
const message = "provider call"

// Attempt is the last call to a provider that was made for a request, so that the request's own log line can tell of it. Begin and End
// make it tell of a part of the work for a request. The zero value is ready. It is safe for concurrent use, and a nil *Attempt drops what
// it is told.
type Attempt struct {
	around *Attempt // of the request; nil for none

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

// note takes a call that has ended. It reports false when nobody will tell of it any more. Earlier has the attributes of the call before
// it, if that went well and so has no line yet; else it is nil.
func (a *Attempt) note(r record) (earlier []slog.Attr, noted bool) {
	if a == nil {
		return nil, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.taken {
		return nil, false
	}
	if a.made {
		if a.call.outcome.fine() {
			earlier = a.attrs()
		}
		a.tokens, a.code = 0, ""
	}
	a.made, a.call = true, r
	return earlier, true
}

// attrs are the attributes of the call. The caller holds mu.
func (a *Attempt) attrs() []slog.Attr {
	attrs := a.call.attrs(a.code)
	if a.tokens > 0 {
		attrs = append(attrs, slog.Int64("tokens_used", a.tokens))
	}
	return attrs
}

// Begin returns a context whose calls are noted in a, and not in the attempt that ctx may have. Call End when it is known how many tokens
// they used.
func (a *Attempt) Begin(ctx context.Context) context.Context {
	a.around = AttemptOf(ctx)
	return WithAttempt(ctx, a)
}

// End reports the last call to the surrounding attempt. Without one, or when its line is already written, End logs the call. A failed call was logged
// when it failed.
func (a *Attempt) End(ctx context.Context, log *slog.Logger) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taken = true
	if !a.made {
		return
	}
	earlier, noted := a.around.note(a.call)
	tell(ctx, log, earlier)
	if noted {
		a.around.Used(a.tokens)
		a.around.Refused(a.code)
	} else if a.call.outcome.fine() {
		tell(ctx, log, a.attrs())
	}
}

// tell writes the line of a call that went well; none without attributes.
func tell(ctx context.Context, log *slog.Logger, attrs []slog.Attr) {
	if attrs != nil && log.Enabled(ctx, slog.LevelInfo) {
		log.LogAttrs(ctx, slog.LevelInfo, message, attrs...)
	}
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
	return slog.Attr{Key: "provider", Value: slog.GroupValue(a.attrs()...)}, true
}
