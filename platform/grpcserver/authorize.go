package grpcserver

import (
	"context"
	"errors"
	"slices"
	"strings"

	"google.golang.org/grpc/metadata"

	accessv1 "github.com/trivet-dev/trivet/gen/go/trivet/access/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
)

// authorize lets the caller in as the RPC's rule says; everything that no rule allows is refused.
func (c *chain) authorize(ctx context.Context, md metadata.MD, m *method) (context.Context, error) {
	switch m.rule.GetCaller() {
	case accessv1.Caller_CALLER_PUBLIC:
		return ctx, nil
	case accessv1.Caller_CALLER_INTERNAL:
		return ctx, c.checkPeer(md, m)
	case accessv1.Caller_CALLER_USER, accessv1.Caller_CALLER_ADMIN, accessv1.Caller_CALLER_OPERATOR:
		claims, err := c.identify(ctx, md, m)
		if err != nil {
			return ctx, err
		}
		if err := permit(claims, m.rule); err != nil {
			return ctx, m.refused(ctx, claims, nil, err)
		}
		return passport.NewContext(ctx, claims), nil
	case accessv1.Caller_CALLER_UNSPECIFIED:
	}
	return ctx, noRule()
}

func noRule() error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, "This call has no access rule and is refused.")
}

// permit compares a verified caller with a rule.
func permit(claims *passport.Claims, rule *accessv1.Rule) error {
	//exhaustive:ignore
	switch rule.GetCaller() {
	case accessv1.Caller_CALLER_ADMIN:
		if !claims.IsAdmin() {
			return errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, "Only an admin of the organization may do this.")
		}
	case accessv1.Caller_CALLER_OPERATOR:
		if !claims.Operator || claims.APIKeyID != "" {
			return errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, "Only an operator may do this: a signed-in user listed in TRIVET_OPERATORS.")
		}
	}
	for _, scope := range rule.GetScopes() {
		if !claims.HasScope(scope) {
			return errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, "This API key lacks the scope %q.", scope).With("scope", scope)
		}
	}
	return nil
}

// identify finds the caller's passport, or exchanges the caller's credential for one.
func (c *chain) identify(ctx context.Context, md metadata.MD, m *method) (*passport.Claims, error) {
	// The message of a call may come long after its headers, which tap has seen.
	if s, ok := ctx.Value(screenedKey{}).(*screened); ok && s.claims != nil && !c.config.Passports.Ended(s.claims) {
		return s.claims, nil
	}
	token, err := single(md, passport.Header)
	if err != nil {
		return nil, err
	}
	if token != "" {
		claims, err := c.config.Passports.Verify(token, m.service)
		return claims, refusal(err)
	}
	credential, err := c.credential(md)
	if err != nil {
		return nil, err
	}
	return c.exchange(ctx, credential, m.service)
}

// exchange makes a passport of a credential and verifies it as any other. One that this process refuses for its time is
// exchanged once more.
func (c *chain) exchange(ctx context.Context, credential, service string) (*passport.Claims, error) {
	token, err := c.config.Exchanger.Passport(ctx, credential, service)
	if err != nil {
		return nil, err
	}
	claims, err := c.config.Passports.Verify(token, service)
	if !errors.Is(err, passport.ErrClock) {
		return claims, refusal(err)
	}
	renewed, renewErr := c.config.Exchanger.Renew(ctx, credential, service, token)
	if renewErr != nil {
		return nil, renewErr
	}
	if renewed != "" {
		claims, err = c.config.Passports.Verify(renewed, service)
	}
	return claims, refusal(err)
}

// refusal is the error for a passport that was not accepted. Clocks that differ are Trivet's own failure: the
// caller's credential is good, and "Invalid token" would sign people out.
func refusal(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, passport.ErrClock):
		return passport.ClockError(err)
	default:
		return invalidToken().Cause(err)
	}
}

// credential is the bearer credential of a caller without a passport.
func (c *chain) credential(md metadata.MD) (string, error) {
	header, err := single(md, "authorization")
	if err != nil {
		return "", err
	}
	if header == "" {
		return "", errs.New(errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED, "Unauthorized")
	}
	scheme, credential, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "bearer") || credential == "" {
		return "", invalidToken().Cause(errors.New("the authorization header is not \"Bearer …\""))
	}
	if c.config.Exchanger == nil {
		return "", invalidToken().Cause(errors.New("this server takes passports only"))
	}
	return credential, nil
}

func (c *chain) checkPeer(md metadata.MD, m *method) error {
	proof, err := single(md, peer.Header)
	if err != nil {
		return err
	}
	if proof == "" {
		return peer.RefuseStranger()
	}
	name, err := c.config.Peers.Verify(proof)
	if err != nil {
		return peer.RefuseProof(err)
	}
	if !slices.Contains(m.rule.GetPeers(), name) {
		return peer.RefuseName(name)
	}
	return nil
}

// single returns a metadata value that may be there at most once: a second one could smuggle an identity past a proxy.
func single(md metadata.MD, key string) (string, error) {
	values := md[key]
	switch len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	default:
		return "", invalidToken().Cause(errors.New(key + " was sent more than once"))
	}
}

func invalidToken() *errs.Error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, "Invalid token")
}
