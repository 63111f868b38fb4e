import { Download } from 'lucide-react';
import { useState } from 'react';
import { useApiQuery, useModels } from '../app/api';
import { Bars } from '../charts/bars';
import { Button, Card, Empty, Failure, Loading, Select, Table, Td, Th } from '../components/ui';
import { csv, save } from '../lib/csv';
import { usd } from '../lib/money';
import { formatDay, lastDays } from '../lib/time';
import { readUsage, stacks, type Usage } from '../lib/usage';

const RANGES = [['7', '7 days'], ['30', '30 days'], ['90', '90 days']] as const;
const count = (n: string) => Number(n).toLocaleString();

export default function UsagePage() {
  const [range, setRange] = useState<(typeof RANGES)[number][0]>('30');
  const [model, setModel] = useState('');
  const models = useModels();
  const days = lastDays(Number(range), Date.now());
  const query = { startDay: days[0] as string, endDay: days.at(-1) as string, ...(model && { model }) };
  const usage = useApiQuery(['usage', query], (trivet, signal) => readUsage(trivet, query, signal));
  const chart = usage.data && stacks(usage.data.rows, days);
  return (
    <div className="grid gap-4 sm:gap-5">
      <div className="flex flex-wrap items-center gap-3">
        <Select label="Range" value={range} options={RANGES} onChange={setRange} />
        <Select label="Model" value={model} options={[['', 'all models'], ...(models.data?.models ?? []).map((m) => [m.id, m.id] as const)]} onChange={setModel} />
        <Button className="ml-auto" disabled={!usage.data?.rows.length} onClick={() => usage.data && save(`usage-${query.startDay}-${query.endDay}.csv`, 'text/csv', asCSV(usage.data))}>
          <Download size={16} aria-hidden /> CSV
        </Button>
      </div>
      {usage.isPending && <Card><Loading label="Loading the usage" rows={6} /></Card>}
      {usage.isError && <Failure error={usage.error} retry={() => void usage.refetch()} />}
      {usage.data && chart && (usage.data.rows.length === 0 ? <Card><Empty title="No usage in this range" /></Card> : <><Card title="Cost by day"><Bars {...chart} /></Card><Rows usage={usage.data} /></>)}
    </div>
  );
}

function Rows({ usage }: { usage: Usage }) {
  return (
    <Card title="By day and model (days in UTC)">
      <Table caption="Usage by day and model" head={<><Th>Day</Th><Th>Model</Th><Th right>Requests</Th><Th right>Input tokens</Th><Th right>Cached</Th><Th right>Output tokens</Th><Th right>Cost</Th></>}>
        {usage.rows.toReversed().map((row) => (
          <tr key={`${row.day} ${row.model}`}>
            <Td>{formatDay(row.day)}</Td><Td>{row.model}</Td><Td right>{count(row.requests)}</Td><Td right>{count(row.usage.inputTokens)}</Td>
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

/** Amounts are in nano-dollars: a spreadsheet adds integers exactly. */
function asCSV(usage: Usage): string {
  const head = ['day', 'model', 'requests', 'input_tokens', 'cached_input_tokens', 'output_tokens', 'reasoning_tokens', 'cost_nano_usd'];
  return csv([head, ...usage.rows.map((r) => [r.day, r.model, r.requests, r.usage.inputTokens, r.usage.cachedInputTokens, r.usage.outputTokens, r.usage.reasoningTokens, r.costNanoUsd])]);
}
