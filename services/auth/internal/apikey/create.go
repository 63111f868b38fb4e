package apikey

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// The bounds of a spend period.
const (
	minSpendPeriod = time.Minute
	maxSpendPeriod = 366 * 24 * time.Hour
)

// maxModel is the longest name of a model.
const maxModel = 128

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
	RequestsPerMinute int32
}

// Create makes a key and returns its secret, which nobody will see again. Errors: INVALID_ARGUMENT naming the fields,
// PERMISSION_DENIED, CONFLICT, the store's.
func (k *Keeper) Create(ctx context.Context, by Maker, spec Spec) (Key, string, error) {
	if by.ActorID != "" {
		return Key{}, "", errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED,
			"An impersonated session can't make API keys: they would outlive it.")
	}
	if len(spec.Scopes) == 0 {
		spec.Scopes = DefaultScopes()
	}
	now := k.now()
	if err := spec.validate(now); err != nil {
		return Key{}, "", err
	}
	if by.APIKeyID != "" {
		parent, err := k.store.KeyByID(ctx, by.AccountID, by.APIKeyID)
		if err != nil {
			return Key{}, "", err
		}
		if err := spec.within(parent); err != nil {
			return Key{}, "", err
		}
	}
	secret, visible, err := newSecret(k.mode, rand.Reader)
	if err != nil {
		return Key{}, "", err
	}
	key := Key{
		ID: "key_" + strings.ToLower(rand.Text()), Prefix: visible, Name: strings.TrimSpace(spec.Name),
		AccountID: by.AccountID, OrganizationID: by.OrganizationID, UserID: by.UserID, Role: by.Role,
		Scopes: spec.Scopes, Models: spec.Models, SpendLimitNanoUSD: spec.SpendLimitNanoUSD, SpendPeriod: spec.SpendPeriod,
		RequestsPerMinute: spec.RequestsPerMinute, CreateTime: now.UTC().Truncate(time.Microsecond),
		ExpireTime: spec.ExpireTime.Truncate(time.Microsecond),
	}
	return key, secret, k.store.AddKey(ctx, key, k.hasher.hashes(secret)[0])
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

func (s Spec) validate(now time.Time) error {
	var bad faults
	if strings.TrimSpace(s.Name) == "" || strings.ContainsFunc(s.Name, unicode.IsControl) {
		bad.add("name", "must have a visible character and no control characters")
	}
	for i, scope := range s.Scopes {
		if !slices.Contains(Scopes(), scope) {
			bad.add(fmt.Sprintf("scopes[%d]", i), fmt.Sprintf("%q is unknown; the scopes are %s", scope, strings.Join(Scopes(), ", ")))
		}
	}
	for i, model := range s.Models {
		if strings.TrimSpace(model) != model || model == "" || len(model) > maxModel || strings.ContainsFunc(model, unicode.IsControl) {
			bad.add(fmt.Sprintf("models[%d]", i), fmt.Sprintf("must be a model's name of 1 to %d characters", maxModel))
		}
	}
	if !s.ExpireTime.IsZero() && !s.ExpireTime.After(now) {
		bad.add("expireTime", "must be in the future")
	}
	s.validateSpend(&bad)
	if s.RequestsPerMinute < 0 {
		bad.add("requestsPerMinute", "must not be negative")
	}
	return bad.as(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The API key can't be made as asked for.")
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

// within refuses what the parent, a key itself, may not do: a key must not give birth to a stronger one.
func (s Spec) within(parent Key) error {
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
	if parent.RequestsPerMinute > 0 && (s.RequestsPerMinute == 0 || s.RequestsPerMinute > parent.RequestsPerMinute) {
		bad.add("requestsPerMinute", "must not be above this key's own")
	}
	if parent.SpendLimitNanoUSD > 0 {
		// Several children would each spend the parent's limit.
		bad.add("spendLimitNanoUsd", "a key with a spend limit can't make keys")
	}
	return bad.as(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, "An API key can't make a key that may do more than itself.")
}

// Revoke ends a key of the account. Errors: ErrNotFound, the store's.
func (k *Keeper) Revoke(ctx context.Context, accountID, id string) error {
	return k.store.RevokeKey(ctx, accountID, id, k.now())
}
