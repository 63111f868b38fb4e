package clientip

import (
	"net/netip"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// remembered limits how many addresses have a bucket. The least recently seen address is forgotten first.
const remembered = 65536

// Limiter limits the requests per minute of each address, with bursts of a quarter of the limit. It is safe for concurrent use.
type Limiter struct {
	buckets *lru.Cache[netip.Prefix, *rate.Limiter]
	limit   rate.Limit
	burst   int
	now     func() time.Time
}

// NewLimiter makes a limiter; perMinute 0 allows everything.
func NewLimiter(perMinute int, now func() time.Time) (*Limiter, error) {
	if perMinute <= 0 {
		return nil, nil //nolint:nilnil // a nil limiter allows everything
	}
	buckets, err := lru.New[netip.Prefix, *rate.Limiter](remembered)
	if err != nil {
		return nil, err
	}
	return &Limiter{buckets: buckets, limit: rate.Limit(float64(perMinute) / 60), burst: max(1, perMinute/4), now: now}, nil
}

// Allow counts one request of addr. When the limit is reached it returns how long to wait. Loopback and invalid addresses
// are never limited.
func (l *Limiter) Allow(addr netip.Addr) (wait time.Duration, ok bool) {
	if l == nil || !addr.IsValid() || addr.IsLoopback() {
		return 0, true
	}
	now := l.now()
	reservation := l.bucket(addr).ReserveN(now, 1)
	if wait = reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
		return wait, false
	}
	return 0, true
}

// Left is Allow without counting the request.
func (l *Limiter) Left(addr netip.Addr) (wait time.Duration, ok bool) {
	if l == nil || !addr.IsValid() || addr.IsLoopback() {
		return 0, true
	}
	now := l.now()
	reservation := l.bucket(addr).ReserveN(now, 1)
	defer reservation.CancelAt(now)
	wait = reservation.DelayFrom(now)
	return wait, wait == 0
}

func (l *Limiter) bucket(addr netip.Addr) *rate.Limiter {
	key := Network(addr)
	if b, ok := l.buckets.Get(key); ok {
		return b
	}
	b := rate.NewLimiter(l.limit, l.burst)
	if earlier, ok, _ := l.buckets.PeekOrAdd(key, b); ok {
		return earlier
	}
	return b
}

// Network is the unit that shares a limit: one IPv4 address, or the /64 of an IPv6 subscriber. It is invalid for an invalid address.
func Network(addr netip.Addr) netip.Prefix {
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits)
	return prefix
}
