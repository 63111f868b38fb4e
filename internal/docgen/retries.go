package docgen

import (
	"fmt"
	"strings"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// RetriesFile is the path of the file that [Retries] generates.
const RetriesFile = "clients/typescript/src/gen/retries.ts"

// retry says when the same call may be sent again.
type retry string

const (
	retryNever      retry = "never"      // another attempt fails in the same way
	retryIdempotent retry = "idempotent" // the call may have had an effect: only a repeatable call may be sent again
	retrySafe       retry = "safe"       // the call was refused before it had an effect
)

// retryOf returns the rule of a reason.
func retryOf(reason errorsv1.ErrorReason) retry {
	switch reason {
	case errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, errorsv1.ErrorReason_ERROR_REASON_REQUEST_IN_PROGRESS:
		return retrySafe
	case errorsv1.ErrorReason_ERROR_REASON_INTERNAL,
		errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR,
		errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT,
		errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
		errorsv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED:
		return retryIdempotent
	default:
		return retryNever
	}
}

// Retries returns the table of retry rules for the TypeScript client.
func Retries() string {
	var b strings.Builder
	b.WriteString("// Written by `make docs` from the table of docs/errors.md.\nimport type { components } from './api.js';\n\n")
	b.WriteString("/** When a call that failed with a reason may be sent again. */\n")
	b.WriteString("export const retries: Readonly<Record<components['schemas']['ErrorReason'], 'safe' | 'idempotent' | 'never'>> = {\n")
	for _, reason := range reasons() {
		fmt.Fprintf(&b, "  %s: '%s',\n", errs.Code(reason), retryOf(reason))
	}
	b.WriteString("};\n")
	return b.String()
}
