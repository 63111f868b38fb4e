package errs

import (
	"net/http"

	"google.golang.org/grpc/codes"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
)

// StatusClientClosed is the status that the edge logs when the caller has left. No client receives it.
const StatusClientClosed = 499

// Mapping is what a reason becomes on each wire. docs/errors.md shows the whole table.
type Mapping struct {
	// Code is the "code" of the /api error body and the reason of google.rpc.ErrorInfo.
	Code string
	// GRPC is the canonical status code.
	GRPC codes.Code
	// HTTP is the status of both HTTP trees.
	HTTP int
	// OpenAIType is "error.type" of the /v1 error body.
	OpenAIType string
	// OpenAICode is "error.code" of the /v1 error body; "" is written as null.
	OpenAICode string
}

const (
	typeRequest    = "invalid_request_error"
	typeServer     = "server_error"
	typePermission = "permission_error"
	typeRate       = "rate_limit_error"
	typeQuota      = "insufficient_quota"
)

// MappingOf returns the reason's row; an unknown reason gets INTERNAL's.
func MappingOf(reason errorsv1.ErrorReason) Mapping {
	m := mapping(reason)
	m.Code = Code(reason)
	if reason == errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED || errorsv1.ErrorReason_name[int32(reason)] == "" {
		m.Code = Code(errorsv1.ErrorReason_ERROR_REASON_INTERNAL)
	}
	return m
}

func mapping(reason errorsv1.ErrorReason) Mapping {
	switch reason {
	case errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED, errorsv1.ErrorReason_ERROR_REASON_INTERNAL:
		return Mapping{GRPC: codes.Internal, HTTP: http.StatusInternalServerError, OpenAIType: typeServer, OpenAICode: "internal_error"}
	case errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT:
		return Mapping{GRPC: codes.InvalidArgument, HTTP: http.StatusBadRequest, OpenAIType: typeRequest, OpenAICode: "invalid_value"}
	case errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY:
		return Mapping{GRPC: codes.InvalidArgument, HTTP: http.StatusBadRequest, OpenAIType: typeRequest, OpenAICode: "invalid_json"}
	case errorsv1.ErrorReason_ERROR_REASON_BODY_TOO_LARGE:
		return Mapping{GRPC: codes.ResourceExhausted, HTTP: http.StatusRequestEntityTooLarge, OpenAIType: typeRequest, OpenAICode: "request_too_large"}
	case errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND:
		return Mapping{GRPC: codes.NotFound, HTTP: http.StatusNotFound, OpenAIType: typeRequest, OpenAICode: "not_found"}
	case errorsv1.ErrorReason_ERROR_REASON_METHOD_NOT_ALLOWED:
		return Mapping{GRPC: codes.Unimplemented, HTTP: http.StatusMethodNotAllowed, OpenAIType: typeRequest, OpenAICode: "method_not_allowed"}
	case errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED:
		return Mapping{GRPC: codes.Unauthenticated, HTTP: http.StatusUnauthorized, OpenAIType: typeRequest, OpenAICode: "missing_api_key"}
	case errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN:
		return Mapping{GRPC: codes.Unauthenticated, HTTP: http.StatusUnauthorized, OpenAIType: typeRequest, OpenAICode: "invalid_api_key"}
	case errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED:
		return Mapping{GRPC: codes.Unauthenticated, HTTP: http.StatusUnauthorized, OpenAIType: typeRequest, OpenAICode: "user_disabled"}
	case errorsv1.ErrorReason_ERROR_REASON_API_KEY_MAKER_LEFT:
		return Mapping{GRPC: codes.Unauthenticated, HTTP: http.StatusUnauthorized, OpenAIType: typeRequest, OpenAICode: "api_key_maker_left"}
	case errorsv1.ErrorReason_ERROR_REASON_WEBHOOK_SIGNATURE_INVALID:
		return Mapping{GRPC: codes.Unauthenticated, HTTP: http.StatusUnauthorized, OpenAIType: typeRequest, OpenAICode: "webhook_signature_invalid"}
	case errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED:
		return Mapping{GRPC: codes.PermissionDenied, HTTP: http.StatusForbidden, OpenAIType: typePermission, OpenAICode: "permission_denied"}
	case errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_ALLOWED:
		return Mapping{GRPC: codes.PermissionDenied, HTTP: http.StatusForbidden, OpenAIType: typePermission, OpenAICode: "model_not_allowed"}
	case errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE:
		return Mapping{GRPC: codes.FailedPrecondition, HTTP: http.StatusPaymentRequired, OpenAIType: typeQuota, OpenAICode: "insufficient_quota"}
	case errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED:
		return Mapping{GRPC: codes.ResourceExhausted, HTTP: http.StatusTooManyRequests, OpenAIType: typeRate, OpenAICode: "rate_limit_exceeded"}
	case errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND:
		return Mapping{GRPC: codes.NotFound, HTTP: http.StatusNotFound, OpenAIType: typeRequest, OpenAICode: "model_not_found"}
	default:
		return serverMapping(reason)
	}
}

// serverMapping holds the reasons that are not the caller's fault, and the rarer ones.
func serverMapping(reason errorsv1.ErrorReason) Mapping {
	//exhaustive:ignore
	switch reason {
	case errorsv1.ErrorReason_ERROR_REASON_UNSUPPORTED_ENCODING:
		return Mapping{GRPC: codes.InvalidArgument, HTTP: http.StatusUnsupportedMediaType, OpenAIType: typeRequest, OpenAICode: "unsupported_encoding"}
	case errorsv1.ErrorReason_ERROR_REASON_CONTEXT_LENGTH_EXCEEDED:
		return Mapping{GRPC: codes.InvalidArgument, HTTP: http.StatusBadRequest, OpenAIType: typeRequest, OpenAICode: "context_length_exceeded"}
	case errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR:
		return Mapping{GRPC: codes.Unavailable, HTTP: http.StatusBadGateway, OpenAIType: typeServer, OpenAICode: "upstream_error"}
	case errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_REJECTED:
		return Mapping{GRPC: codes.InvalidArgument, HTTP: http.StatusBadRequest, OpenAIType: typeRequest, OpenAICode: "upstream_rejected"}
	case errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT:
		return Mapping{GRPC: codes.DeadlineExceeded, HTTP: http.StatusGatewayTimeout, OpenAIType: typeServer, OpenAICode: "upstream_timeout"}
	case errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE:
		return Mapping{GRPC: codes.Unavailable, HTTP: http.StatusServiceUnavailable, OpenAIType: typeServer, OpenAICode: "service_unavailable"}
	case errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR:
		return Mapping{GRPC: codes.Internal, HTTP: http.StatusInternalServerError, OpenAIType: typeServer, OpenAICode: "configuration_error"}
	case errorsv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED:
		return Mapping{GRPC: codes.DeadlineExceeded, HTTP: http.StatusGatewayTimeout, OpenAIType: typeServer, OpenAICode: "deadline_exceeded"}
	case errorsv1.ErrorReason_ERROR_REASON_CANCELLED:
		return Mapping{GRPC: codes.Canceled, HTTP: StatusClientClosed, OpenAIType: typeRequest, OpenAICode: "cancelled"}
	case errorsv1.ErrorReason_ERROR_REASON_CONFLICT:
		return Mapping{GRPC: codes.Aborted, HTTP: http.StatusConflict, OpenAIType: typeRequest, OpenAICode: "conflict"}
	case errorsv1.ErrorReason_ERROR_REASON_ALREADY_COMPLETED:
		return Mapping{GRPC: codes.AlreadyExists, HTTP: http.StatusConflict, OpenAIType: typeRequest, OpenAICode: "already_completed"}
	case errorsv1.ErrorReason_ERROR_REASON_SECRET_ALREADY_SHOWN:
		return Mapping{GRPC: codes.AlreadyExists, HTTP: http.StatusConflict, OpenAIType: typeRequest, OpenAICode: "secret_already_shown"}
	case errorsv1.ErrorReason_ERROR_REASON_REQUEST_IN_PROGRESS:
		return Mapping{GRPC: codes.Aborted, HTTP: http.StatusConflict, OpenAIType: typeRequest, OpenAICode: "request_in_progress"}
	case errorsv1.ErrorReason_ERROR_REASON_IDEMPOTENCY_KEY_REUSED:
		return Mapping{GRPC: codes.InvalidArgument, HTTP: http.StatusUnprocessableEntity, OpenAIType: typeRequest, OpenAICode: "idempotency_key_reused"}
	case errorsv1.ErrorReason_ERROR_REASON_NOT_IMPLEMENTED:
		return Mapping{GRPC: codes.Unimplemented, HTTP: http.StatusNotImplemented, OpenAIType: typeServer, OpenAICode: "not_implemented"}
	default:
		return Mapping{GRPC: codes.Internal, HTTP: http.StatusInternalServerError, OpenAIType: typeServer, OpenAICode: "internal_error"}
	}
}
