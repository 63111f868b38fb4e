/** An amount in nano-dollars as the API writes it: a decimal string. One dollar is 1000000000. */
export type NanoUsd = string;

const NANO = 1_000_000_000n;

/** Adds amounts exactly. */
export function addNanoUsd(...amounts: readonly (NanoUsd | bigint)[]): bigint {
  return amounts.reduce<bigint>((sum, amount) => sum + BigInt(amount), 0n);
}

/** Reads an amount in dollars, such as "12.50", exactly. Throws on more than nine decimals. */
export function parseNanoUsd(dollars: string): bigint {
  const match = /^(-?)(\d+)(?:\.(\d{1,9}))?$/.exec(dollars);
  if (!match) throw new RangeError(`${JSON.stringify(dollars)} is not an amount in dollars such as "12.50", with at most nine decimals.`);
  const amount = BigInt(match[2] ?? '0') * NANO + BigInt((match[3] ?? '').padEnd(9, '0'));
  return match[1] === '-' ? -amount : amount;
}

/**
 * Writes an amount in dollars for a person. digits is the number of decimals, 0 to 9; the default is two, and as many more
 * as it takes to show two digits of an amount below a cent. Halves are rounded away from zero.
 */
export function formatNanoUsd(amount: NanoUsd | bigint, options: { locale?: string; digits?: number } = {}): string {
  const nano = BigInt(amount);
  const size = nano < 0n ? -nano : nano;
  const digits = options.digits ?? (size === 0n || size >= NANO / 100n ? 2 : Math.min(9, 11 - size.toString().length));
  const unit = 10n ** BigInt(9 - digits);
  const rounded = ((size + unit / 2n) / unit) * unit;
  const format = new Intl.NumberFormat(options.locale, { style: 'currency', currency: 'USD', minimumFractionDigits: digits, maximumFractionDigits: digits });
  // The string form is exact; a number would lose digits above 2^53. Node 20 and browsers format decimal strings exactly.
  const text = `${nano < 0n && rounded > 0n ? '-' : ''}${rounded / NANO}.${(rounded % NANO).toString().padStart(9, '0')}`;
  return format.format(text as unknown as number);
}
