package authn

import (
	"context"
	"errors"
	"fmt"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// apiKey decides about a Trivet API key: first about the key itself, then about the person who made it.
func (a *Authenticator) apiKey(ctx context.Context, secret string) (*Grant, string, error) {
	k, err := a.Keys.Verify(ctx, secret)
	if r, ok := errors.AsType[*apikey.Refusal](err); ok {
		return nil, string(r.Verdict), invalid(err)
	}
	if err != nil {
		return nil, verdictUnavailable, fmt.Errorf("look up an API key: %w", err)
	}
	st, err := a.Directory.Standing(ctx, k.UserID, k.OrganizationID, "")
	if err != nil {
		return nil, verdictUnavailable, fmt.Errorf("look up the maker of an API key: %w", err)
	}
	if verdict := keyVerdict(k.Key, st); verdict != verdictAccepted {
		return nil, verdict, refusedKey(verdict)
	}
	return &Grant{Claims: a.keyClaims(k, st), ExpireTime: keyExpiry(k.End(), a.Now())}, verdictAccepted, nil
}

// keyVerdict compares a key with what happened to its maker. An organization's key belongs to the organization: its maker's
// end has a verdict of its own, after which an admin can take the key over.
func keyVerdict(k apikey.Key, st directory.Standing) string {
	user := userVerdict(st)
	switch {
	case k.OrganizationID == "":
		return user
	case st.Organization == directory.Deleted:
		return verdictOrganization
	case st.Member == directory.Deleted || user != verdictAccepted:
		return verdictMakerLeft
	}
	return verdictAccepted
}

func refusedKey(verdict string) error {
	switch verdict {
	case verdictOrganization:
		return invalid(refusal(verdict))
	case verdictMakerLeft:
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_API_KEY_MAKER_LEFT,
			"The person who created this API key has left the organization or is disabled. An admin of the organization can take the key over.").
			Cause(refusal(verdict))
	}
	return disabled(verdict)
}

// Disabled is the reason why a key is refused because of its maker: API_KEY_MAKER_LEFT, USER_DISABLED or INVALID_TOKEN (its
// organization is deleted); unspecified when its maker is not the reason. Errors: the store's.
func (a *Authenticator) Disabled(ctx context.Context, k apikey.Key) (errorsv1.ErrorReason, error) {
	st, err := a.Directory.Standing(ctx, k.UserID, k.OrganizationID, "")
	if err != nil {
		return errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED, err
	}
	verdict := keyVerdict(k, st)
	if verdict == verdictAccepted {
		return errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED, nil
	}
	return errs.ReasonOf(refusedKey(verdict)), nil
}

// keyClaims has the maker's present role, if the store knows it: a key must not keep a role that its maker lost.
func (a *Authenticator) keyClaims(k apikey.Verified, st directory.Standing) passport.Claims {
	role := k.Role
	if k.OrganizationID != "" && st.Member == directory.Synced {
		role = st.Role
	}
	return passport.Claims{
		UserID: k.UserID, OrganizationID: k.OrganizationID, Role: role, Admin: a.admin(k.OrganizationID, role),
		Scopes: k.Scopes, AccountID: k.AccountID, APIKeyID: k.ID, Email: st.Email, Verified: st.Verified, Models: k.Models,
		RequestsPerMinute: k.RequestsPerMinute, RequestsPerDay: k.RequestsPerDay, TokensPerMinute: k.TokensPerMinute,
		ConcurrentStreams: k.ConcurrentStreams, ParentLimits: parentLimits(k.Ancestors),
		SpendLimitNanoUSD: k.SpendLimitNanoUSD, SpendPeriodSeconds: int64(k.SpendPeriod / time.Second),
	}
}

// parentLimits returns the limits of the keys that a key descends from. Its calls count against them. A key without limits is among
// them, so that a limit that is set later knows the calls before it.
func parentLimits(ancestors []apikey.Key) []passport.KeyLimit {
	var limits []passport.KeyLimit
	for _, ancestor := range ancestors {
		limits = append(limits, passport.KeyLimit{
			APIKeyID: ancestor.ID, RequestsPerMinute: ancestor.RequestsPerMinute, RequestsPerDay: ancestor.RequestsPerDay,
			TokensPerMinute: ancestor.TokensPerMinute, ConcurrentStreams: ancestor.ConcurrentStreams,
		})
	}
	return limits
}

func keyExpiry(end, now time.Time) time.Time {
	latest := now.Add(MaxLife)
	if end.IsZero() || end.After(latest) {
		return latest
	}
	return end
}
