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
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// audiences are the services that a caller may reach.
func audiences() []string { return []string{"auth", "ai", "billing"} }

// Authenticate exchanges a credential for passports.
func (s *Server) Authenticate(ctx context.Context, req *authv1.AuthenticateRequest) (*authv1.AuthenticateResponse, error) {
	grant, err := s.options.Authenticator.Authenticate(ctx, req.GetCredential())
	if err != nil {
		return nil, public(err, "credential")
	}
	passports := make(map[string]string, len(audiences()))
	for _, audience := range audiences() {
		if passports[audience], err = s.options.Passports.Issue(grant.Claims, audience, grant.ExpireTime); err != nil {
			return nil, ended(err)
		}
	}
	return &authv1.AuthenticateResponse{
		Passports: passports, ExpireTime: timestamppb.New(grant.ExpireTime), Identity: identityMessage(&grant.Claims),
	}, nil
}

// ended is the refusal of a credential that ended while its owner was looked up.
func ended(err error) error {
	if errors.Is(err, passport.ErrEnded) {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, "Invalid token").Cause(err)
	}
	return err
}

// GetMe answers who the caller is.
func (s *Server) GetMe(ctx context.Context, _ *authv1.GetMeRequest) (*authv1.GetMeResponse, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	me := &authv1.GetMeResponse{Identity: identityMessage(claims)}
	u, err := s.options.Directory.User(ctx, claims.UserID)
	if errors.Is(err, directory.ErrNotFound) {
		return me, nil
	}
	if err != nil {
		return nil, public(err, "user")
	}
	if me.Identity.Email == "" {
		me.Identity.Email = u.PrimaryEmail // the passport may be older than what Clerk told since
	}
	me.User, err = userMessage(u)
	return me, err
}

func identityMessage(c *passport.Claims) *authv1.Identity {
	m := &authv1.Identity{
		UserId: c.UserID, SessionId: c.SessionID, OrganizationId: c.OrganizationID, Role: c.Role, Admin: c.IsAdmin(),
		Permissions: c.Permissions, Scopes: c.Scopes, AccountId: c.AccountID, ApiKeyId: c.APIKeyID,
		Operator: c.Operator, ActorId: c.ActorID, Models: c.Models, RequestsPerMinute: c.RequestsPerMinute,
		RequestsPerDay: c.RequestsPerDay, TokensPerMinute: c.TokensPerMinute, ConcurrentStreams: c.ConcurrentStreams,
		Email: c.Email, SpendLimitNanoUsd: c.SpendLimitNanoUSD,
	}
	if c.APIKeyID == "" {
		m.Scopes = apikey.Scopes()
	}
	if c.SpendPeriodSeconds > 0 {
		m.SpendPeriod = durationpb.New(time.Duration(c.SpendPeriodSeconds) * time.Second)
	}
	for _, limit := range c.ParentLimits {
		m.ParentLimits = append(m.ParentLimits, &authv1.KeyLimit{
			ApiKeyId: limit.APIKeyID, RequestsPerMinute: limit.RequestsPerMinute, RequestsPerDay: limit.RequestsPerDay,
			TokensPerMinute: limit.TokensPerMinute, ConcurrentStreams: limit.ConcurrentStreams,
		})
	}
	return m
}
