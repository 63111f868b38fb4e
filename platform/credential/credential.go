// Package credential exchanges a caller's credential for passports and
// remembers them while they live, so that verifying is paid about once a
// minute and not per request.
package credential

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// DefaultSize is how many credentials are remembered when Options.Size is 0.
const DefaultSize = 16384

// margin is how long before its end a passport is no longer handed out, so that it does not expire on its way.
const margin = time.Second

// authenticateTimeout bounds one call to auth, whoever waits for it.
const authenticateTimeout = 10 * time.Second

// Options tune an Exchanger.
type Options struct {
	// Size is how many credentials are remembered; 0 means DefaultSize.
	Size int
	// Now is the clock.
	Now func() time.Time
}

// Passports are what a credential was exchanged for.
type Passports struct {
	// Identity is whom the credential names.
	Identity *authv1.Identity
	// ExpireTime is when the passports end.
	ExpireTime time.Time

	byAudience map[string]string
}

// For returns the passport for a service, or "" when the caller may not reach it.
func (p *Passports) For(audience string) string { return p.byAudience[audience] }

type digest = [sha256.Size]byte

// Exchanger asks auth, once however many callers, and remembers the answer by
// the SHA-256 of the credential. It is safe for concurrent use.
type Exchanger struct {
	auth  authv1.AuthServiceClient
	cache *lru.Cache[digest, *Passports]
	calls singleflight.Group
	now   func() time.Time

	mu         sync.Mutex
	generation uint64 // grows with each revocation; an answer asked for before one is not remembered
}

// New makes an Exchanger.
func New(auth authv1.AuthServiceClient, options Options) (*Exchanger, error) {
	if options.Size == 0 {
		options.Size = DefaultSize
	}
	cache, err := lru.New[digest, *Passports](options.Size)
	if err != nil {
		return nil, fmt.Errorf("credential cache: %w", err)
	}
	return &Exchanger{auth: auth, cache: cache, now: options.Now}, nil
}

// Exchange returns passports for a credential. Errors: those of AuthService.Authenticate.
func (x *Exchanger) Exchange(ctx context.Context, credential string) (*Passports, error) {
	sum := sha256.Sum256([]byte(credential))
	if p, ok := x.cache.Get(sum); ok {
		if x.now().Before(p.ExpireTime.Add(-margin)) {
			return p, nil
		}
		x.cache.Remove(sum)
	}
	// The call has its own context: the first caller's leaving must not fail the others.
	result := x.calls.DoChan(string(sum[:]), func() (any, error) {
		return x.authenticate(context.WithoutCancel(ctx), sum, credential)
	})
	select {
	case r := <-result:
		if r.Err != nil {
			return nil, r.Err
		}
		p, _ := r.Val.(*Passports)
		return p, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Passport returns the passport for one service; it makes the Exchanger serve direct gRPC callers.
func (x *Exchanger) Passport(ctx context.Context, credential, audience string) (string, error) {
	p, err := x.Exchange(ctx, credential)
	if err != nil {
		return "", err
	}
	token := p.For(audience)
	if token == "" {
		return "", errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, "This credential does not reach the service %q.", audience)
	}
	return token, nil
}

func (x *Exchanger) authenticate(ctx context.Context, sum digest, credential string) (*Passports, error) {
	ctx, cancel := context.WithTimeout(ctx, authenticateTimeout)
	defer cancel()
	asked := x.currentGeneration()
	answer, err := x.auth.Authenticate(ctx, &authv1.AuthenticateRequest{Credential: credential})
	if err != nil {
		return nil, err
	}
	p := &Passports{Identity: answer.GetIdentity(), ExpireTime: answer.GetExpireTime().AsTime(), byAudience: answer.GetPassports()}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.generation == asked {
		x.cache.Add(sum, p)
	}
	return p, nil
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
		p, ok := x.cache.Peek(sum)
		if ok && named(p.Identity, revocations) {
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
