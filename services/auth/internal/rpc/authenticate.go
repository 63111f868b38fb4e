package rpc

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/authn"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// audiences are the services that a caller may reach.
func audiences() []string { return []string{"auth", "ai", "billing"} }

// Authenticate exchanges a credential for passports.
func (s *Server) Authenticate(ctx context.Context, req *authv1.AuthenticateRequest) (*authv1.AuthenticateResponse, error) {
	grant, err := s.Authenticator.Authenticate(ctx, req.GetCredential())
	if err != nil {
		return nil, shown(err, "credential")
	}
	claims := claimsOf(grant.Identity)
	passports := make(map[string]string, len(audiences()))
	for _, audience := range audiences() {
		if passports[audience], err = s.Passports.Issue(claims, audience, grant.ExpireTime); err != nil {
			return nil, err
		}
	}
	return &authv1.AuthenticateResponse{
		Passports: passports, ExpireTime: timestamppb.New(grant.ExpireTime), Identity: identityMessage(grant.Identity),
	}, nil
}

// GetMe answers who the caller is.
func (s *Server) GetMe(ctx context.Context, _ *authv1.GetMeRequest) (*authv1.GetMeResponse, error) {
	claims, err := caller(ctx)
	if err != nil {
		return nil, err
	}
	me := &authv1.GetMeResponse{Identity: identityMessage(identityOf(claims))}
	u, err := s.Directory.User(ctx, claims.UserID)
	if errors.Is(err, directory.ErrNotFound) {
		return me, nil
	}
	if err != nil {
		return nil, shown(err, "user")
	}
	if me.Identity.Email == "" {
		me.Identity.Email = u.PrimaryEmail // the passport may be older than what Clerk told since
	}
	me.User, err = userMessage(u)
	return me, err
}

// caller is the passport that the interceptor verified.
func caller(ctx context.Context) (*passport.Claims, error) {
	claims, ok := passport.FromContext(ctx)
	if !ok {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED, "Unauthorized")
	}
	return claims, nil
}

func claimsOf(id authn.Identity) passport.Claims {
	c := passport.Claims{
		UserID: id.UserID, SessionID: id.SessionID, OrganizationID: id.OrganizationID, Role: id.Role,
		Permissions: id.Permissions, AccountID: id.AccountID, APIKeyID: id.APIKeyID, ActorID: id.ActorID,
		Email: id.Email, Operator: id.Operator, Models: id.Models, RequestsPerMinute: id.RequestsPerMinute,
		SpendLimitNanoUSD: id.SpendLimitNanoUSD, SpendPeriodSeconds: int64(id.SpendPeriod / time.Second),
	}
	if id.APIKeyID != "" {
		c.Scopes = id.Scopes
	}
	return c
}

func identityOf(c *passport.Claims) authn.Identity {
	id := authn.Identity{
		UserID: c.UserID, SessionID: c.SessionID, OrganizationID: c.OrganizationID, Role: c.Role,
		Permissions: c.Permissions, Scopes: c.Scopes, AccountID: c.AccountID, APIKeyID: c.APIKeyID, ActorID: c.ActorID,
		Email: c.Email, Operator: c.Operator, Models: c.Models, RequestsPerMinute: c.RequestsPerMinute,
		SpendLimitNanoUSD: c.SpendLimitNanoUSD, SpendPeriod: time.Duration(c.SpendPeriodSeconds) * time.Second,
	}
	if c.APIKeyID == "" {
		id.Scopes = apikey.Scopes()
	}
	return id
}

func identityMessage(id authn.Identity) *authv1.Identity {
	m := &authv1.Identity{
		UserId: id.UserID, SessionId: id.SessionID, OrganizationId: id.OrganizationID, Role: id.Role,
		Permissions: id.Permissions, Scopes: id.Scopes, AccountId: id.AccountID, ApiKeyId: id.APIKeyID,
		Operator: id.Operator, ActorId: id.ActorID, Models: id.Models, RequestsPerMinute: id.RequestsPerMinute,
		Email: id.Email, SpendLimitNanoUsd: id.SpendLimitNanoUSD,
	}
	if id.SpendPeriod > 0 {
		m.SpendPeriod = durationpb.New(id.SpendPeriod)
	}
	return m
}
