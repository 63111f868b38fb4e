import type { Schemas } from '@trivet/client';
import { Play, Square } from 'lucide-react';
import { useEffect, useRef, useState } from 'react';
import { useApi } from '../app/api';
import { Badge, Button, Card, Failure, Field, inputClass, Table, Td, Th } from '../components/ui';

type Progress = Schemas['ReconcileAuthResponse'] | Schemas['ReconcileBillingResponse'];
type State = 'idle' | 'running' | 'done' | 'stopped' | 'failed';

const SOURCES = [
  ['/api/v1/auth:reconcile', 'Clerk', 'Only objects that changed since this day; objects that Clerk deleted are not found this way.'],
  ['/api/v1/billing:reconcile', 'Stripe', 'Only objects that changed since this day; Stripe reports the last 30 days.'],
] as const;

export default function Reconcile() {
  return (
    <div className="grid gap-4 sm:gap-5">
      <p className="text-sm text-mute">Webhooks keep Trivet up to date. A reconciliation compares every stored object with the provider and repairs what differs, for example after an outage. It also runs automatically at an interval.</p>
      {SOURCES.map(([path, name, hint]) => <Source key={path} path={path} name={name} hint={hint} />)}
    </div>
  );
}

function Source({ path, name, hint }: { path: (typeof SOURCES)[number][0]; name: string; hint: string }) {
  const run = useRun(path);
  const [since, setSince] = useState('');
  return (
    <Card title={name} action={<span aria-live="polite"><RunState state={run.state} /></span>}>
      <form className="flex flex-wrap items-end gap-3" onSubmit={(e) => { e.preventDefault(); void run.start(since); }}>
        <div className="w-full sm:w-80"><Field label="Since" hint={hint}><input type="date" value={since} onChange={(e) => setSince(e.target.value)} className={inputClass} /></Field></div>
        {run.state === 'running'
          ? <Button key="stop" onClick={run.stop}><Square size={16} aria-hidden /> Stop</Button>
          : <Button key="start" kind="primary" type="submit" aria-label={`Reconcile with ${name}`}><Play size={16} aria-hidden /> Reconcile</Button>}
      </form>
      {run.kinds.length > 0 && <div className="mt-4"><Kinds name={name} kinds={run.kinds} /></div>}
      {run.state === 'stopped' && <p className="mt-3 text-sm text-mute">Stopped. The next run resumes from the last checkpoint.</p>}
      {run.error !== undefined && <div className="mt-3"><Failure error={run.error} /></div>}
    </Card>
  );
}

function RunState({ state }: { state: State }) {
  switch (state) {
    case 'running': return <Badge tone="warn">running</Badge>;
    case 'done': return <Badge tone="ok">done</Badge>;
    case 'failed': return <Badge tone="bad">failed</Badge>;
    default: return null;
  }
}

function Kinds({ name, kinds }: { name: string; kinds: readonly Progress[] }) {
  const count = (n: string | undefined) => Number(n ?? 0).toLocaleString();
  return (
    <Table caption={`Compared with ${name}`} head={<><Th>Kind</Th><Th right>Same</Th><Th right>Repaired</Th><Th right>Created</Th><Th right>Removed</Th><Th>State</Th></>}>
      {kinds.map((k) => (
        <tr key={k.kind}>
          <Td>{k.kind?.replaceAll('_', ' ')}</Td><Td right>{count(k.same)}</Td><Td right>{count(k.repaired)}</Td><Td right>{count(k.created)}</Td><Td right>{count(k.removed)}</Td>
          <Td><Badge tone={k.done ? 'ok' : 'mute'}>{k.done ? 'compared' : 'comparing'}</Badge></Td>
        </tr>
      ))}
    </Table>
  );
}

/** A run, with the newest progress of each kind. Leaving the page ends it; the next run resumes. */
function useRun(path: (typeof SOURCES)[number][0]) {
  const { trivet } = useApi();
  const [state, setState] = useState<State>('idle');
  const [kinds, setKinds] = useState<Progress[]>([]);
  const [error, setError] = useState<unknown>();
  const controller = useRef<AbortController | null>(null);
  useEffect(() => () => controller.current?.abort(), []);
  const start = async (since: string) => {
    const abort = new AbortController();
    controller.current = abort;
    setState('running');
    setKinds([]);
    setError(undefined);
    try {
      const body = since ? { since: new Date(`${since}T00:00:00`).toISOString() } : {};
      for await (const piece of trivet.stream(path, { body }, { signal: abort.signal })) setKinds((old) => [...old.filter((k) => k.kind !== piece.kind), piece]);
      setState('done');
    } catch (e) {
      setState(abort.signal.aborted ? 'stopped' : 'failed');
      if (!abort.signal.aborted) setError(e);
    }
  };
  return { state, kinds, error, start, stop: () => controller.current?.abort() };
}
