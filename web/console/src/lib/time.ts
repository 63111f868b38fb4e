const day = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', timeZone: 'UTC' });
const date = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });

/** A day of the usage report, which is in UTC. */
export const formatDay = (iso: string): string => day.format(new Date(`${iso}T00:00:00Z`));
export const formatDate = (iso: string): string => date.format(new Date(iso));
export const formatTime = (iso: string): string => moment.format(new Date(iso));

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [['day', 86_400], ['hour', 3_600], ['minute', 60], ['second', 1]];

/** How long ago, or until when, something is. */
export function formatAgo(iso: string, now: number): string {
  const seconds = Math.round((new Date(iso).getTime() - now) / 1000);
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ['second', 1];
  return relative.format(Math.trunc(seconds / size), unit);
}

/** The last days up to today, in UTC, as the usage report names them. */
export function lastDays(count: number, now: number): string[] {
  return Array.from({ length: count }, (_, i) => new Date(now - (count - 1 - i) * 86_400_000).toISOString().slice(0, 10));
}

/** A duration: milliseconds below a second, then seconds; a dash when it is unknown. */
export function formatMillis(millis: number): string {
  if (millis <= 0) return '–';
  const [value, unit] = millis < 1000 ? [millis, 'millisecond'] : [millis / 1000, 'second'];
  return new Intl.NumberFormat(undefined, { style: 'unit', unit, maximumSignificantDigits: 3 }).format(value);
}
