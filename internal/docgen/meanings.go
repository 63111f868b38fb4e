package docgen

import errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"

// meanings says when each reason occurs and what to do.
var meanings = map[errorsv1.ErrorReason]string{
	errorsv1.ErrorReason_ERROR_REASON_INTERNAL:                  "a defect in Trivet; the log has the cause under the request id",
	errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT:          "a field is missing or wrong; `details` names it",
	errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY:            "the body is not the JSON that the path expects",
	errorsv1.ErrorReason_ERROR_REASON_UNSUPPORTED_ENCODING:      "the body is compressed; send it as it is",
	errorsv1.ErrorReason_ERROR_REASON_BODY_TOO_LARGE:            "the body exceeds TRIVET_MAX_BODY_BYTES, or TRIVET_MAX_UPLOAD_BYTES for a form",
	errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND:                 "the path or the object does not exist, or the object belongs to another account",
	errorsv1.ErrorReason_ERROR_REASON_METHOD_NOT_ALLOWED:        "the path does not support this method; `Allow` lists the supported ones",
	errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED:              "no credential was sent",
	errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN:             "the credential is malformed, forged, expired or revoked; `details` says if it has expired: then get a new one",
	errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED:         "the credential is valid, but the caller may not do this",
	errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE:      "the balance, or a spend limit of the member or the API key, does not cover the call; nothing was held or called; where a limit can cover the call later, `retryAfter` says when its next window begins",
	errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED:       "a limit of the plan, the key, the address or the open requests is reached; wait `retryAfter` seconds",
	errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND:           "the model is not in the price list; the message lists the known models",
	errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_ALLOWED:         "the plan or the API key does not include the model",
	errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR:            "the provider failed, or its answer broke off; what it produced is charged",
	errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_REJECTED:         "the provider rejected the request; its message is passed on",
	errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT:          "the provider did not answer in time",
	errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE:       "a part of Trivet or a provider is down; wait `retryAfter` seconds",
	errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR:       "a setting is missing or wrong; the log says which, and only the operator can fix it",
	errorsv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED:         "the caller's deadline passed",
	errorsv1.ErrorReason_ERROR_REASON_CANCELLED:                 "the caller closed the connection",
	errorsv1.ErrorReason_ERROR_REASON_CONFLICT:                  "the object changed at the same time",
	errorsv1.ErrorReason_ERROR_REASON_ALREADY_COMPLETED:         "the idempotency key belongs to a call that is over and billed; `details` has its `request_id` and `cost_nano_usd`, and its answer is not stored",
	errorsv1.ErrorReason_ERROR_REASON_SECRET_ALREADY_SHOWN:      "the idempotency key belongs to an API key that exists; `details` has its `api_key_id`, and its secret is shown only once",
	errorsv1.ErrorReason_ERROR_REASON_IDEMPOTENCY_KEY_REUSED:    "the idempotency key was used for another request; use a new key for each request",
	errorsv1.ErrorReason_ERROR_REASON_REQUEST_IN_PROGRESS:       "the request with this idempotency key still runs; wait `retryAfter` seconds",
	errorsv1.ErrorReason_ERROR_REASON_NOT_IMPLEMENTED:           "the call is in the contract, but it is not implemented yet",
	errorsv1.ErrorReason_ERROR_REASON_CONTEXT_LENGTH_EXCEEDED:   "the input and the requested output exceed the model's context",
	errorsv1.ErrorReason_ERROR_REASON_WEBHOOK_SIGNATURE_INVALID: "the signature of a webhook is missing, wrong or too old",
	errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED:             "the person is banned, deprovisioned (removed by the company's directory) or deleted",
	errorsv1.ErrorReason_ERROR_REASON_API_KEY_MAKER_LEFT:        "the person who made the organization's API key left, or is banned, deprovisioned or deleted; an admin can take the key over",
}
