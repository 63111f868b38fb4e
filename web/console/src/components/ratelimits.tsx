import { RATE_LIMITS, type RateLimit } from '../lib/keys';
import { Field, inputClass } from './ui';

/** The form fields of a key's rate limits. */
export function RateLimits({ values }: { values?: Record<RateLimit, number> }) {
  return RATE_LIMITS.map(([field, label, max]) => (
    <Field key={field} label={label} hint="Empty: the plan's limit"><input name={field} type="number" min={1} max={max} step={1} defaultValue={values?.[field] || ''} className={inputClass} /></Field>
  ));
}
