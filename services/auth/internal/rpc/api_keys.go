package rpc

import (
	"context"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/idempotency"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/timefield"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
)

// CreateApiKey makes a key for the caller's account.
func (s *Server) CreateApiKey(ctx context.Context, req *authv1.CreateApiKeyRequest) (*authv1.CreateApiKeyResponse, error) { //nolint:revive // the name is generated
	c, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	spec, err := keySpec(req)
	if err != nil {
		return nil, err
	}
	once, err := onceOf(ctx, req)
	if err != nil {
		return nil, err
	}
	key, secret, err := s.options.Keys.CreateOnce(ctx, maker(c), spec, once)
	if err != nil {
		return nil, public(err, "API key")
	}
	m, err := keyMessage(key)
	return &authv1.CreateApiKeyResponse{ApiKey: m, Secret: secret}, err
}

// onceOf reads the caller's idempotency key.
func onceOf(ctx context.Context, req *authv1.CreateApiKeyRequest) (apikey.Once, error) {
	key, err := idempotency.FromIncoming(ctx)
	if err != nil || key == "" {
		return apikey.Once{}, err
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	return apikey.Once{Key: key, RequestDigest: idempotency.Digest(string(raw))}, err
}

func maker(c *passport.Claims) apikey.Maker {
	return apikey.Maker{
		AccountID: c.AccountID, OrganizationID: c.OrganizationID, UserID: c.UserID, Role: c.Role,
		APIKeyID: c.APIKeyID, ActorID: c.ActorID,
	}
}

// keySpec refuses what protobuf can say and Go's times can't.
func keySpec(req *authv1.CreateApiKeyRequest) (apikey.Spec, error) {
	spec := apikey.Spec{
		Name: req.GetName(), Scopes: req.GetScopes(), Models: req.GetModels(),
		SpendLimitNanoUSD: req.GetSpendLimitNanoUsd(),
		Limits: apikey.Limits{
			RequestsPerMinute: req.GetRequestsPerMinute(), RequestsPerDay: req.GetRequestsPerDay(), TokensPerMinute: req.GetTokensPerMinute(),
			ConcurrentStreams: req.GetConcurrentStreams(),
		},
	}
	var err error
	if spec.ExpireTime, err = timefield.Of("expireTime", req.GetExpireTime()); err != nil {
		return spec, err
	}
	if d := req.GetSpendPeriod(); d != nil {
		if spec.SpendPeriod = d.AsDuration(); d.CheckValid() != nil || spec.SpendPeriod == 0 {
			return spec, badField("spendPeriod", "must be a duration such as 86400s")
		}
	}
	return spec, nil
}

func badField(name, problem string) error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "%s %s.", name, problem).Field(name, problem)
}

// UpdateApiKey changes the name and the rate limits of a key.
func (s *Server) UpdateApiKey(ctx context.Context, req *authv1.UpdateApiKeyRequest) (*authv1.UpdateApiKeyResponse, error) { //nolint:revive // the name is generated
	c, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	change, err := keyChange(req)
	if err != nil {
		return nil, err
	}
	key, err := s.options.Keys.Update(ctx, maker(c), req.GetApiKeyId(), change)
	if err != nil {
		return nil, public(err, "API key")
	}
	m, err := s.keyMessages(ctx)(key)
	if err != nil {
		return nil, public(err, "API key")
	}
	return &authv1.UpdateApiKeyResponse{ApiKey: m}, nil
}

// keyChange reads the fields that the mask names; without a mask, those that are present.
func keyChange(req *authv1.UpdateApiKeyRequest) (change apikey.Change, err error) {
	if len(req.GetUpdateMask().GetPaths()) == 0 {
		return apikey.Change{
			Name: req.Name, RequestsPerMinute: req.RequestsPerMinute, RequestsPerDay: req.RequestsPerDay,
			TokensPerMinute: req.TokensPerMinute, ConcurrentStreams: req.ConcurrentStreams,
		}, nil
	}
	for _, path := range req.GetUpdateMask().GetPaths() {
		switch path {
		case "name":
			change.Name = new(req.GetName())
		case "requests_per_minute":
			change.RequestsPerMinute = new(req.GetRequestsPerMinute())
		case "requests_per_day":
			change.RequestsPerDay = new(req.GetRequestsPerDay())
		case "tokens_per_minute":
			change.TokensPerMinute = new(req.GetTokensPerMinute())
		case "concurrent_streams":
			change.ConcurrentStreams = new(req.GetConcurrentStreams())
		default:
			return apikey.Change{}, badField("updateMask", "must contain only name, requestsPerMinute, requestsPerDay, tokensPerMinute and concurrentStreams")
		}
	}
	return change, nil
}

// ListApiKeys pages through the account's keys.
func (s *Server) ListApiKeys(ctx context.Context, req *authv1.ListApiKeysRequest) (*authv1.ListApiKeysResponse, error) { //nolint:revive // the name is generated
	c, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	list := paging.List{Name: "apiKeys", Filters: []string{c.AccountID}}
	keys, next, err := paged(list, req, s.keyMessages(ctx),
		func(after paging.Cursor, limit int) ([]apikey.Key, error) {
			return s.options.KeyStore.Keys(ctx, c.AccountID, after, limit)
		},
		func(k apikey.Key) paging.Cursor { return paging.Cursor{Time: k.CreateTime, ID: k.ID} })
	if err != nil {
		return nil, public(err, "API key")
	}
	return &authv1.ListApiKeysResponse{ApiKeys: keys, NextPageToken: next}, nil
}

// DeleteApiKey revokes a key.
func (s *Server) DeleteApiKey(ctx context.Context, req *authv1.DeleteApiKeyRequest) (*authv1.DeleteApiKeyResponse, error) { //nolint:revive // the name is generated
	c, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.options.Keys.Revoke(ctx, c.AccountID, req.GetApiKeyId()); err != nil {
		return nil, public(err, "API key")
	}
	return &authv1.DeleteApiKeyResponse{}, nil
}

// TakeOverApiKey makes the caller the owner of an organization's key.
func (s *Server) TakeOverApiKey(ctx context.Context, req *authv1.TakeOverApiKeyRequest) (*authv1.TakeOverApiKeyResponse, error) { //nolint:revive // the name is generated
	c, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	key, err := s.options.Keys.TakeOver(ctx, maker(c), req.GetApiKeyId())
	if err != nil {
		return nil, public(err, "API key")
	}
	m, err := s.keyMessages(ctx)(key)
	if err != nil {
		return nil, public(err, "API key")
	}
	return &authv1.TakeOverApiKeyResponse{ApiKey: m}, nil
}

// keyMessages returns a function that describes keys and says which are refused because of the person who made them. It asks
// once for each person.
func (s *Server) keyMessages(ctx context.Context) func(apikey.Key) (*authv1.ApiKey, error) {
	type person struct{ userID, organizationID string }
	reasons := map[person]errorsv1.ErrorReason{}
	return func(k apikey.Key) (*authv1.ApiKey, error) {
		who := person{k.UserID, k.OrganizationID}
		reason, known := reasons[who]
		if !known {
			var err error
			if reason, err = s.options.Authenticator.Disabled(ctx, k); err != nil {
				return nil, err
			}
			reasons[who] = reason
		}
		m, err := keyMessage(k)
		if err == nil && reason != errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
			m.DisabledReason = errs.Code(reason)
		}
		return m, err
	}
}

func keyMessage(k apikey.Key) (*authv1.ApiKey, error) {
	m := &authv1.ApiKey{
		Id: k.ID, Name: k.Name, Prefix: k.Prefix, Scopes: k.Scopes, Models: k.Models,
		SpendLimitNanoUsd: k.SpendLimitNanoUSD, RequestsPerMinute: k.RequestsPerMinute, RequestsPerDay: k.RequestsPerDay,
		TokensPerMinute: k.TokensPerMinute, ConcurrentStreams: k.ConcurrentStreams, CreatedByUserId: k.UserID, ParentApiKeyId: k.ParentID,
		CreateTime: timestampMessage(k.CreateTime), ExpireTime: timestampMessage(k.ExpireTime),
		LastUseTime: timestampMessage(k.LastUseTime), RevokeTime: timestampMessage(k.RevokeTime),
	}
	if k.SpendPeriod > 0 {
		m.SpendPeriod = durationpb.New(k.SpendPeriod)
	}
	return m, nil
}
