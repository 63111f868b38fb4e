package errorbody

import (
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// text returns the message that a client sees. The integration guide fixes some of these texts, because front ends show
// them. The service's own text, which may be more specific, stays in the log and in the gRPC error.
func text(tree Tree, e *errs.Error) string {
	switch e.Reason {
	case errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED:
		return "Unauthorized"
	case errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN:
		return "Invalid token"
	case errorsv1.ErrorReason_ERROR_REASON_WEBHOOK_SIGNATURE_INVALID:
		return "Invalid webhook signature"
	case errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR:
		return "Configuration error. Please contact support."
	default:
		if fixed := apiText(e.Reason); tree == API && fixed != "" {
			return fixed
		}
		return e.Message
	}
}

// apiText returns the texts that are fixed under /api only. Under /v1 the guide fixes none, and SDKs show developers the
// specific text.
func apiText(reason errorsv1.ErrorReason) string {
	switch reason {
	case errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED:
		return "Too many requests. Please wait a moment and try again."
	case errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE:
		return "Service temporarily unavailable. Please try again later."
	default:
		return ""
	}
}
