import type { ErrorCode } from './errors.js';
import { retries } from './gen/retries.js';

/** What decides whether a call may be repeated. */
export interface Repeatable {
  method: string;
  path: string;
  idempotencyKey?: string | undefined;
}

const BILLED = /^\/(v1|api\/v1\/(chat|embeddings))(\/|:|$)/;

/**
 * Whether a call that failed may be sent again. docs/errors.md says for each reason whether anything can have happened. A
 * call that costs money is repeated only with an idempotency key.
 */
export function mayRetry(call: Repeatable, code: ErrorCode): boolean {
  const rule = code === 'NETWORK_ERROR' ? 'idempotent' : code === 'UNKNOWN' ? 'never' : retries[code];
  const repeatable = call.method !== 'POST' || call.idempotencyKey !== undefined;
  if (rule === 'safe') return repeatable || !BILLED.test(call.path);
  return rule === 'idempotent' && repeatable;
}

const FIRST = 500;
const LONGEST = 8_000;

/** How long to wait before the next attempt, in ms: what the server says, plus a random part, else full jitter. */
export function delay(attempt: number, retryAfter: number | undefined, random: () => number): number {
  if (retryAfter !== undefined) return retryAfter * 1000 + random() * FIRST;
  return random() * Math.min(LONGEST, FIRST * 2 ** attempt);
}

/** Waits; rejects with the signal's reason as soon as it aborts. */
export function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}
