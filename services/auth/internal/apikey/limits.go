package apikey

import (
	"fmt"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
)

// Limits are the rate limits of a key; 0 means none of its own.
type Limits struct {
	// RequestsPerMinute and RequestsPerDay count requests, the second in days of UTC.
	RequestsPerMinute, RequestsPerDay int32
	// TokensPerMinute counts input and output together.
	TokensPerMinute int32
	// ConcurrentStreams is how many streams may run at the same time.
	ConcurrentStreams int32
}

// rate is one of the Limits.
type rate struct {
	field string // in a request
	most  int32
	of    func(*Limits) *int32
}

func rates() []rate {
	return []rate{
		{"requestsPerMinute", 1_000_000, func(l *Limits) *int32 { return &l.RequestsPerMinute }},
		{"requestsPerDay", 1_000_000_000, func(l *Limits) *int32 { return &l.RequestsPerDay }},
		{"tokensPerMinute", 1_000_000_000, func(l *Limits) *int32 { return &l.TokensPerMinute }},
		{"concurrentStreams", 100_000, func(l *Limits) *int32 { return &l.ConcurrentStreams }},
	}
}

func (l Limits) validate(bad *faults) {
	for _, r := range rates() {
		if n := *r.of(&l); n < 0 || n > r.most {
			bad.add(r.field, fmt.Sprintf("must be 0 to %d", r.most))
		}
	}
}

// tightest returns the limits that hold for a call that counts against all of the keys.
func tightest(keys []Key) (least Limits) {
	for _, key := range keys {
		for _, r := range rates() {
			into, n := r.of(&least), *r.of(&key.Limits)
			if n > 0 && (*into == 0 || n < *into) {
				*into = n
			}
		}
	}
	return least
}

// Within refuses limits above those of the keys that a key descends from, with PERMISSION_DENIED. A key without a limit of its
// own is not above them, because its calls count against theirs.
func (l Limits) Within(above []Key) error {
	bad := l.beyond(above)
	return bad.as(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, "An API key cannot have higher limits than the key that made it.")
}

// changedWithin is Within for those limits that a change makes different. Earlier versions compared a new key with its direct parent only, so a key may
// have a limit above an older ancestor's, and can still be renamed.
func (l Limits) changedWithin(current Limits, above []Key) error {
	for _, r := range rates() {
		if *r.of(&l) == *r.of(&current) {
			*r.of(&l) = 0
		}
	}
	return l.Within(above)
}

func (l Limits) beyond(above []Key) (bad faults) {
	bound := tightest(above)
	for _, r := range rates() {
		if most := *r.of(&bound); most > 0 && *r.of(&l) > most {
			bad.add(r.field, fmt.Sprintf("must not be above %d, the limit of the keys that it descends from", most))
		}
	}
	return bad
}
