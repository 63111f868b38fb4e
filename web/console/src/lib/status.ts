import type { Schemas } from '@trivet/client';
import type { Tone } from '../components/ui';

export const tones: Record<Schemas['ServiceState'], Tone> = { operational: 'ok', degraded: 'warn', down: 'bad', unknown: 'mute' };

export const integrationNames: Record<string, string> = { clerk: 'Clerk (sign-in)', openai: 'OpenAI (models)', stripe: 'Stripe (payments)', email: 'Mail server (notices)' };
export const serviceNames: Record<string, string> = { auth: 'Identity', ai: 'Models', billing: 'Billing' };

/** A share from 0 to 1, in percent; 100 % is shown only when nothing failed. */
export function formatShare(share: number): string {
  const tenths = Math.floor(share * 1000 + 1e-9) / 1000;
  return new Intl.NumberFormat(undefined, { style: 'percent', maximumFractionDigits: 1 }).format(tenths);
}
