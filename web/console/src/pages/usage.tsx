import { useMutation } from '@tanstack/react-query';
import { Download } from 'lucide-react';
import { useState } from 'react';
import { useApi, useApiQuery, useModels } from '../app/api';
import { useKeyNames, useMembers } from '../app/names';
import { Bars } from '../charts/bars';
import { Button, Card, Empty, Failure, Loading, Select, Table, Td, Th } from '../components/ui';
import { usd } from '../lib/money';
import { save } from '../lib/save';
import { formatDay, lastDays } from '../lib/time';
import { groupOf, readUsage, stacks, type Grouping, type Usage, type UsageQuery, type UsageRow } from '../lib/usage';

const RANGES = [['7', '7 days'], ['30', '30 days'], ['90', '90 days']] as const;
const GROUPINGS = [['USAGE_GROUPING_MODEL', 'model'], ['USAGE_GROUPING_USER', 'member'], ['USAGE_GROUPING_API_KEY', 'API key']] as const;
const count = (n: string) => Number(n).toLocaleString();

export default function UsagePage() {
  const [range, setRange] = useState<(typeof RANGES)[number][0]>('30');
  const [model, setModel] = useState('');
  const [grouping, setGrouping] = useState<Grouping>('USAGE_GROUPING_MODEL');
  const models = useModels();
  const label = useGroupLabel(grouping);
  const days = lastDays(Number(range), Date.now());
  const query: UsageQuery = { startDay: days[0] as string, endDay: days.at(-1) as string, groupBy: [grouping], ...(model && { model }) };
  const usage = useApiQuery(['usage', query], (trivet, signal) => readUsage(trivet, query, signal));
  const chart = usage.data && stacks(usage.data.rows, days, groupOf[grouping]);
  const by = GROUPINGS.find(([g]) => g === grouping)?.[1] ?? '';
  return (
    <div className="grid gap-4 sm:gap-5">
      <div className="flex flex-wrap items-center gap-3">
        <Select label="Range" value={range} options={RANGES} onChange={setRange} />
        <Select label="By" value={grouping} options={GROUPINGS} onChange={setGrouping} />
        <Select label="Model" value={model} options={[['', 'all models'], ...(models.data?.models ?? []).map((m) => [m.id, m.id] as const)]} onChange={setModel} />
        <Export query={query} disabled={!usage.data?.rows.length} />
      </div>
      {usage.isPending && <Card><Loading label="Loading the usage" rows={6} /></Card>}
      {usage.isError && <Failure error={usage.error} retry={() => void usage.refetch()} />}
      {usage.data && chart && (usage.data.rows.length === 0 ? <Card><Empty title="No usage in this range" /></Card> : (
        <>
          <Card title={`Cost by day and ${by}`}><Bars {...chart} by={by} label={label} /></Card>
          <Rows usage={usage.data} by={by} group={(row) => label(groupOf[grouping](row))} />
        </>
      ))}
    </div>
  );
}

/** How a person knows a group of a grouping. */
function useGroupLabel(grouping: Grouping): (group: string) => string {
  const members = useMembers();
  const keys = useKeyNames();
  switch (grouping) {
    case 'USAGE_GROUPING_USER': return (id) => (id === '' ? 'erased people' : members.name(keys.name(id)));
    case 'USAGE_GROUPING_API_KEY': return (id) => (id === '' ? 'no key (signed in)' : keys.name(id));
    default: return (id) => id;
  }
}

/** Saves the whole report as the server writes it. */
function Export({ query, disabled }: { query: UsageQuery; disabled: boolean }) {
  const { trivet } = useApi();
  const file = useMutation({
    mutationFn: () => trivet.file('/api/v1/billing/usage:export', { query }),
    onSuccess: (content) => save(`usage-${query.startDay}-${query.endDay}.csv`, content),
  });
  return (
    <>
      <Button className="ml-auto" disabled={disabled || file.isPending} onClick={() => file.mutate()}>
        <Download size={16} aria-hidden /> <span aria-live="polite">{file.isPending ? 'Preparing …' : 'CSV'}</span>
      </Button>
      {file.isError && <div className="w-full"><Failure error={file.error} /></div>}
    </>
  );
}

function Rows({ usage, by, group }: { usage: Usage; by: string; group: (row: UsageRow) => string }) {
  const title = `By day and ${by} (days in UTC)`;
  return (
    <Card title={title}>
      <Table caption={title} head={<><Th>Day</Th><Th>{by[0]?.toUpperCase() + by.slice(1)}</Th><Th right>Requests</Th><Th right>Input tokens</Th><Th right>Cached</Th><Th right>Output tokens</Th><Th right>Cost</Th></>}>
        {usage.rows.toReversed().map((row) => (
          <tr key={`${row.day} ${row.model} ${row.userId} ${row.apiKeyId}`}>
            <Td>{formatDay(row.day)}</Td><Td>{group(row)}</Td><Td right>{count(row.requests)}</Td><Td right>{count(row.usage.inputTokens)}</Td>
            <Td right>{count(row.usage.cachedInputTokens)}</Td><Td right>{count(row.usage.outputTokens)}</Td><Td right>{usd(row.costNanoUsd)}</Td>
          </tr>
        ))}
        <tr className="font-semibold">
          <Td>Total</Td><Td /><Td right>{count(usage.total.requests)}</Td><Td right>{count(usage.total.usage.inputTokens)}</Td>
          <Td right>{count(usage.total.usage.cachedInputTokens)}</Td><Td right>{count(usage.total.usage.outputTokens)}</Td><Td right>{usd(usage.total.costNanoUsd)}</Td>
        </tr>
      </Table>
    </Card>
  );
}
