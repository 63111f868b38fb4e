package authn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// apiKey decides about a Trivet API key: first the key itself, then whether its maker still stands where they stood.
func (a *Authenticator) apiKey(ctx context.Context, secret string) (*Grant, string, error) {
	k, err := a.Keys.Verify(ctx, secret)
	if r, ok := errors.AsType[*apikey.Refusal](err); ok {
		return nil, string(r.Verdict), invalid(err)
	}
	if err != nil {
		return nil, verdictUnavailable, fmt.Errorf("look-up of an API key: %w", err)
	}
	st, err := a.Directory.Standing(ctx, k.UserID, k.OrganizationID, "")
	if err != nil {
		return nil, verdictUnavailable, fmt.Errorf("standing of an API key's maker: %w", err)
	}
	if verdict := userVerdict(st); verdict != verdictAccepted {
		return nil, verdict, disabled(verdict)
	}
	if verdict := keyVerdict(k, st); verdict != verdictAccepted {
		return nil, verdict, invalid(refusal(verdict))
	}
	return &Grant{Identity: keyIdentity(k, st), ExpireTime: keyExpiry(k.ExpireTime, a.Now())}, verdictAccepted, nil
}

func keyVerdict(k apikey.Key, st directory.Standing) string {
	switch {
	case k.OrganizationID == "":
		return verdictAccepted
	case st.Organization == directory.Deleted:
		return verdictOrganization
	case st.Member == directory.Deleted:
		return verdictMembership
	}
	return verdictAccepted
}

// keyIdentity has the maker's role of today, where the store knows it: a key must not keep a rank that its maker lost.
func keyIdentity(k apikey.Key, st directory.Standing) Identity {
	role := k.Role
	if k.OrganizationID != "" && st.Member == directory.Synced {
		role = st.Role
	}
	return Identity{
		UserID: k.UserID, OrganizationID: k.OrganizationID, Role: role, Scopes: k.Scopes, AccountID: k.AccountID,
		APIKeyID: k.ID, Email: st.Email, Models: k.Models, RequestsPerMinute: k.RequestsPerMinute,
		SpendLimitNanoUSD: k.SpendLimitNanoUSD, SpendPeriod: k.SpendPeriod,
	}
}

func keyExpiry(end, now time.Time) time.Time {
	latest := now.Add(MaxLife)
	if end.IsZero() || end.After(latest) {
		return latest
	}
	return end
}
