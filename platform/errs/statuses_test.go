package errs_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// The statuses are part of the contract: SDKs decide by them whether to retry, and people whether to pay.
func TestStatuses(t *testing.T) {
	want := map[string]struct {
		http int
		grpc codes.Code
	}{
		"INTERNAL": {500, codes.Internal}, "INVALID_ARGUMENT": {400, codes.InvalidArgument}, "MALFORMED_BODY": {400, codes.InvalidArgument},
		"BODY_TOO_LARGE": {413, codes.ResourceExhausted}, "NOT_FOUND": {404, codes.NotFound}, "METHOD_NOT_ALLOWED": {405, codes.Unimplemented},
		"UNAUTHORIZED": {401, codes.Unauthenticated}, "INVALID_TOKEN": {401, codes.Unauthenticated}, "USER_DISABLED": {401, codes.Unauthenticated},
		"API_KEY_MAKER_LEFT": {401, codes.Unauthenticated}, "WEBHOOK_SIGNATURE_INVALID": {401, codes.Unauthenticated},
		"PERMISSION_DENIED": {403, codes.PermissionDenied}, "MODEL_NOT_ALLOWED": {403, codes.PermissionDenied},
		"INSUFFICIENT_BALANCE": {402, codes.FailedPrecondition}, "RATE_LIMIT_EXCEEDED": {429, codes.ResourceExhausted},
		"MODEL_NOT_FOUND": {404, codes.NotFound}, "CONTEXT_LENGTH_EXCEEDED": {400, codes.InvalidArgument}, "UPSTREAM_ERROR": {502, codes.Unavailable},
		"UPSTREAM_REJECTED": {400, codes.InvalidArgument}, "UPSTREAM_TIMEOUT": {504, codes.DeadlineExceeded}, "SERVICE_UNAVAILABLE": {503, codes.Unavailable},
		"CONFIGURATION_ERROR": {500, codes.Internal}, "DEADLINE_EXCEEDED": {504, codes.DeadlineExceeded}, "CANCELLED": {499, codes.Canceled},
		"CONFLICT": {409, codes.Aborted}, "NOT_IMPLEMENTED": {501, codes.Unimplemented}, "UNSUPPORTED_ENCODING": {415, codes.InvalidArgument},
		"ALREADY_COMPLETED": {409, codes.AlreadyExists}, "SECRET_ALREADY_SHOWN": {409, codes.AlreadyExists},
		"REQUEST_IN_PROGRESS": {409, codes.Aborted}, "IDEMPOTENCY_KEY_REUSED": {422, codes.InvalidArgument},
	}
	for number, name := range errorsv1.ErrorReason_name {
		reason := errorsv1.ErrorReason(number)
		if reason == errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
			continue
		}
		m := errs.MappingOf(reason)
		require.Contains(t, want, errs.Code(reason), "%s: a new reason needs a row here", name)
		require.Equal(t, want[errs.Code(reason)].http, m.HTTP, name)
		require.Equal(t, want[errs.Code(reason)].grpc, m.GRPC, name)
		require.Equal(t, errs.Code(reason), m.Code)
	}
	for _, unknown := range []errorsv1.ErrorReason{0, 9999, -1} {
		m := errs.MappingOf(unknown)
		require.Equal(t, 500, m.HTTP)
		require.Equal(t, "INTERNAL", m.Code)
	}
}
