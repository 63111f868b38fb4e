import { useStatus } from '../app/api';
import { Badge, Card, Failure, Loading, Table, Td, Th } from '../components/ui';
import { integrationNames, serviceNames, tones } from '../lib/status';
import { formatAgo, formatTime } from '../lib/time';

const SUMMARY = { operational: 'Everything works.', degraded: 'Something does not work as it should.', down: 'Nothing works.', unknown: 'The state is not known yet.' };

export default function Status() {
  const status = useStatus();
  if (status.isPending) return <Card><Loading label="Loading the status" /></Card>;
  if (status.isError && !status.data) return <Failure error={status.error} retry={() => void status.refetch()} />;
  const now = Date.now();
  return (
    <div className="grid gap-4 sm:gap-5">
      <Card><p className="flex flex-wrap items-center gap-3"><Badge tone={tones[status.data.status]}>{status.data.status}</Badge> {SUMMARY[status.data.status]}</p></Card>
      <Card title="Integrations">
        <Table caption="Integrations" head={<><Th>Integration</Th><Th>State</Th><Th>Since</Th></>}>
          {Object.entries(status.data.integrations).map(([name, i]) => (
            <tr key={name}>
              <Td wrap><span className="font-medium">{integrationNames[name] ?? name}</span>{i.banner && <span className="block text-warn">{i.banner}</span>}</Td>
              <Td><Badge tone={tones[i.status]}>{i.status}</Badge></Td>
              <Td><time dateTime={i.since} title={formatTime(i.since)}>{formatAgo(i.since, now)}</time></Td>
            </tr>
          ))}
        </Table>
      </Card>
      <Card title="Services">
        <ul className="grid gap-2 sm:grid-cols-3">
          {Object.entries(status.data.services).map(([name, state]) => <li key={name} className="flex items-center justify-between gap-3 text-sm sm:justify-start">{serviceNames[name] ?? name} <Badge tone={tones[state]}>{state}</Badge></li>)}
        </ul>
      </Card>
    </div>
  );
}
