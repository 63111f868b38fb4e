import type { Schemas } from '@trivet/client';
import type { Tone } from '../components/ui';

export type Outcome = Schemas['Outcome'];

export const OUTCOMES: readonly (readonly [Outcome, string])[] = [
  ['OUTCOME_UNSPECIFIED', 'all'], ['OUTCOME_COMPLETED', 'completed'], ['OUTCOME_CALLER_LEFT', 'caller left'], ['OUTCOME_UPSTREAM_FAILED', 'provider failed'],
  ['OUTCOME_ABANDONED', 'abandoned'], ['OUTCOME_REFUSED', 'refused'], ['OUTCOME_REPLACED', 'replaced'],
];

export const outcomeName = (outcome: Outcome): string => (outcome === 'OUTCOME_UNSPECIFIED' ? 'unknown' : OUTCOMES.find(([o]) => o === outcome)?.[1] ?? outcome);

const tones: Partial<Record<Outcome, Tone>> = {
  OUTCOME_COMPLETED: 'ok', OUTCOME_CALLER_LEFT: 'mute', OUTCOME_UPSTREAM_FAILED: 'bad', OUTCOME_ABANDONED: 'warn', OUTCOME_REFUSED: 'warn', OUTCOME_REPLACED: 'mute',
};

export const outcomeTone = (outcome: Outcome): Tone => tones[outcome] ?? 'mute';

export interface RequestFilter {
  /** Another account, for operators; empty for the caller's own. */
  accountId: string;
  /** Days as a date input has them, in the person's time zone; empty for no bound. */
  startDay: string;
  endDay: string;
  outcome: Outcome;
  model: string;
  userId: string;
  apiKeyId: string;
  requestId: string;
}

export const emptyFilter: RequestFilter = { accountId: '', startDay: '', endDay: '', outcome: 'OUTCOME_UNSPECIFIED', model: '', userId: '', apiKeyId: '', requestId: '' };

export type RequestQuery = Partial<Record<'accountId' | 'startTime' | 'endTime' | 'model' | 'userId' | 'apiKeyId' | 'requestId', string>> & { outcome?: Outcome };

/** The query of a filter: only what is set. The end day is included. */
export function requestQuery(f: RequestFilter): RequestQuery {
  const query: RequestQuery = {};
  if (f.startDay) query.startTime = midnight(f.startDay, 0);
  if (f.endDay) query.endTime = midnight(f.endDay, 1);
  if (f.outcome !== 'OUTCOME_UNSPECIFIED') query.outcome = f.outcome;
  for (const name of ['accountId', 'model', 'userId', 'apiKeyId', 'requestId'] as const) if (f[name]) query[name] = f[name];
  return query;
}

/** The begin of a day, or of a later one, in the person's time zone. */
function midnight(day: string, later: number): string {
  const [year, month, date] = day.split('-').map(Number);
  return new Date(year ?? 0, (month ?? 1) - 1, (date ?? 1) + later).toISOString();
}
