import { useInfiniteQuery } from '@tanstack/react-query';
import { TrivetError, type Schemas } from '@trivet/client';
import { useAccount, useApi, useApiQuery, useStatus } from '../app/api';
import { Badge, Button, Card, Empty, Failure, Figure, Loading, Table, Td, Th } from '../components/ui';
import { usd } from '../lib/money';
import { formatDate, formatTime } from '../lib/time';

export default function Billing() {
  const account = useAccount();
  const status = useStatus();
  const a = account.data?.account;
  const banner = status.data?.integrations['stripe']?.banner;
  return (
    <div className="grid gap-4 sm:gap-5">
      {banner && <p role="alert" className="rounded-lg border border-warn p-3 text-sm text-warn">{banner}</p>}
      {account.isError && <Failure error={account.error} retry={() => void account.refetch()} />}
      <div className="grid gap-4 sm:grid-cols-3 sm:gap-5">
        <Figure title="Balance" nano={a?.balanceNanoUsd} />
        <Figure title="Held by running calls" nano={a?.heldNanoUsd} />
        <Figure title="Available" nano={a?.availableNanoUsd} note={a?.periodEndTime && `the period ends ${formatDate(a.periodEndTime)}`} />
      </div>
      <Plans current={a?.planId} />
      <Invoices />
      <Movements />
    </div>
  );
}

function Plans({ current }: { current: string | undefined }) {
  const plans = useApiQuery(['plans'], (trivet, signal) => trivet.get('/api/v1/billing/plans', {}, { signal }));
  return (
    <Card title="Plans">
      {plans.isPending && <Loading label="Loading the plans" />}
      {plans.isError && <Failure error={plans.error} retry={() => void plans.refetch()} />}
      <ul className="grid gap-3 sm:grid-cols-2 lg:grid-cols-3">
        {plans.data?.plans.map((plan) => (
          <li key={plan.id} aria-current={plan.id === current} className="rounded-lg border border-line p-4 aria-[current=true]:border-brand">
            <div className="flex items-baseline justify-between gap-2"><h3 className="font-semibold">{plan.name || plan.id}</h3>{plan.id === current && <Badge tone="ok">yours</Badge>}</div>
            <p className="mt-1 text-lg tabular-nums">{BigInt(plan.pricePerPeriodNanoUsd) > 0n ? `${usd(plan.pricePerPeriodNanoUsd)} a period` : 'free'}</p>
            <ul className="mt-2 space-y-0.5 text-sm text-mute">
              <li>{usd(plan.includedCreditPerPeriodNanoUsd)} of credit a period</li>
              <li>{plan.limits.requestsPerMinute ? `${plan.limits.requestsPerMinute.toLocaleString()} requests a minute` : 'no limit of requests'}</li>
              <li>{plan.models.length ? plan.models.join(', ') : 'all models'}</li>
            </ul>
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** Hidden while the server does not have invoices. */
function Invoices() {
  const invoices = useApiQuery(['invoices'], (trivet, signal) => trivet.get('/api/v1/billing/invoices', {}, { signal }));
  if (invoices.isPending || (invoices.error instanceof TrivetError && invoices.error.code === 'NOT_IMPLEMENTED')) return null;
  return (
    <Card title="Invoices">
      {invoices.isError && <Failure error={invoices.error} retry={() => void invoices.refetch()} />}
      {invoices.data?.invoices.length === 0 && <Empty title="No invoices" />}
      {!!invoices.data?.invoices.length && (
        <Table caption="Invoices" head={<><Th>Date</Th><Th>State</Th><Th right>Total</Th><Th /></>}>
          {invoices.data.invoices.map((i) => (
            <tr key={i.id}>
              <Td>{i.createTime && formatDate(i.createTime)}</Td><Td>{i.status.replace('INVOICE_STATUS_', '').toLowerCase()}</Td>
              <Td right>{i.totalMinorUnits} {i.currency}</Td><Td right><a className="underline" href={i.hostedUrl} target="_blank" rel="noopener noreferrer">View</a></Td>
            </tr>
          ))}
        </Table>
      )}
    </Card>
  );
}

const KINDS: Record<Schemas['EntryKind'], string> = {
  ENTRY_KIND_UNSPECIFIED: 'other', ENTRY_KIND_GRANT: 'credit', ENTRY_KIND_USAGE: 'usage', ENTRY_KIND_ADJUSTMENT: 'correction', ENTRY_KIND_EXPIRY: 'expired credit',
};

function Movements() {
  const { trivet, scope } = useApi();
  const entries = useInfiniteQuery({
    queryKey: ['entries', scope],
    initialPageParam: '',
    queryFn: ({ signal, pageParam }) => trivet.get('/api/v1/billing/entries', { query: { pageSize: 25, ...(pageParam && { pageToken: pageParam }) } }, { signal }),
    getNextPageParam: (last) => last.nextPageToken || undefined,
  });
  const all = entries.data?.pages.flatMap((page) => page.entries) ?? [];
  return (
    <Card title="Movements of the account">
      {entries.isPending && <Loading label="Loading the movements" />}
      {entries.isError && <Failure error={entries.error} retry={() => void entries.refetch()} />}
      {entries.isSuccess && all.length === 0 && <Empty title="No movements yet" />}
      {all.length > 0 && (
        <Table caption="Movements" head={<><Th>Time</Th><Th>Kind</Th><Th>From</Th><Th>To</Th><Th right>Amount</Th></>}>
          {all.map((e) => <tr key={e.id}><Td>{formatTime(e.createTime)}</Td><Td>{KINDS[e.kind]}</Td><Td>{e.debit}</Td><Td>{e.credit}</Td><Td right>{usd(e.amountNanoUsd)}</Td></tr>)}
        </Table>
      )}
      {entries.hasNextPage && <Button className="mt-3" disabled={entries.isFetchingNextPage} onClick={() => void entries.fetchNextPage()}>{entries.isFetchingNextPage ? 'Loading …' : 'Show more'}</Button>}
    </Card>
  );
}
