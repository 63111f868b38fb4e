import { formatNanoUsd } from '@trivet/client';

/** An amount for a card or a table: cents, and more digits below a cent. */
export const usd = (nano: string | bigint, digits?: number): string => formatNanoUsd(nano, digits === undefined ? {} : { digits });

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
