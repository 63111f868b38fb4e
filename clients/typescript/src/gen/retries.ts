// Written by `make docs` from the table of docs/errors.md.
import type { components } from './api.js';

/** When a call that failed with a reason may be sent again. */
export const retries: Readonly<Record<components['schemas']['ErrorReason'], 'safe' | 'idempotent' | 'never'>> = {
  INTERNAL: 'idempotent',
  INVALID_ARGUMENT: 'never',
  MALFORMED_BODY: 'never',
  BODY_TOO_LARGE: 'never',
  NOT_FOUND: 'never',
  METHOD_NOT_ALLOWED: 'never',
  UNAUTHORIZED: 'never',
  INVALID_TOKEN: 'never',
  PERMISSION_DENIED: 'never',
  INSUFFICIENT_BALANCE: 'never',
  RATE_LIMIT_EXCEEDED: 'safe',
  MODEL_NOT_FOUND: 'never',
  MODEL_NOT_ALLOWED: 'never',
  UPSTREAM_ERROR: 'idempotent',
  UPSTREAM_REJECTED: 'never',
  UPSTREAM_TIMEOUT: 'idempotent',
  SERVICE_UNAVAILABLE: 'idempotent',
  CONFIGURATION_ERROR: 'never',
  DEADLINE_EXCEEDED: 'idempotent',
  CANCELLED: 'never',
  CONFLICT: 'never',
  NOT_IMPLEMENTED: 'never',
  CONTEXT_LENGTH_EXCEEDED: 'never',
  WEBHOOK_SIGNATURE_INVALID: 'never',
  USER_DISABLED: 'never',
  API_KEY_MAKER_LEFT: 'never',
  UNSUPPORTED_ENCODING: 'never',
};
