package gateway_test

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/passport"
)

type fakeAuth struct {
	webhook func(*authv1.ReceiveWebhookRequest) error
	authv1.UnimplementedAuthServiceServer
	issuer *passport.Issuer
	calls  sync.Map // credential -> struct{}
	err    error
}

func (f *fakeAuth) Authenticate(_ context.Context, in *authv1.AuthenticateRequest) (*authv1.AuthenticateResponse, error) {
	f.calls.Store(in.GetCredential(), struct{}{})
	if f.err != nil {
		return nil, f.err
	}
	another, good := strings.CutPrefix(in.GetCredential(), goodToken)
	if !good || another != "" && !strings.HasPrefix(another, "user_") {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, "the signature is wrong")
	}
	user := cmp.Or(another, "user_1")
	out := &authv1.AuthenticateResponse{Passports: map[string]string{}, Identity: &authv1.Identity{UserId: user, AccountId: user}}
	end := time.Now().Add(time.Minute)
	out.ExpireTime = timestamppb.New(end)
	for _, audience := range []string{"auth", "ai", "billing"} {
		token, err := f.issuer.Issue(passport.Claims{UserID: user, AccountID: user, Operator: true}, audience, end)
		if err != nil {
			return nil, err
		}
		out.Passports[audience] = token
	}
	return out, nil
}

func (f *fakeAuth) ReceiveWebhook(_ context.Context, in *authv1.ReceiveWebhookRequest) (*authv1.ReceiveWebhookResponse, error) {
	return &authv1.ReceiveWebhookResponse{}, f.webhook(in)
}

func (f *fakeAuth) GetMe(ctx context.Context, _ *authv1.GetMeRequest) (*authv1.GetMeResponse, error) {
	claims, _ := passport.FromContext(ctx)
	return &authv1.GetMeResponse{Identity: &authv1.Identity{UserId: claims.UserID}}, nil
}

func (f *fakeAuth) GetUser(_ context.Context, in *authv1.GetUserRequest) (*authv1.GetUserResponse, error) {
	return &authv1.GetUserResponse{User: &authv1.User{Id: in.GetUserId()}}, nil
}

func (f *fakeAuth) ExportUser(_ context.Context, in *authv1.ExportUserRequest) (*authv1.ExportUserResponse, error) {
	return &authv1.ExportUserResponse{Json: in.GetUserId()}, nil
}

type fakeAI struct {
	aiv1.UnimplementedAIServiceServer
	relay  func(*aiv1.RelayRequest, grpc.ServerStreamingServer[aiv1.RelayResponse]) error
	stream func(*aiv1.ChatStreamRequest, grpc.ServerStreamingServer[aiv1.ChatStreamResponse]) error
	chat   func(context.Context, *aiv1.ChatRequest) (*aiv1.ChatResponse, error)
	state  statusv1.Status // health.Unknown makes GetStatus fail

	mu       sync.Mutex
	calls    int
	metadata metadata.MD
}

func (f *fakeAI) note(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	f.metadata, _ = metadata.FromIncomingContext(ctx)
}

func (f *fakeAI) seen() (int, metadata.MD) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls, f.metadata
}

func (f *fakeAI) Relay(in *aiv1.RelayRequest, s grpc.ServerStreamingServer[aiv1.RelayResponse]) error {
	f.note(s.Context())
	return f.relay(in, s)
}

func (f *fakeAI) ChatStream(in *aiv1.ChatStreamRequest, s grpc.ServerStreamingServer[aiv1.ChatStreamResponse]) error {
	f.note(s.Context())
	return f.stream(in, s)
}

func (f *fakeAI) Chat(ctx context.Context, in *aiv1.ChatRequest) (*aiv1.ChatResponse, error) {
	f.note(ctx)
	return f.chat(ctx, in)
}

// ListModels returns one model per page.
func (f *fakeAI) ListModels(ctx context.Context, in *aiv1.ListModelsRequest) (*aiv1.ListModelsResponse, error) {
	f.note(ctx)
	if in.GetPageToken() == "" {
		chat := &aiv1.Model{Id: "gpt-5-mini", Kind: aiv1.ModelKind_MODEL_KIND_CHAT, Provider: "openai"}
		return &aiv1.ListModelsResponse{Models: []*aiv1.Model{chat}, NextPageToken: "second"}, nil
	}
	embedding := &aiv1.Model{Id: "text-embedding-3-small", Kind: aiv1.ModelKind_MODEL_KIND_EMBEDDING, Provider: "openai"}
	return &aiv1.ListModelsResponse{Models: []*aiv1.Model{embedding}}, nil
}

func (f *fakeAuth) GetStatus(context.Context, *authv1.GetStatusRequest) (*authv1.GetStatusResponse, error) {
	return &authv1.GetStatusResponse{Service: condition(health.Operational), Provider: condition(health.Operational)}, nil
}

func condition(state statusv1.Status) *statusv1.Health {
	return &statusv1.Health{Status: state, SinceTime: timestamppb.New(time.Unix(1_800_000_000, 0))}
}

func (f *fakeAI) GetStatus(context.Context, *aiv1.GetStatusRequest) (*aiv1.GetStatusResponse, error) {
	if f.state == health.Unknown {
		return nil, errors.New("ai is away")
	}
	return &aiv1.GetStatusResponse{Service: condition(f.state), Provider: condition(health.Operational)}, nil
}

type fakeBilling struct {
	billingv1.UnimplementedBillingServiceServer
	stripe  statusv1.Status
	err     error
	webhook func(*billingv1.ReceiveWebhookRequest) error

	mu      sync.Mutex
	refused []*billingv1.RefusedRequest
}

func (f *fakeBilling) ReceiveWebhook(_ context.Context, in *billingv1.ReceiveWebhookRequest) (*billingv1.ReceiveWebhookResponse, error) {
	return &billingv1.ReceiveWebhookResponse{}, f.webhook(in)
}

func (f *fakeBilling) GetAccount(context.Context, *billingv1.GetAccountRequest) (*billingv1.GetAccountResponse, error) {
	return &billingv1.GetAccountResponse{Account: &billingv1.Account{Id: "user_1", BalanceNanoUsd: 1_500_000_000}}, f.err
}

func (f *fakeBilling) ListPlans(context.Context, *billingv1.ListPlansRequest) (*billingv1.ListPlansResponse, error) {
	return &billingv1.ListPlansResponse{}, nil
}

func (f *fakeBilling) GetStatus(context.Context, *billingv1.GetStatusRequest) (*billingv1.GetStatusResponse, error) {
	return &billingv1.GetStatusResponse{Service: condition(health.Operational), Provider: condition(f.stripe)}, f.err
}

func (f *fakeBilling) RecordRequests(_ context.Context, in *billingv1.RecordRequestsRequest) (*billingv1.RecordRequestsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused = append(f.refused, in.GetRequests()...)
	return &billingv1.RecordRequestsResponse{}, nil
}
