package apierror_test

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

	"github.com/trivet-dev/trivet/gen/go/apierror"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// asClient is what a client gets when a service returns e.
func asClient(e *errs.Error) error { return status.FromProto(e.GRPCStatus().Proto()).Err() }

func TestEveryReasonSurvivesTheWire(t *testing.T) {
	for value := range errorsv1.ErrorReason_name {
		reason := errorsv1.ErrorReason(value)
		if reason == errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
			continue
		}
		require.Equal(t, reason, apierror.Reason(asClient(errs.New(reason, "failed"))))
		require.Equal(t, reason, apierror.Reason(fmt.Errorf("wrapped: %w", asClient(errs.New(reason, "failed")))))
	}
}

func TestDetails(t *testing.T) {
	err := asClient(errs.New(errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, "wait").
		Field("messages[0].role", "must be user").Field("model", "is required").With("limit", "requests_per_minute").After(3 * time.Second))
	require.Equal(t, 3*time.Second, apierror.RetryAfter(err))
	require.Equal(t, map[string]string{"limit": "requests_per_minute"}, apierror.Metadata(err))
	require.Equal(t, []apierror.Field{{"messages[0].role", "must be user"}, {"model", "is required"}}, apierror.Fields(err))
}

func TestErrorsOfOthersHaveNoReason(t *testing.T) {
	foreign, err := status.New(codes.NotFound, "x").WithDetails(&errdetails.ErrorInfo{Domain: "example.com", Reason: "NOT_FOUND"})
	require.NoError(t, err)
	newer, err := status.New(codes.NotFound, "x").WithDetails(&errdetails.ErrorInfo{Domain: apierror.Domain, Reason: "NOT_YET_KNOWN"})
	require.NoError(t, err)
	for name, err := range map[string]error{
		"nil": nil, "not a status": errors.New("x"), "no details": status.Error(codes.Internal, "x"), "canceled": context.Canceled,
		"another domain": foreign.Err(), "a newer server": newer.Err(),
	} {
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED, apierror.Reason(err), name)
		require.Empty(t, apierror.Metadata(err), name)
		require.Zero(t, apierror.RetryAfter(err), name)
		require.Empty(t, apierror.Fields(err), name)
	}
}

func TestDomainIsThatOfTheServer(t *testing.T) {
	require.Equal(t, errs.Domain, apierror.Domain)
}
