package errs_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

func TestErrorSurvivesTheWireWithoutItsCause(t *testing.T) {
	sent := errs.New(errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, "Slow down.").
		After(12*time.Second).Field("model", "is busy").With("limit", "rpm").Cause(errors.New("password=hunter2"))
	require.Contains(t, sent.Error(), "hunter2", "the log sees the cause")

	wire := status.FromProto(sent.GRPCStatus().Proto())
	require.NotContains(t, wire.String(), "hunter2")
	got := errs.From(wire.Err())
	require.Equal(t, sent.Reason, got.Reason)
	require.Equal(t, sent.Message, got.Message)
	require.Equal(t, sent.RetryAfter, got.RetryAfter)
	require.Equal(t, sent.Fields, got.Fields)
	require.Equal(t, sent.Metadata, got.Metadata)
	require.Equal(t, codes.ResourceExhausted, wire.Code())
}

func TestShortWaitsSurviveTheWire(t *testing.T) {
	for _, wait := range []time.Duration{0, time.Nanosecond, time.Millisecond, 500 * time.Millisecond, time.Second, 90 * time.Minute} {
		sent := errs.New(errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, "x").After(wait)
		require.Equal(t, wait, errs.From(sent.GRPCStatus().Err()).RetryAfter)
	}
}

// Statuses of other programs may carry details of the same kinds.
func TestAnothersDetailsAreNotOurs(t *testing.T) {
	with := func(code codes.Code, details ...protoadapt.MessageV1) error {
		st, err := status.New(code, "secret").WithDetails(details...)
		require.NoError(t, err)
		return st.Err()
	}
	foreign := &errdetails.ErrorInfo{Reason: "RATE_LIMIT_EXCEEDED", Domain: "googleapis.com", Metadata: map[string]string{"a": "b"}}
	for name, tc := range map[string]struct {
		err  error
		want errorsv1.ErrorReason
	}{
		"another's domain":       {with(codes.Unknown, foreign), errorsv1.ErrorReason_ERROR_REASON_INTERNAL},
		"another's, by code":     {with(codes.Unavailable, foreign), errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE},
		"unknown reason of ours": {with(codes.Unknown, &errdetails.ErrorInfo{Reason: "OF_A_LATER_VERSION", Domain: errs.Domain}), errorsv1.ErrorReason_ERROR_REASON_INTERNAL},
	} {
		got := errs.From(tc.err)
		require.Equal(t, tc.want, got.Reason, name)
		require.Empty(t, got.Metadata, name)
		require.NotContains(t, got.Message, "secret", name)
	}
	ours := with(codes.Unknown, foreign, &errdetails.ErrorInfo{Reason: "NOT_FOUND", Domain: errs.Domain, Metadata: map[string]string{"c": "d"}}, foreign)
	got := errs.From(ours)
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, got.Reason)
	require.Equal(t, map[string]string{"c": "d"}, got.Metadata)
}

// A status within a chain is found, and an error of our own outside of it wins.
func TestTheOutermostErrorWins(t *testing.T) {
	inner := status.Error(codes.Unavailable, "x")
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, errs.ReasonOf(fmt.Errorf("call: %w", inner)))
	own := errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT, "x").Cause(inner)
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, errs.ReasonOf(fmt.Errorf("call: %w", own)))
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_CANCELLED, errs.ReasonOf(errors.Join(errors.New("x"), context.Canceled)))
}

func TestFrom(t *testing.T) {
	own := errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "No such user.")
	cases := map[string]struct {
		err  error
		want errorsv1.ErrorReason
	}{
		"own":                  {own, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND},
		"own, wrapped":         {fmt.Errorf("get: %w", own), errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND},
		"cancelled":            {fmt.Errorf("x: %w", context.Canceled), errorsv1.ErrorReason_ERROR_REASON_CANCELLED},
		"deadline":             {context.DeadlineExceeded, errorsv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED},
		"gRPC cancelled":       {status.Error(codes.Canceled, "x"), errorsv1.ErrorReason_ERROR_REASON_CANCELLED},
		"gRPC unavailable":     {status.Error(codes.Unavailable, "dial tcp 10.0.0.1"), errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE},
		"gRPC unimplemented":   {status.Error(codes.Unimplemented, "x"), errorsv1.ErrorReason_ERROR_REASON_NOT_IMPLEMENTED},
		"gRPC message too big": {status.Error(codes.ResourceExhausted, "x"), errorsv1.ErrorReason_ERROR_REASON_BODY_TOO_LARGE},
		"gRPC unknown":         {status.Error(codes.Unknown, "secret"), errorsv1.ErrorReason_ERROR_REASON_INTERNAL},
		"anything":             {errors.New("secret"), errorsv1.ErrorReason_ERROR_REASON_INTERNAL},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := errs.From(tc.err)
			require.Equal(t, tc.want, got.Reason)
			require.NotContains(t, got.Message, "secret")
			require.NotContains(t, got.Message, "10.0.0.1")
			require.Equal(t, tc.want, errs.ReasonOf(tc.err))
		})
	}
	require.Nil(t, errs.From(nil))
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED, errs.ReasonOf(nil))
}

// down is an error of something that cannot serve now.
type down struct{ error }

func (down) Unavailable() time.Duration { return 3 * time.Second }

func TestWhatIsUnavailableIs503WithRetryAfter(t *testing.T) {
	for name, err := range map[string]error{
		"alone": down{errors.New("secret")}, "wrapped": fmt.Errorf("read: %w", down{errors.New("secret")}),
		"after a deadline": down{context.DeadlineExceeded},
	} {
		got := errs.From(err)
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, got.Reason, name)
		require.Equal(t, "Service temporarily unavailable. Please try again later.", got.Message, name)
		require.Equal(t, 3*time.Second, got.RetryAfter, name)
		require.ErrorIs(t, got, err, "the log has the cause")
	}
	own := errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "No such user.").Cause(down{errors.New("x")})
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, errs.ReasonOf(own), "a service's own words win")
}

func TestEveryReasonIsMapped(t *testing.T) {
	for number, name := range errorsv1.ErrorReason_name {
		m := errs.MappingOf(errorsv1.ErrorReason(number))
		require.GreaterOrEqual(t, m.HTTP, 400, name)
		require.NotEqual(t, codes.OK, m.GRPC, name)
		require.NotEmpty(t, m.OpenAIType, name)
		require.NotEmpty(t, m.OpenAICode, name)
		if number > 1 {
			require.NotEqual(t, "internal_error", m.OpenAICode, "%s has no row of its own", name)
		}
	}
	require.Equal(t, "INTERNAL", errs.MappingOf(999).Code)
}
