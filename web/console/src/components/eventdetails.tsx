import type { Schemas } from '@trivet/client';
import { useApiQuery } from '../app/api';
import type { Source } from '../pages/events';
import { formatTime } from '../lib/time';
import { Dialog } from './dialog';
import { Failure, Loading } from './ui';

/** One event: where it stands, what failed, and its payload without personal data. */
export function EventDetails({ source, id, stateName, onClose }: { source: Source; id: string; stateName: (state: Schemas['EventState']) => string; onClose: () => void }) {
  const event = useApiQuery(['event', source.service, source.source, id], async (trivet, signal) => (source.service === 'auth'
    ? await trivet.get('/api/v1/auth/events/{eventId}', { path: { eventId: id } }, { signal })
    : await trivet.get('/api/v1/billing/events/{eventId}', { path: { eventId: id }, query: { ...(source.source && { source: source.source }) } }, { signal })).event);
  const e = event.data;
  return (
    <Dialog title="Event" onClose={onClose}>
      {event.isPending && <Loading label="Loading the event" />}
      {event.isError && <Failure error={event.error} retry={() => void event.refetch()} />}
      {e && (
        <div className="space-y-4 text-sm">
          <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1 break-all">
            {rows(e, stateName).map(([name, value]) => <div key={name} className="contents"><dt className="text-mute">{name}</dt><dd>{value}</dd></div>)}
          </dl>
          {e.failures.length > 0 && (
            <section>
              <h3 className="mb-1 font-medium">Failed attempts</h3>
              <ol className="space-y-1">
                {e.failures.map((f, i) => <li key={i}><span className="text-mute">{f.attempt}. {formatTime(f.endTime)}</span> {f.error}</li>)}
              </ol>
            </section>
          )}
          <section>
            <h3 className="mb-1 font-medium">Payload, without personal data</h3>
            <pre tabIndex={0} className="max-h-64 overflow-auto rounded-lg bg-raised p-3 text-xs">{pretty(e.redactedPayload)}</pre>
          </section>
        </div>
      )}
    </Dialog>
  );
}

function rows(e: Schemas['Event'], stateName: (state: Schemas['EventState']) => string): [string, string][] {
  const all: [string, string | undefined][] = [
    ['Id', e.id], ['Type', e.type], ['Subject', e.subject], ['State', stateName(e.state)], ['Attempts', String(e.attempts)], ['Received', formatTime(e.receiveTime)],
    ['Next attempt', e.nextAttemptTime && formatTime(e.nextAttemptTime)], ['Ended', e.endTime && formatTime(e.endTime)],
  ];
  return all.filter((row): row is [string, string] => !!row[1]);
}

function pretty(json: string): string {
  if (!json) return 'The payload is no longer stored.';
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}
