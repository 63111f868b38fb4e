package grpcserver_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/platform/grpcserver"
)

func settlement() *billingv1.SettleRequest {
	return &billingv1.SettleRequest{HoldId: "hold_1", Usage: &usagev1.CallUsage{InputTokens: 5}, Outcome: billingv1.Outcome_OUTCOME_COMPLETED}
}

func TestCheckedUnaryCalls(t *testing.T) {
	s := serve(t, fakeAuth{}, time.Second).server
	type (
		request = billingv1.SettleRequest
		answer  = billingv1.SettleResponse
	)
	checked := func(handler grpcserver.Unary[request, answer]) grpcserver.Unary[request, answer] {
		return grpcserver.CheckedUnary(s, handler)
	}
	t.Run("a good handler", func(t *testing.T) {
		in := settlement()
		out, err := checked(func(_ context.Context, in *request) (*answer, error) {
			return &answer{CostNanoUsd: int64(in.GetUsage().GetInputTokens())}, nil
		})(t.Context(), in)
		require.NoError(t, err)
		require.Equal(t, int64(5), out.GetCostNanoUsd())
		require.Equal(t, settlement().String(), in.String())
	})
	t.Run("a handler that changes its request", func(t *testing.T) {
		_, err := checked(func(_ context.Context, in *request) (*answer, error) {
			in.Usage.InputTokens++
			return &answer{}, nil
		})(t.Context(), settlement())
		require.ErrorContains(t, err, "the handler changed a trivet.billing.v1.SettleRequest")
	})
	t.Run("a caller that changes its request meanwhile", func(t *testing.T) {
		in := settlement()
		_, err := checked(func(context.Context, *request) (*answer, error) {
			in.Estimated = true
			return &answer{}, nil
		})(t.Context(), in)
		require.ErrorContains(t, err, "the caller changed a trivet.billing.v1.SettleRequest")
	})
	t.Run("a handler that keeps its request, or its answer", func(t *testing.T) {
		var kept *request
		own := &answer{CostNanoUsd: 1}
		call := checked(func(_ context.Context, in *request) (*answer, error) { kept = in; return own, nil })
		in := settlement()
		out, err := call(t.Context(), in)
		require.NoError(t, err)
		require.Equal(t, int64(1), out.GetCostNanoUsd())
		require.Equal(t, "spoiled: used after its call", kept.GetHoldId())
		require.Equal(t, int32(-77), kept.GetUsage().GetInputTokens())
		require.Equal(t, int64(-77), own.GetCostNanoUsd())
		require.Equal(t, "hold_1", in.GetHoldId(), "the caller's is as it was")
	})
	t.Run("a request that the network would refuse", func(t *testing.T) {
		_, err := checked(func(context.Context, *request) (*answer, error) { return &answer{}, nil })(t.Context(), &request{})
		require.ErrorContains(t, err, "holdId")
	})
}

func TestCheckedStreams(t *testing.T) {
	type (
		request = aiv1.RelayRequest
		answer  = aiv1.RelayResponse
	)
	read := func(t *testing.T, handler func(*request, grpc.ServerStreamingServer[answer]) error, send func(*answer) error) (*grpcserver.Server, error) {
		t.Helper()
		s := serve(t, fakeAuth{}, time.Second).server
		return s, grpcserver.CheckedStream(s, handler)(&request{Endpoint: someChat.GetEndpoint(), Body: []byte("body"), Headers: map[string]string{"a": "b"}}, &sender{ctx: t.Context(), send: send})
	}
	drop := func(*answer) error { return nil }
	t.Run("a caller that keeps a message", func(t *testing.T) {
		var kept *answer
		_, err := read(t, func(_ *request, s grpc.ServerStreamingServer[answer]) error {
			message := &answer{Body: []byte("abc"), Head: &aiv1.RelayHead{Streamed: true, Headers: map[string]string{"a": "b"}}}
			if err := s.Send(message); err != nil {
				return err
			}
			require.Equal(t, "abc", string(message.GetBody()), "the handler's is as it was")
			return nil
		}, func(m *answer) error {
			require.Equal(t, "abc", string(m.GetBody()))
			kept = m
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, "!!!", string(kept.GetBody()))
		require.Equal(t, map[string]string{"a": "spoiled: used after its call"}, kept.GetHead().GetHeaders())
	})
	t.Run("a handler that changes the request", func(t *testing.T) {
		_, err := read(t, func(in *request, _ grpc.ServerStreamingServer[answer]) error { in.Body[0] = 'x'; return nil }, drop)
		require.ErrorContains(t, err, "the handler changed a trivet.ai.v1.RelayRequest")
	})
	t.Run("a handler that changes the request after its call", func(t *testing.T) {
		var kept *request
		s, err := read(t, func(in *request, _ grpc.ServerStreamingServer[answer]) error { kept = in; return nil }, drop)
		require.NoError(t, err)
		require.NoError(t, s.Drain(t.Context()), "it may keep it")
		kept.Headers["c"] = "d"
		require.ErrorContains(t, s.Drain(t.Context()), "a trivet.ai.v1.RelayRequest was changed after its call had begun")
		delete(kept.Headers, "c")
	})
	t.Run("a request that the network would refuse", func(t *testing.T) {
		s := serve(t, fakeAuth{}, time.Second).server
		err := grpcserver.CheckedStream(s, func(*request, grpc.ServerStreamingServer[answer]) error { return nil })(&request{}, &sender{ctx: t.Context(), send: drop})
		require.ErrorContains(t, err, "endpoint")
	})
}

// sender is the caller's end of a stream.
type sender struct {
	grpc.ServerStream
	ctx  context.Context
	send func(*aiv1.RelayResponse) error
}

func (s *sender) Context() context.Context         { return s.ctx }
func (s *sender) Send(m *aiv1.RelayResponse) error { return s.send(m) }
