// Package passport carries a verified caller from service to service: a token
// of at most a minute, signed by auth with Ed25519, bound to one service as
// its audience. Whoever holds only the public key can check and not make one.
package passport

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// Header is the passport's name in gRPC metadata.
const Header = "trivet-passport"

// MaxLife is the longest that a passport lives.
const MaxLife = 60 * time.Second

const issuer = "trivet-auth"

// ErrInvalid is the root of every verification error: the passport is
// malformed, forged, expired or for another service.
var ErrInvalid = errors.New("invalid passport")

// ErrClock says that a passport is not valid now although auth signed it for
// this service: the caller used it too long, or the clocks of auth and of this
// process differ. It wraps ErrInvalid.
var ErrClock = fmt.Errorf("%w: the time is wrong; compare the clocks of the machines", ErrInvalid)

// clockFact marks, in the metadata of an error, a passport that a service refused for its time.
const clockFact = "passport_clock"

// ClockError is the answer to a call whose passport was refused with ErrClock: the caller's credential is good, so this is
// a failure of Trivet's own. The calling service recognizes it with IsClockError and tries once more with a new passport.
func ClockError(cause error) error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "Service temporarily unavailable. Please try again later.").
		After(time.Second).With(clockFact, "refused").Cause(cause)
}

// IsClockError reports whether err is a ClockError, also when it came from another service.
func IsClockError(err error) bool {
	if status.Code(err) != codes.Unavailable {
		return false
	}
	return errs.From(err).Metadata[clockFact] != ""
}

// Claims is what a passport says of the caller.
type Claims struct {
	// UserID is Clerk's user id; for an API key, of the person who made it.
	UserID string `json:"uid"`
	// SessionID is Clerk's session id; empty for an API key.
	SessionID string `json:"sid,omitempty"`
	// OrganizationID is the active organization; empty when the caller acts for themselves.
	OrganizationID string `json:"org,omitempty"`
	// Role is the role in the organization, or "owner" of a personal account.
	Role string `json:"rol,omitempty"`
	// Permissions are the organization permissions of the caller.
	Permissions []string `json:"per,omitempty"`
	// Scopes are what an API key may do; a session has none listed and holds all.
	Scopes []string `json:"scp,omitempty"`
	// AccountID is the billing account.
	AccountID string `json:"acc"`
	// APIKeyID is the API key's id; empty for a session.
	APIKeyID string `json:"key,omitempty"`
	// ActorID is the user who impersonates UserID; empty otherwise.
	ActorID string `json:"act,omitempty"`
	// Email is the primary email address, when known.
	Email string `json:"eml,omitempty"`
	// Verified is true when Clerk has verified an email address or a phone number of the user.
	Verified bool `json:"ver,omitempty"`
	// Operator is true for the people that TRIVET_OPERATORS names.
	Operator bool `json:"opr,omitempty"`
	// Models are the models an API key may use; empty means all of the plan's.
	Models []string `json:"mod,omitempty"`
	// RequestsPerMinute is an API key's own limit; 0 means the plan's.
	RequestsPerMinute int32 `json:"rpm,omitempty"`
	// RequestsPerDay, TokensPerMinute and ConcurrentStreams are further limits of an API key; 0 means the plan's.
	RequestsPerDay    int32 `json:"rpd,omitempty"`
	TokensPerMinute   int32 `json:"tpm,omitempty"`
	ConcurrentStreams int32 `json:"cst,omitempty"`
	// SpendLimitNanoUSD is the most that an API key may spend in a SpendPeriodSeconds, in nano-dollars; 0 means no limit of its own.
	SpendLimitNanoUSD int64 `json:"spl,omitempty"`
	// SpendPeriodSeconds is the period of that limit; 0 means the account's billing period.
	SpendPeriodSeconds int64 `json:"spp,omitempty"`
	// ParentLimits are the limits of the API keys that made this one; at most MaxParentLimits.
	ParentLimits []KeyLimit `json:"plm,omitempty"`
	// Admin is true when the role in the organization may decide for the account; auth decides which roles may.
	Admin bool `json:"adm,omitempty"`
	// Audience is the service that may accept the passport.
	Audience string `json:"-"`
	// ExpireTime is when it ends.
	ExpireTime time.Time `json:"-"`
}

// HasScope reports whether the caller may do what scope names. A session may do everything its role allows.
func (c *Claims) HasScope(scope string) bool {
	if c.APIKeyID == "" {
		return true
	}
	for _, s := range c.Scopes {
		if s == scope {
			return true
		}
	}
	return false
}

// MaxParentLimits bounds ParentLimits, so that a passport stays small.
const MaxParentLimits = 8

// KeyLimit holds the limits of an API key, which the keys that it made share; 0 means no limit.
type KeyLimit struct {
	APIKeyID          string `json:"key"`
	RequestsPerMinute int32  `json:"rpm"`
	RequestsPerDay    int32  `json:"rpd,omitempty"`
	TokensPerMinute   int32  `json:"tpm,omitempty"`
	ConcurrentStreams int32  `json:"cst,omitempty"`
}

// IsAdmin reports whether the caller may decide for the account: as the owner of a personal account, or with an admin role
// in the organization.
func (c *Claims) IsAdmin() bool { return c.OrganizationID == "" || c.Admin }

type contextKey struct{}

// NewContext returns a context that carries verified claims; nil hides those of the context around it.
func NewContext(ctx context.Context, c *Claims) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// FromContext returns the verified caller; false when the RPC needed none.
func FromContext(ctx context.Context) (*Claims, bool) {
	c, ok := ctx.Value(contextKey{}).(*Claims)
	return c, ok && c != nil
}

// Caller returns the verified caller whose account an RPC works on. The error is UNAUTHORIZED; the caller may see it.
func Caller(ctx context.Context) (*Claims, error) {
	c, ok := FromContext(ctx)
	if !ok || c == nil || c.UserID == "" || c.AccountID == "" {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED, "Unauthorized")
	}
	return c, nil
}

// Outgoing returns a context whose outgoing gRPC calls carry the passport, in
// place of one that was there before.
func Outgoing(ctx context.Context, token string) context.Context {
	md, _ := metadata.FromOutgoingContext(ctx)
	md = md.Copy()
	if md == nil {
		md = metadata.MD{}
	}
	md.Set(Header, token)
	return metadata.NewOutgoingContext(ctx, md)
}

// ParsePrivateKey reads a signing key: the base64 of its 32-byte seed, as `trivet keys` prints it.
func ParsePrivateKey(encoded string) (ed25519.PrivateKey, error) {
	seed, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("want the base64 of a %d-byte Ed25519 seed; `trivet keys` makes one", ed25519.SeedSize)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// ParsePublicKeys reads verification keys: each the base64 of 32 bytes.
func ParsePublicKeys(encoded []string) ([]ed25519.PublicKey, error) {
	keys := make([]ed25519.PublicKey, 0, len(encoded))
	for i, e := range encoded {
		raw, err := base64.StdEncoding.DecodeString(e)
		if err != nil || len(raw) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("key %d: want the base64 of a %d-byte Ed25519 public key; `trivet keys` prints it", i+1, ed25519.PublicKeySize)
		}
		keys = append(keys, raw)
	}
	return keys, nil
}

// keyID names a key by its hash, so that keys can rotate side by side.
func keyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}
