import type { Schemas } from '@trivet/client';
import { inputClass } from './ui';

/** The maximum of seats, which may be less by the year. */
export const mostSeats = (bounds: Schemas['PlanSeats'], interval: Schemas['BillingInterval']): number => (interval === 'BILLING_INTERVAL_YEAR' && bounds.yearlyMax) || bounds.max;

/** How many seats of a plan that is sold by seat. The value is NaN while the field is empty. */
export function Seats({ bounds, interval, value, onChange }: { bounds: Schemas['PlanSeats']; interval: Schemas['BillingInterval']; value: number; onChange: (seats: number) => void }) {
  const max = mostSeats(bounds, interval);
  return (
    <label className="block text-sm">
      <span className="font-medium">Seats</span> <span className="text-xs text-mute">{bounds.min.toLocaleString()} to {max.toLocaleString()}</span>
      <input type="number" min={bounds.min} max={max} required value={Number.isNaN(value) ? '' : value} onChange={(e) => onChange(e.target.valueAsNumber)} className={`${inputClass} mt-1`} />
    </label>
  );
}
