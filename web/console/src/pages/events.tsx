import { useInfiniteQuery, useMutation, useQueryClient } from '@tanstack/react-query';
import type { Schemas } from '@trivet/client';
import { RotateCcw } from 'lucide-react';
import { useState } from 'react';
import { useApi } from '../app/api';
import { EventDetails } from '../components/eventdetails';
import { Badge, Button, Card, Empty, Failure, Loading, Select, Table, Td, Th, inputClass, type Tone } from '../components/ui';
import { formatAgo, formatTime } from '../lib/time';

/** Where events come from, or go to: the service that has them, and its name for them. */
export interface Source {
  service: 'auth' | 'billing';
  source?: 'webhook' | 'email';
  empty: string;
}
type SourceName = 'clerk' | 'stripe' | 'webhook' | 'email';

const SOURCES: Record<SourceName, Source> = {
  clerk: { service: 'auth', empty: 'Events appear here as soon as Clerk sends them.' },
  stripe: { service: 'billing', empty: 'Events appear here as soon as Stripe sends them.' },
  webhook: { service: 'billing', source: 'webhook', empty: 'The webhooks of notices appear here while BILLING_EVENTS_URL is set.' },
  email: { service: 'billing', source: 'email', empty: 'The e-mails of notices appear here while SMTP_ADDR is set.' },
};
const SOURCE_NAMES: readonly (readonly [SourceName, string])[] = [['clerk', 'from Clerk'], ['stripe', 'from Stripe'], ['webhook', 'webhooks sent'], ['email', 'e-mails sent']];
type State = Schemas['EventState'];

const STATES: readonly (readonly [State, string])[] = [
  ['EVENT_STATE_UNSPECIFIED', 'all'], ['EVENT_STATE_PENDING', 'pending'], ['EVENT_STATE_LEASED', 'running'], ['EVENT_STATE_DONE', 'done'], ['EVENT_STATE_DEAD', 'dead'], ['EVENT_STATE_IGNORED', 'ignored'],
];
const TONES: Partial<Record<State, Tone>> = {
  EVENT_STATE_PENDING: 'warn', EVENT_STATE_LEASED: 'warn', EVENT_STATE_DONE: 'ok', EVENT_STATE_DEAD: 'bad', EVENT_STATE_IGNORED: 'mute',
};
const stateName = (state: State) => STATES.find(([s]) => s === state)?.[1] ?? state;

export default function Events() {
  const { trivet, scope } = useApi();
  const [name, setName] = useState<SourceName>('clerk');
  const source = SOURCES[name];
  const [state, setState] = useState<State>('EVENT_STATE_UNSPECIFIED');
  const [type, setType] = useState('');
  const [subject, setSubject] = useState('');
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [shown, setShown] = useState<string>();
  const filter = { ...(state !== 'EVENT_STATE_UNSPECIFIED' && { state }), ...(type && { type }), ...(subject && { subject }) };
  const events = useInfiniteQuery({
    queryKey: ['events', name, filter, scope],
    initialPageParam: '',
    refetchInterval: 10_000,
    queryFn: ({ signal, pageParam }) => {
      const page = { ...filter, pageSize: 50, ...(pageParam && { pageToken: pageParam }) };
      return source.service === 'auth'
        ? trivet.get('/api/v1/auth/events', { query: page }, { signal })
        : trivet.get('/api/v1/billing/events', { query: { ...page, ...(source.source && { source: source.source }) } }, { signal });
    },
    getNextPageParam: (last) => last.nextPageToken || undefined,
  });
  const all = events.data?.pages.flatMap((page) => page.events) ?? [];
  const choose = (change: () => void) => {
    change();
    setChosen(new Set());
  };
  return (
    <div className="grid gap-4 sm:gap-5">
      <form className="flex flex-wrap items-center gap-3" onSubmit={(e) => { e.preventDefault(); const f = new FormData(e.currentTarget); choose(() => { setType(String(f.get('type')).trim()); setSubject(String(f.get('subject')).trim()); }); }}>
        <Select label="Source" value={name} options={SOURCE_NAMES} onChange={(s) => choose(() => setName(s))} />
        <Select label="State" value={state} options={STATES} onChange={(s) => choose(() => setState(s))} />
        <input name="type" aria-label="Type" placeholder="Type, such as user.updated" className={`${inputClass} sm:w-56!`} />
        <input name="subject" aria-label="Subject" placeholder="Subject, such as user_2abc" className={`${inputClass} sm:w-56!`} />
        <Button type="submit">Filter</Button>
      </form>
      <Redrive key={name} source={source} chosen={chosen} onDone={() => setChosen(new Set())} />
      <Card>
        {events.isPending && <Loading label="Loading the events" />}
        {events.isError && <Failure error={events.error} retry={() => void events.refetch()} />}
        {events.isSuccess && all.length === 0 && <Empty title="No events"><p>{source.empty}</p></Empty>}
        {all.length > 0 && <Rows events={all} chosen={chosen} setChosen={setChosen} show={setShown} />}
        {events.hasNextPage && <Button className="mt-3" disabled={events.isFetchingNextPage} onClick={() => void events.fetchNextPage()}>{events.isFetchingNextPage ? 'Loading …' : 'Show more'}</Button>}
      </Card>
      {shown && <EventDetails source={source} id={shown} stateName={stateName} onClose={() => setShown(undefined)} />}
    </div>
  );
}

function Rows({ events, chosen, setChosen, show }: { events: readonly Schemas['Event'][]; chosen: ReadonlySet<string>; setChosen: (ids: ReadonlySet<string>) => void; show: (id: string) => void }) {
  const now = Date.now();
  const toggle = (id: string) => {
    const next = new Set(chosen);
    if (!next.delete(id)) next.add(id);
    setChosen(next);
  };
  return (
    <Table caption="Events" head={<><Th><span className="sr-only">Choose</span></Th><Th>Type</Th><Th>Subject</Th><Th>State</Th><Th right>Attempts</Th><Th>Received</Th><Th>Last error</Th></>}>
      {events.map((e) => (
        <tr key={e.id}>
          <Td>{e.state === 'EVENT_STATE_DEAD' && <input type="checkbox" aria-label={`Choose ${e.id}`} checked={chosen.has(e.id)} onChange={() => toggle(e.id)} />}</Td>
          <Td><button type="button" className="text-left underline" onClick={() => show(e.id)}>{e.type || '(unreadable)'}</button></Td>
          <Td><span title={e.subject} className="block max-w-64 truncate">{e.subject}</span></Td>
          <Td><Badge tone={TONES[e.state] ?? 'mute'}>{stateName(e.state)}</Badge></Td>
          <Td right>{e.attempts}</Td>
          <Td><time dateTime={e.receiveTime} title={formatTime(e.receiveTime)} className="whitespace-nowrap">{formatAgo(e.receiveTime, now)}</time></Td>
          <Td wrap><span className="line-clamp-2 max-w-72 break-words text-mute">{e.lastError}</span></Td>
        </tr>
      ))}
    </Table>
  );
}

/** Tries dead events again: those that are chosen, or all. */
function Redrive({ source, chosen, onDone }: { source: Source; chosen: ReadonlySet<string>; onDone: () => void }) {
  const { trivet } = useApi();
  const queries = useQueryClient();
  const redrive = useMutation({
    mutationFn: (body: Schemas['RedriveAuthEventsRequest']) => source.service === 'auth'
      ? trivet.post('/api/v1/auth/events:redrive', { body })
      : trivet.post('/api/v1/billing/events:redrive', { body: { ...body, ...(source.source && { source: source.source }) } }),
    onSuccess: async () => {
      onDone();
      await queries.invalidateQueries({ queryKey: ['events'] });
    },
  });
  return (
    <div className="flex flex-wrap items-center gap-3">
      <Button disabled={chosen.size === 0 || redrive.isPending} onClick={() => redrive.mutate({ eventIds: [...chosen] })}><RotateCcw size={16} aria-hidden /> Redrive {chosen.size || 'chosen'}</Button>
      <Button disabled={redrive.isPending} onClick={() => redrive.mutate({ allDead: true })}>Redrive all dead</Button>
      <span aria-live="polite" className="text-sm text-mute">{redrive.isPending ? 'Redriving …' : redrive.data ? `${redrive.data.redriven} redriven` : ''}</span>
      {redrive.isError && <Failure error={redrive.error} />}
    </div>
  );
}
