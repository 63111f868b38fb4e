import { Link } from 'wouter';
import { useAccount, useApiQuery, useModels, useStatus } from '../app/api';
import { usePlanName } from '../app/names';
import { Bars } from '../charts/bars';
import { Badge, Card, Empty, Failure, Figure, Loading } from '../components/ui';
import { percent, usd } from '../lib/money';
import { integrationNames, tones } from '../lib/status';
import { formatDate, lastDays } from '../lib/time';
import { readUsage, stacks } from '../lib/usage';

const DAYS = 30;

export default function Overview() {
  const account = useAccount();
  const planName = usePlanName();
  const a = account.data?.account;
  if (account.isError && !a) return <Failure error={account.error} retry={() => void account.refetch()} />;
  const limit = (n: number | undefined) => (n === undefined ? undefined : n === 0 ? 'no limit' : n.toLocaleString());
  return (
    <div className="grid gap-4 sm:gap-5">
      <div className="grid gap-4 sm:grid-cols-2 sm:gap-5 lg:grid-cols-4">
        <Figure title="Available" nano={a?.availableNanoUsd} note={a && heldNote(a.balanceNanoUsd, a.heldNanoUsd)} />
        <Figure title="Cost of this period" nano={a?.periodUsage.costNanoUsd} note={a?.periodStartTime && `since ${formatDate(a.periodStartTime)}`}>
          {a && <Share part={BigInt(a.periodUsage.costNanoUsd)} rest={BigInt(a.balanceNanoUsd)} />}
        </Figure>
        <Figure title="Requests of this period" value={a && Number(a.periodUsage.requests).toLocaleString()} note={a && `limit ${limit(a.limits.requestsPerMinute)} a minute`} />
        <Figure title="Plan" value={a && planName(a.planId)} note={a?.periodEndTime && `period ends ${formatDate(a.periodEndTime)}`} />
      </div>
      <Costs />
      <Integrations />
      <Limits />
    </div>
  );
}

function heldNote(balance: string, held: string): string {
  return BigInt(held) > 0n ? `${usd(balance)} less ${usd(held)} held by running calls` : 'nothing is held';
}

/** How much of the credit is used, as a bar. */
function Share({ part, rest }: { part: bigint; rest: bigint }) {
  const used = percent(part, part + (rest > 0n ? rest : 0n));
  return (
    <svg className="mt-2 h-1.5 w-full rounded-full bg-raised" viewBox="0 0 100 1" preserveAspectRatio="none" role="img" aria-label={`${used} % of the credit is used`}>
      <rect width={used} height="1" className="fill-brand" />
    </svg>
  );
}

function Costs() {
  const days = lastDays(DAYS, Date.now());
  const range = { startDay: days[0] as string, endDay: days.at(-1) as string };
  const usage = useApiQuery(['usage', range], (trivet, signal) => readUsage(trivet, range, signal), 60_000);
  const chart = usage.data && stacks(usage.data.rows, days);
  return (
    <Card title={`Cost by day and model, last ${DAYS} days`} action={usage.data && <p className="text-sm font-medium tabular-nums">{usd(usage.data.total.costNanoUsd)} in total</p>}>
      {usage.isPending && <Loading label="Loading the usage" />}
      {usage.isError && <Failure error={usage.error} retry={() => void usage.refetch()} />}
      {chart && (chart.names.length > 0 ? <Bars {...chart} /> : <Empty title="No usage yet"><p>Ask a model something in the <Link href="/playground" className="underline">playground</Link>, or create an API key and call the API.</p></Empty>)}
    </Card>
  );
}

function Integrations() {
  const status = useStatus();
  return (
    <Card title="Integrations" action={<Link href="/status" className="text-sm underline">Details</Link>}>
      {status.isPending && <Loading label="Loading the status" rows={1} />}
      {status.isError && <Failure error={status.error} retry={() => void status.refetch()} />}
      {status.data && (
        <ul className="grid gap-2 sm:grid-cols-3">
          {Object.entries(status.data.integrations).map(([name, { status: state }]) => (
            <li key={name} className="flex items-center justify-between gap-3 text-sm sm:justify-start">{integrationNames[name] ?? name} <Badge tone={tones[state]}>{state}</Badge></li>
          ))}
        </ul>
      )}
    </Card>
  );
}

function Limits() {
  const account = useAccount();
  const models = useModels();
  const limits = account.data?.account.limits;
  if (!limits) return null;
  const rows: [string, number][] = [['Requests per minute', limits.requestsPerMinute], ['Tokens per minute', limits.tokensPerMinute], ['Concurrent calls', limits.concurrentRequests], ['Concurrent streams', limits.concurrentStreams]];
  return (
    <Card title="Limits of the plan">
      <dl className="grid gap-3 text-sm sm:grid-cols-4">
        {rows.map(([name, value]) => (
          <div key={name} className="flex justify-between gap-3 sm:block"><dt className="text-mute">{name}</dt><dd className="font-medium tabular-nums">{value === 0 ? 'no limit' : value.toLocaleString()}</dd></div>
        ))}
        {models.data && <div className="flex justify-between gap-3 sm:block"><dt className="text-mute">Models</dt><dd className="font-medium">{models.data.models.length}</dd></div>}
      </dl>
    </Card>
  );
}
