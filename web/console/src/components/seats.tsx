import type { Schemas } from '@trivet/client';
import { inputClass } from './ui';

/** How many seats of a plan that is sold by seat. The value is NaN while the field is empty. */
export function Seats({ bounds, value, onChange }: { bounds: Schemas['PlanSeats']; value: number; onChange: (seats: number) => void }) {
  return (
    <label className="block text-sm">
      <span className="font-medium">Seats</span> <span className="text-xs text-mute">{bounds.min.toLocaleString()} to {bounds.max.toLocaleString()}</span>
      <input type="number" min={bounds.min} max={bounds.max} required value={Number.isNaN(value) ? '' : value} onChange={(e) => onChange(e.target.valueAsNumber)} className={`${inputClass} mt-1`} />
    </label>
  );
}
