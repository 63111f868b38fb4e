// Package credential exchanges a caller's credential for passports and
// remembers them while they live, so that verifying is paid about once a
// minute and not per request.
package credential

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// DefaultSize is how many credentials are remembered when Options.Size is 0.
const DefaultSize = 16384

const (
	// renewBefore is how long before its end a passport is replaced, so that the clocks of services may differ by as much.
	renewBefore = 10 * time.Second
	// silence is how long an answer of auth is reused while auth's revocations are not heard.
	silence = 3 * time.Second
	// renewEvery is the least time between two answers of auth for a credential whose passports are refused.
	renewEvery = time.Second
	// authenticateTimeout bounds one call to auth, whoever waits for it.
	authenticateTimeout = 10 * time.Second
)

// Options tune an Exchanger.
type Options struct {
	// Size is how many credentials are remembered; 0 means DefaultSize.
	Size int
	// Now is the clock.
	Now func() time.Time
}

// entry is one answer of auth. It never changes.
type entry struct {
	identity   *authv1.Identity
	expireTime time.Time
	asked      time.Time
	byAudience map[string]string
}

// Passports are what a credential was exchanged for.
type Passports struct {
	// Identity is the identity that the credential proves.
	Identity *authv1.Identity
	// ExpireTime is when the passports end.
	ExpireTime time.Time

	exchanger  *Exchanger
	credential string
	current    atomic.Pointer[entry]
}

func (x *Exchanger) passports(e *entry, credential string) *Passports {
	p := &Passports{Identity: e.identity, ExpireTime: e.expireTime, exchanger: x, credential: credential}
	p.current.Store(e)
	return p
}

// For returns the passport for a service, or "" when the caller may not reach it.
func (p *Passports) For(audience string) string { return p.current.Load().byAudience[audience] }

// Renew exchanges the credential anew, because a service refused the passport that For returned for it. Afterwards For
// returns the new one. It returns false when the passport is so fresh that another would be refused too. Errors: those of
// AuthService.Authenticate.
func (p *Passports) Renew(ctx context.Context, audience, refused string) (renewed bool, err error) {
	if p.For(audience) != refused {
		return true, nil // another call has done it
	}
	e, err := p.exchanger.replace(ctx, p.credential, p.current.Load())
	if err != nil || e == nil {
		return false, err
	}
	p.current.Store(e)
	return true, nil
}

type digest = [sha256.Size]byte

// Exchanger asks auth, once for any number of callers, and remembers the answer by
// the SHA-256 of the credential. It is safe for concurrent use.
type Exchanger struct {
	auth  authv1.AuthServiceClient
	cache *lru.Cache[digest, *entry]
	calls singleflight.Group
	now   func() time.Time

	// heard is until when, in nanoseconds since 1970, answers may be reused because auth's revocations are heard.
	heard atomic.Int64

	mu         sync.Mutex
	generation uint64 // grows with each revocation; an answer asked for before one is not remembered
}

// New makes an Exchanger. Run keeps it up to date; without Run it remembers an answer for a few seconds only.
func New(auth authv1.AuthServiceClient, options Options) (*Exchanger, error) {
	if options.Size == 0 {
		options.Size = DefaultSize
	}
	cache, err := lru.New[digest, *entry](options.Size)
	if err != nil {
		return nil, fmt.Errorf("credential cache: %w", err)
	}
	return &Exchanger{auth: auth, cache: cache, now: options.Now}, nil
}

// usable reports whether an answer may be handed out: it does not end soon, and its revocation would have been heard. A
// passport that lives only a little, as that of a session token near its end, is used for three quarters of its life.
func (x *Exchanger) usable(e *entry) bool {
	now := x.now()
	margin := min(renewBefore, e.expireTime.Sub(e.asked)/4)
	if !now.Before(e.expireTime.Add(-margin)) {
		return false
	}
	return now.UnixNano() < max(x.heard.Load(), e.asked.Add(silence).UnixNano())
}

// Exchange returns passports for a credential. Errors: those of AuthService.Authenticate.
func (x *Exchanger) Exchange(ctx context.Context, credential string) (*Passports, error) {
	e, err := x.entry(ctx, credential)
	if err != nil {
		return nil, err
	}
	return x.passports(e, credential), nil
}

func (x *Exchanger) entry(ctx context.Context, credential string) (*entry, error) {
	sum := digestOf(credential)
	if e, ok := x.cache.Get(sum); ok {
		if x.usable(e) {
			return e, nil
		}
		x.cache.Remove(sum)
	}
	return x.ask(ctx, sum, credential)
}

// digestOf hashes a credential. A session token fits into the buffer, which spares a copy on the heap.
func digestOf(credential string) digest {
	var buffer [1024]byte
	return sha256.Sum256(append(buffer[:0], credential...))
}

// ask authenticates a credential, once for all callers who ask at the same time. Who asks after a revocation does not get the answer to
// a question from before it.
func (x *Exchanger) ask(ctx context.Context, sum digest, credential string) (*entry, error) {
	question := string(binary.BigEndian.AppendUint64(sum[:], x.currentGeneration()))
	// The call has its own context: the first caller's leaving must not fail the others.
	result := x.calls.DoChan(question, func() (any, error) {
		return x.authenticate(context.WithoutCancel(ctx), sum, credential)
	})
	select {
	case r := <-result:
		if r.Err != nil {
			return nil, r.Err
		}
		e, _ := r.Val.(*entry)
		return e, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// replace forgets an answer whose passports are refused and asks again. It returns nil when that answer is fresh.
func (x *Exchanger) replace(ctx context.Context, credential string, refused *entry) (*entry, error) {
	if age := x.now().Sub(refused.asked); age >= 0 && age < renewEvery {
		return nil, nil //nolint:nilnil // documented
	}
	sum := digestOf(credential)
	x.mu.Lock()
	if e, ok := x.cache.Peek(sum); ok && e == refused {
		x.cache.Remove(sum)
	}
	x.mu.Unlock()
	return x.entry(ctx, credential)
}

// Passport returns the passport for one service; it makes the Exchanger serve direct gRPC callers.
func (x *Exchanger) Passport(ctx context.Context, credential, audience string) (string, error) {
	e, err := x.entry(ctx, credential)
	if err != nil {
		return "", err
	}
	return e.passport(audience)
}

// Renew is Passport for a credential whose passport was refused. It returns "" when a new one would be refused too.
func (x *Exchanger) Renew(ctx context.Context, credential, audience, refused string) (string, error) {
	e, err := x.entry(ctx, credential)
	if err == nil && e.byAudience[audience] == refused {
		e, err = x.replace(ctx, credential, e)
	}
	if err != nil || e == nil {
		return "", err
	}
	return e.passport(audience)
}

func (e *entry) passport(audience string) (string, error) {
	token := e.byAudience[audience]
	if token == "" {
		return "", errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, "This credential does not reach the service %q.", audience)
	}
	return token, nil
}

func (x *Exchanger) authenticate(ctx context.Context, sum digest, credential string) (*entry, error) {
	ctx, cancel := context.WithTimeout(ctx, authenticateTimeout)
	defer cancel()
	generation, asked := x.currentGeneration(), x.now()
	answer, err := x.auth.Authenticate(ctx, &authv1.AuthenticateRequest{Credential: credential})
	if err != nil {
		return nil, err
	}
	e := &entry{identity: answer.GetIdentity(), expireTime: answer.GetExpireTime().AsTime(), asked: asked, byAudience: answer.GetPassports()}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.generation == generation {
		x.cache.Add(sum, e)
	}
	return e, nil
}

func (x *Exchanger) currentGeneration() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.generation
}

// Clear forgets everything.
func (x *Exchanger) Clear() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.generation++
	x.cache.Purge()
}

// Revoke forgets the credentials that a revocation names.
func (x *Exchanger) Revoke(revocations []*authv1.Revocation) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.generation++
	for _, sum := range x.cache.Keys() {
		e, ok := x.cache.Peek(sum)
		if ok && named(e.identity, revocations) {
			x.cache.Remove(sum)
		}
	}
}

func named(id *authv1.Identity, revocations []*authv1.Revocation) bool {
	for _, r := range revocations {
		switch {
		case r.GetUserId() != "" && r.GetUserId() == id.GetUserId(),
			r.GetSessionId() != "" && r.GetSessionId() == id.GetSessionId(),
			r.GetApiKeyId() != "" && r.GetApiKeyId() == id.GetApiKeyId():
			return true
		}
	}
	return false
}
