package apikey

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/plain"
)

// The bounds of a spend period.
const (
	minSpendPeriod = time.Minute
	maxSpendPeriod = 366 * 24 * time.Hour
)

// maxDepth is how many keys a key may descend from: each of them has a limit that counts for its calls.
const maxDepth = passport.MaxParentLimits

// Maker is who asks for a key.
type Maker struct {
	AccountID, OrganizationID, UserID, Role string
	// APIKeyID is set when the maker is itself a key: what it makes may do no more than it.
	APIKeyID string
	// ActorID is set when somebody impersonates the user: they make no keys, which would outlive the impersonation.
	ActorID string
}

// Spec is what the key is to be able to do.
type Spec struct {
	Name              string
	Scopes, Models    []string
	ExpireTime        time.Time
	SpendLimitNanoUSD int64
	SpendPeriod       time.Duration
	Limits
}

// Create makes a key and returns its secret, which is not shown again. Errors: INVALID_ARGUMENT naming the fields,
// PERMISSION_DENIED, the store's.
func (m *Manager) Create(ctx context.Context, by Maker, spec Spec) (Key, string, error) {
	return m.CreateOnce(ctx, by, spec, Once{})
}

// CreateOnce is Create for a request with an idempotency key. Errors besides: SECRET_ALREADY_SHOWN, IDEMPOTENCY_KEY_REUSED.
func (m *Manager) CreateOnce(ctx context.Context, by Maker, spec Spec, once Once) (Key, string, error) {
	if by.ActorID != "" {
		return Key{}, "", errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED,
			"An impersonated session cannot create API keys: the keys would outlive it.")
	}
	if len(spec.Scopes) == 0 {
		spec.Scopes = DefaultScopes()
	}
	now := m.now()
	if err := m.validate(spec, now); err != nil {
		return Key{}, "", err
	}
	if by.APIKeyID != "" {
		if err := m.bequeath(ctx, by, &spec); err != nil {
			return Key{}, "", err
		}
	}
	secret, visible, err := newSecret(m.mode, rand.Reader)
	if err != nil {
		return Key{}, "", err
	}
	key := Key{
		ID: "key_" + strings.ToLower(rand.Text()), Prefix: visible, Name: strings.TrimSpace(spec.Name),
		AccountID: by.AccountID, OrganizationID: by.OrganizationID, UserID: by.UserID, Role: by.Role, ParentID: by.APIKeyID,
		Scopes: spec.Scopes, Models: spec.Models, SpendLimitNanoUSD: spec.SpendLimitNanoUSD, SpendPeriod: spec.SpendPeriod,
		Limits: spec.Limits, CreateTime: now.UTC().Truncate(time.Microsecond),
		ExpireTime: spec.ExpireTime.Truncate(time.Microsecond),
	}
	hash := m.hasher.hashes(secret)[0]
	if once.Key != "" {
		err = m.store.AddKeyOnce(ctx, key, hash, m.maxLive, once.by(by))
	} else {
		err = m.store.AddKey(ctx, key, hash, m.maxLive)
	}
	if err != nil {
		return Key{}, "", err
	}
	return key, secret, nil
}

// bequeath refuses what the calling key may not hand on.
func (m *Manager) bequeath(ctx context.Context, by Maker, spec *Spec) error {
	parent, err := m.store.KeyByID(ctx, by.AccountID, by.APIKeyID)
	if err != nil {
		return err
	}
	above, err := m.store.Ancestors(ctx, parent.ID)
	if err != nil {
		return err
	}
	if len(above)+1 > maxDepth {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED,
			"An API key can descend from at most %d other keys. Create this key with a key that has fewer ancestors, or sign in.", maxDepth)
	}
	return spec.within(parent, above)
}

// faults collects the fields that are wrong.
type faults []errs.Field

func (f *faults) add(field, problem string) {
	*f = append(*f, errs.Field{Name: field, Problem: problem})
}

// as is nil when nothing is wrong.
func (f *faults) as(reason errorsv1.ErrorReason, message string) error {
	if len(*f) == 0 {
		return nil
	}
	return &errs.Error{Reason: reason, Message: message, Fields: *f}
}

// invalid is nil when nothing is wrong; otherwise its text has every field and its problem.
func (f *faults) invalid() error {
	texts := make([]string, 0, len(*f))
	for _, one := range *f {
		texts = append(texts, one.Name+" "+strings.TrimSuffix(one.Problem, "."))
	}
	return f.as(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, strings.Join(texts, "; ")+".")
}

func (m *Manager) validate(s Spec, now time.Time) error {
	var bad faults
	validateName(s.Name, &bad)
	for i, scope := range s.Scopes {
		if !slices.Contains(Scopes(), scope) {
			bad.add(fmt.Sprintf("scopes[%d]", i), fmt.Sprintf("is %q, but must be one of %s", scope, strings.Join(Scopes(), ", ")))
		}
	}
	for i, model := range s.Models {
		if _, err := m.models.Get(model); err != nil {
			bad.add(fmt.Sprintf("models[%d]", i), "is wrong: "+errs.From(err).Message)
		}
	}
	if !s.ExpireTime.IsZero() && !s.ExpireTime.After(now) {
		bad.add("expireTime", "must be in the future")
	}
	s.validateSpend(&bad)
	s.validate(&bad)
	return bad.invalid()
}

func validateName(name string, bad *faults) {
	if strings.TrimSpace(name) == "" || !plain.Printable(name) {
		bad.add("name", "must have a visible character, no control characters and no characters that change the direction of text")
	}
}

func (s Spec) validateSpend(bad *faults) {
	switch {
	case s.SpendLimitNanoUSD < 0:
		bad.add("spendLimitNanoUsd", "must not be negative")
	case s.SpendPeriod == 0:
	case s.SpendLimitNanoUSD == 0:
		bad.add("spendPeriod", "needs spendLimitNanoUsd")
	case s.SpendPeriod < minSpendPeriod || s.SpendPeriod > maxSpendPeriod || s.SpendPeriod%time.Second != 0:
		bad.add("spendPeriod", "must be whole seconds, from one minute to 366 days")
	}
}

// within refuses what the parent key may not do itself. above are the keys that it descends from.
func (s Spec) within(parent Key, above []Key) error {
	var bad faults
	for _, scope := range s.Scopes {
		if !slices.Contains(parent.Scopes, scope) {
			bad.add("scopes", fmt.Sprintf("this key lacks %q", scope))
		}
	}
	foreign := func(model string) bool { return !slices.Contains(parent.Models, model) }
	if len(parent.Models) > 0 && (len(s.Models) == 0 || slices.ContainsFunc(s.Models, foreign)) {
		bad.add("models", "must be among this key's own: "+strings.Join(parent.Models, ", "))
	}
	if !parent.ExpireTime.IsZero() && (s.ExpireTime.IsZero() || s.ExpireTime.After(parent.ExpireTime)) {
		bad.add("expireTime", "must not be after this key's own")
	}
	bad = append(bad, s.beyond(append(above, parent))...)
	if parent.SpendLimitNanoUSD > 0 {
		// The ledger counts spending by key: each child would spend the parent's limit again.
		bad.add("spendLimitNanoUsd", "a key with a spend limit cannot create keys; sign in, or use a key without a spend limit")
	}
	return bad.as(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, "An API key cannot create a key that may do more than itself.")
}

// Revoke ends a key of the account and every key that descends from it. Errors: ErrNotFound, the store's.
func (m *Manager) Revoke(ctx context.Context, accountID, id string) error {
	return m.store.RevokeKey(ctx, accountID, id, m.now())
}

// TakeOver makes an admin the owner of a key and of every key that descends from it. Errors: PERMISSION_DENIED,
// ErrNotFound, ErrEnded, the store's.
func (m *Manager) TakeOver(ctx context.Context, by Maker, id string) (Key, error) {
	if by.APIKeyID != "" || by.ActorID != "" {
		return Key{}, errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED,
			"Only a signed-in person can take over an API key: not another API key, and not an impersonated session.")
	}
	key, err := m.store.KeyByID(ctx, by.AccountID, id)
	if err != nil {
		return Key{}, err
	}
	if m.over(key) {
		return Key{}, ErrEnded
	}
	if _, err := m.ancestors(ctx, key); err != nil {
		if _, refused := errors.AsType[*Refusal](err); refused {
			return Key{}, ErrEnded
		}
		return Key{}, err
	}
	return m.store.TakeOverKey(ctx, by.AccountID, id, by.UserID, by.Role)
}
