import { formatNanoUsd } from '@trivet/client';

/** An amount for a card or a table: cents, and more digits below a cent. */
export const usd = (nano: string | bigint, digits?: number): string => formatNanoUsd(nano, digits === undefined ? {} : { digits });

/** Converts a typed amount in dollars, such as "12.50" or "1,000", to nano-dollars, or returns undefined if the text is not an amount. A comma may only
 * group thousands: "12,50" is refused, because reading it as 1,250 dollars would be wrong. */
export function nanoOf(typed: string): string | undefined {
  const match = /^\$?(\d{1,9}|\d{1,3}(?:,\d{3}){1,2})(?:\.(\d{1,9}))?$/.exec(typed.trim());
  return match?.[1] && (BigInt(match[1].replaceAll(',', '')) * 1_000_000_000n + BigInt((match[2] ?? '').padEnd(9, '0'))).toString();
}

/** An amount of nano-dollars as a person types it, exact and in no locale: nanoOf reads it. */
export function typedDollars(nano: string): string {
  const digits = nano.padStart(10, '0');
  return `${digits.slice(0, -9)}.${digits.slice(-9).replace(/0+$/, '').padEnd(2, '0')}`;
}

/** What share of whole a part is, in percent from 0 to 100, rounded to a tenth. */
export function percent(part: bigint, whole: bigint): number {
  if (whole <= 0n || part <= 0n) return 0;
  const tenths = (part * 1000n + whole / 2n) / whole;
  return Number(tenths > 1000n ? 1000n : tenths) / 10;
}

/** The smallest 1, 2 or 5 times a power of ten that, times steps, reaches amount. */
export function step(amount: bigint, steps: bigint): bigint {
  for (let unit = 1n; ; unit *= 10n) for (const factor of [1n, 2n, 5n]) if (unit * factor * steps >= amount) return unit * factor;
}

/** How many decimals of a dollar an axis needs so that its steps differ. */
export function decimals(stepSize: bigint): number {
  let digits = 9;
  for (let rest = stepSize; digits > 0 && rest > 0n && rest % 10n === 0n; rest /= 10n) digits--;
  return digits === 0 ? 0 : Math.max(2, digits);
}

/** Currencies whose minor unit at Stripe differs from the one of ISO 4217. */
const STRIPE_DIGITS: Record<string, number> = { ISK: 2, UGX: 2 };

/** An amount in the minor units of a currency, such as cents, as Stripe counts them. */
export function minorUnits(amount: string, currency: string): string {
  const code = currency.toUpperCase();
  const digits = STRIPE_DIGITS[code] ?? new Intl.NumberFormat(undefined, { style: 'currency', currency: code }).resolvedOptions().maximumFractionDigits ?? 2;
  const negative = amount.startsWith('-');
  const padded = amount.replace('-', '').padStart(digits + 1, '0');
  const text = `${negative ? '-' : ''}${padded.slice(0, padded.length - digits)}${digits ? `.${padded.slice(-digits)}` : ''}`;
  return new Intl.NumberFormat(undefined, { style: 'currency', currency: code, minimumFractionDigits: digits }).format(text as unknown as number); // a string is exact
}
