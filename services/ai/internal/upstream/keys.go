package upstream

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/trivet-dev/trivet/platform/settings"
)

// rejectedTime is how long a key that the provider rejected is used only as the last resort.
const rejectedTime = time.Minute

// secret is one API key, ready for the header.
type secret struct {
	header   []string
	rejected atomic.Int64 // until then (nanoseconds of Unix time) the provider is taken to reject it
}

// keyring holds the keys of a target, in groups: a group is one setting, whose first key is used and whose older ones
// take its place when the provider rejects it. Calls take turns among the groups. It is safe for concurrent use.
type keyring struct {
	groups [][]*secret
	turn   atomic.Uint32
}

func newKeyring(prefix string, groups []settings.Secrets) *keyring {
	k := &keyring{}
	for _, group := range groups {
		var secrets []*secret
		for _, one := range group.Reveal() {
			secrets = append(secrets, &secret{header: []string{prefix + one}})
		}
		if len(secrets) > 0 {
			k.groups = append(k.groups, secrets)
		}
	}
	if len(k.groups) == 0 { // a model server on this machine may need no key
		k.groups = [][]*secret{{{}}}
	}
	return k
}

// limits are the times until which a provider limits the rate of a model, by group of keys.
type limits []atomic.Int64

// pick is the key for a call.
type pick struct {
	group  int
	secret *secret
}

// take returns the key of the next group that may be used now; else until when it may not. A key that the provider
// rejects is not taken unless anyway is set.
func (k *keyring) take(limited limits, now time.Time, anyway bool) (p pick, until time.Time, ok bool) {
	at, soonest := now.UnixNano(), int64(math.MaxInt64)
	start := 0
	if len(k.groups) > 1 {
		start = int(k.turn.Add(1))
	}
	for i := range k.groups {
		group := (start + i) % len(k.groups)
		if end := limited[group].Load(); end > at {
			soonest = min(soonest, end)
			continue
		}
		for _, s := range k.groups[group] {
			if anyway || s.rejected.Load() <= at {
				return pick{group, s}, time.Time{}, true
			}
		}
	}
	if soonest == math.MaxInt64 { // all are rejected
		return pick{}, time.Time{}, false
	}
	return pick{}, time.Unix(0, soonest), false
}

// reject notes that the provider rejects a key. It reports whether there is another one that it does not.
func (k *keyring) reject(p pick, now time.Time) (another bool) {
	p.secret.rejected.Store(now.Add(rejectedTime).UnixNano())
	for _, group := range k.groups {
		for _, s := range group {
			if s.rejected.Load() <= now.UnixNano() {
				return true
			}
		}
	}
	return false
}

// size is the number of keys.
func (k *keyring) size() (n int) {
	for _, group := range k.groups {
		n += len(group)
	}
	return n
}
