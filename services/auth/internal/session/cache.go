package session

import (
	"context"
	"crypto/sha256"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// MaxCacheLife is the longest that a verdict is reused.
const MaxCacheLife = time.Minute

// Cache remembers good tokens by the SHA-256 of the whole token, never by what the token says of itself, for a minute or
// until they expire, whichever is sooner. It holds no token.
type Cache struct {
	inner   Verifier
	entries *lru.Cache[[sha256.Size]byte, entry]
	now     func() time.Time
	epoch   atomic.Uint64 // grows with each Clear; a verdict from before one is not kept
}

type entry struct {
	session *Session
	expire  time.Time
}

var _ Verifier = (*Cache)(nil)

// NewCache puts a cache of at most size tokens before inner.
func NewCache(inner Verifier, size int, now func() time.Time) (*Cache, error) {
	entries, err := lru.New[[sha256.Size]byte, entry](size)
	if err != nil {
		return nil, err
	}
	return &Cache{inner: inner, entries: entries, now: now}, nil
}

// Verify answers from memory when it can.
func (c *Cache) Verify(ctx context.Context, token string) (*Session, error) {
	if len(token) > MaxTokenBytes {
		return nil, refuse(VerdictTooLarge, "")
	}
	sum := sha256.Sum256([]byte(token))
	if e, ok := c.entries.Get(sum); ok && c.now().Before(e.expire) {
		return e.session, nil
	}
	epoch := c.epoch.Load()
	s, err := c.inner.Verify(ctx, token)
	if err != nil {
		return nil, err
	}
	c.put(epoch, sum, s)
	return s, nil
}

func (c *Cache) put(epoch uint64, sum [sha256.Size]byte, s *Session) {
	now := c.now()
	expire := now.Add(MaxCacheLife)
	if s.ExpireTime.Before(expire) {
		expire = s.ExpireTime
	}
	if !now.Before(expire) {
		return // within the leeway: checked each time
	}
	c.entries.Add(sum, entry{session: s, expire: expire})
	if c.epoch.Load() != epoch {
		c.entries.Remove(sum)
	}
}

// Clear empties the cache. Verdicts that are being computed are not stored either.
func (c *Cache) Clear() {
	c.epoch.Add(1)
	c.entries.Purge()
}

// Len returns the number of tokens in the cache.
func (c *Cache) Len() int { return c.entries.Len() }
