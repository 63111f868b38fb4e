import { useStatus } from '../app/api';
import { Badge, Card, Failure, Loading, Table, Td, Th } from '../components/ui';
import type { Schemas } from '@trivet/client';
import { formatShare, integrationNames, serviceNames, tones } from '../lib/status';
import { formatAgo, formatMillis, formatTime } from '../lib/time';

const SUMMARY = { operational: 'Everything works.', degraded: 'Something does not work as it should.', down: 'Nothing works.', unknown: 'The state is not known yet.' };

export default function Status() {
  const status = useStatus();
  if (status.isPending) return <Card><Loading label="Loading the status" /></Card>;
  if (status.isError && !status.data) return <Failure error={status.error} retry={() => void status.refetch()} />;
  const now = Date.now();
  return (
    <div className="grid gap-4 sm:gap-5">
      <Card><p className="flex flex-wrap items-center gap-3"><Badge tone={tones[status.data.status]}>{status.data.status}</Badge> {SUMMARY[status.data.status]}</p></Card>
      <Integrations all={Object.entries(status.data.integrations)} now={now} />
      <Card title="Services">
        <ul className="grid gap-2 sm:grid-cols-3">
          {Object.entries(status.data.services).map(([name, state]) => <li key={name} className="flex items-center justify-between gap-3 text-sm sm:justify-start">{serviceNames[name] ?? name} <Badge tone={tones[state]}>{state}</Badge></li>)}
        </ul>
      </Card>
    </div>
  );
}

/** The figures are there for operators only. */
function Integrations({ all, now }: { all: readonly [string, Schemas['IntegrationStatus']][]; now: number }) {
  const window = all.find(([, i]) => i.figures)?.[1].figures?.windowSeconds;
  return (
    <Card title="Integrations">
      <Table caption="Integrations" head={<><Th>Integration</Th><Th>State</Th><Th>Since</Th>{window && <><Th right>Success</Th><Th right>p95</Th><Th right>Calls</Th><Th right>Rate limited</Th></>}</>}>
        {all.map(([name, i]) => (
          <tr key={name}>
            <Td wrap><span className="font-medium">{integrationNames[name] ?? name}</span>{i.banner && <span className="block text-warn">{i.banner}</span>}</Td>
            <Td><Badge tone={tones[i.status]}>{i.status}</Badge></Td>
            <Td><time dateTime={i.since} title={formatTime(i.since)}>{formatAgo(i.since, now)}</time></Td>
            {window && <Figures of={i.figures} />}
          </tr>
        ))}
      </Table>
      {window && <p className="mt-3 text-xs text-mute">Success, p95 (the time until the answer began) and calls are those of the last {Math.round(window / 60)} minutes, as one process of the service sees them.</p>}
    </Card>
  );
}

function Figures({ of: f }: { of: Schemas['IntegrationStatus']['figures'] }) {
  return (
    <>
      <Td right>{f?.successRate === undefined ? '–' : formatShare(f.successRate)}</Td>
      <Td right>{formatMillis(f?.p95LatencyMs ?? 0)}</Td>
      <Td right>{f?.calls.toLocaleString() ?? '–'}</Td>
      <Td right>{f?.rateLimitHits.toLocaleString() ?? '–'}</Td>
    </>
  );
}
