import type { Schemas } from './types.js';

/** A field that is wrong and what is wrong with it, or facts about the reason by name. */
export type ErrorDetail = NonNullable<Schemas['Error']['details']>[number];

/** Why a call failed: a reason of docs/errors.md, NETWORK_ERROR when no whole answer came, or UNKNOWN when the answer is not Trivet's. */
export type ErrorCode = Schemas['ErrorReason'] | 'NETWORK_ERROR' | 'UNKNOWN';

/** Every failed call throws one, except an aborted one, which throws the signal's reason. */
export class TrivetError extends Error {
  override readonly name: string = 'TrivetError';
  /** The HTTP status; 0 when no answer came. */
  readonly status: number;
  readonly code: ErrorCode;
  /** The request's id, which the server's log has, too. */
  readonly requestId: string | undefined;
  /** Seconds to wait before a retry, when waiting helps. */
  readonly retryAfter: number | undefined;
  readonly details: readonly ErrorDetail[];

  constructor(
    status: number,
    code: ErrorCode,
    message: string,
    more: { requestId?: string | undefined; retryAfter?: number | undefined; details?: readonly ErrorDetail[] | undefined; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.status = status;
    this.code = code;
    this.requestId = more.requestId;
    this.retryAfter = more.retryAfter;
    this.details = more.details ?? [];
  }
}

/** Reads the error of an answer that is not a success, in the form of /api or of /v1. */
export async function errorOf(response: Response): Promise<TrivetError> {
  const text = await response.text().catch(() => '');
  return errorFrom(text, response.status, response.headers);
}

/** Reads an error body; one that is not Trivet's becomes UNKNOWN. */
export function errorFrom(text: string, status: number, headers: Headers): TrivetError {
  const body = object(parse(text));
  const requestId = string(body['requestId']) ?? headers.get('x-request-id') ?? undefined;
  const retryAfter = number(body['retryAfter']) ?? number(Number(headers.get('retry-after') ?? Number.NaN));
  const openAI = object(body['error']);
  const message = string(body['error']) ?? string(openAI['message']) ?? `The server answered ${status} without a reason.`;
  const code = string(body['code'])?.toUpperCase() ?? string(openAI['code'])?.toUpperCase() ?? 'UNKNOWN';
  const details = Array.isArray(body['details']) ? (body['details'] as ErrorDetail[]) : undefined;
  return new TrivetError(status, code as ErrorCode, message, { requestId, retryAfter, details });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function object(value: unknown): Record<string, unknown> {
  return value !== null && typeof value === 'object' ? (value as Record<string, unknown>) : {};
}

function string(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined;
}
