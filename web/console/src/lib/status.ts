import type { Schemas } from '@trivet/client';
import type { Tone } from '../components/ui';

export const tones: Record<Schemas['ServiceState'], Tone> = { operational: 'ok', degraded: 'warn', down: 'bad', unknown: 'mute' };

export const integrationNames: Record<string, string> = { clerk: 'Clerk (sign-in)', openai: 'OpenAI (models)', stripe: 'Stripe (payments)' };
export const serviceNames: Record<string, string> = { auth: 'Identity', ai: 'Models', billing: 'Billing' };
