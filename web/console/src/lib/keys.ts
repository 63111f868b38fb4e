import type { Schemas } from '@trivet/client';
import { usd } from './money';

type Key = Schemas['ApiKey'];

/** The rate limits of a key: the field, its label, its maximum, and how a value reads in the list of keys. */
export const RATE_LIMITS = [
  ['requestsPerMinute', 'Requests per minute', 1_000_000, 'requests per minute'],
  ['requestsPerDay', 'Requests per day, in UTC', 1_000_000_000, 'requests per day'],
  ['tokensPerMinute', 'Tokens per minute', 1_000_000_000, 'tokens per minute'],
  ['concurrentStreams', 'Concurrent streams', 100_000, 'concurrent streams'],
] as const;

export type RateLimit = (typeof RATE_LIMITS)[number][0];

/** The limits of a key as people read them. */
export function limitsOf(key: Pick<Key, RateLimit | 'spendLimitNanoUsd'>): string {
  const limits = RATE_LIMITS.flatMap(([field, , , unit]) => (key[field] > 0 ? [`${key[field].toLocaleString('en-US')} ${unit}`] : []));
  if (BigInt(key.spendLimitNanoUsd) > 0n) limits.unshift(`${usd(key.spendLimitNanoUsd)} per period`);
  return limits.length ? limits.join(', ') : "the plan's";
}

/** The limits that a form has; an empty field is 0, the plan's limit. */
export function readLimits(form: FormData): Record<RateLimit, number> {
  return Object.fromEntries(RATE_LIMITS.map(([field]) => [field, Number(form.get(field) || 0)])) as Record<RateLimit, number>;
}

/** What a form changes of a key. A field that stays as it is is not sent, so that it does not undo somebody else's change. */
export function changesOf(key: Pick<Key, RateLimit | 'name'>, form: FormData): Schemas['UpdateApiKeyBody'] {
  const all = { name: String(form.get('name') ?? '').trim(), ...readLimits(form) };
  return Object.fromEntries(Object.entries(all).filter(([field, value]) => key[field as keyof typeof all] !== value));
}
