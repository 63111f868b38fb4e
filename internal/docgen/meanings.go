package docgen

import errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"

// meanings says for people when each reason comes and what to do.
var meanings = map[errorsv1.ErrorReason]string{
	errorsv1.ErrorReason_ERROR_REASON_INTERNAL:                  "a defect in Trivet; the log has the cause under the request id",
	errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT:          "a field is missing or out of range; `details` names it",
	errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY:            "the body is not the JSON that the path takes",
	errorsv1.ErrorReason_ERROR_REASON_BODY_TOO_LARGE:            "the body is above TRIVET_MAX_BODY_BYTES",
	errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND:                 "no such path or object, or it belongs to somebody else",
	errorsv1.ErrorReason_ERROR_REASON_METHOD_NOT_ALLOWED:        "the path takes another method; `Allow` lists them",
	errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED:              "no credential was sent",
	errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN:             "the credential is malformed, forged, expired or revoked; `details` tells an expired token: get a new one",
	errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED:         "the credential is good and may not do this",
	errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE:      "the balance less what is held does not afford the call; nothing was held or called",
	errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED:       "a limit of the plan, of the key or of the address; wait `retryAfter` seconds",
	errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND:           "the model is not in the price list; the message lists the known ones",
	errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_ALLOWED:         "the plan or the API key does not include the model",
	errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR:            "the provider failed, or its answer broke off; what it produced is billed",
	errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_REJECTED:         "the provider refused the request; its message is passed on",
	errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT:          "the provider did not answer in time",
	errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE:       "a part of Trivet or a provider is down; wait `retryAfter` seconds",
	errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR:       "a setting is missing or wrong; only the operator can mend it, and the log says which",
	errorsv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED:         "the caller's deadline passed",
	errorsv1.ErrorReason_ERROR_REASON_CANCELLED:                 "the caller went away; nobody reads this",
	errorsv1.ErrorReason_ERROR_REASON_CONFLICT:                  "the object changed meanwhile, or an idempotency key was used for something else",
	errorsv1.ErrorReason_ERROR_REASON_NOT_IMPLEMENTED:           "the call belongs to the contract and is not built yet",
	errorsv1.ErrorReason_ERROR_REASON_CONTEXT_LENGTH_EXCEEDED:   "input and wanted output exceed what the model can take",
	errorsv1.ErrorReason_ERROR_REASON_WEBHOOK_SIGNATURE_INVALID: "a webhook's signature is missing, wrong or stale",
	errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED:             "the person is banned, deprovisioned (removed by the company's directory) or deleted",
	errorsv1.ErrorReason_ERROR_REASON_API_KEY_MAKER_LEFT:        "the person who made the organization's API key left, or is banned, deprovisioned or deleted; an admin can take the key over",
}
