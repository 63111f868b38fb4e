import { useInfiniteQuery } from '@tanstack/react-query';
import { TrivetError, type Schemas } from '@trivet/client';
import { useAccount, useApi, useMe, useStatus } from '../app/api';
import { CheckoutReturn } from '../components/checkoutreturn';
import { Notices } from '../components/notices';
import { Packs, Plans } from '../components/offers';
import { Subscription } from '../components/subscription';
import { AutomaticTopUp } from '../components/topup';
import { Badge, Button, Card, Empty, Failure, Figure, Loading, Table, Td, Th, type Tone } from '../components/ui';
import { minorUnits, usd } from '../lib/money';
import { formatDate, formatTime } from '../lib/time';

export default function Billing() {
  const account = useAccount();
  const status = useStatus();
  const a = account.data?.account;
  const admin = useMe().data?.identity.admin ?? false;
  const banner = status.data?.integrations['stripe']?.banner;
  const invoices = useInvoices();
  const off = invoices.error instanceof TrivetError && invoices.error.code === 'CONFIGURATION_ERROR';
  return (
    <div className="grid gap-4 sm:gap-5">
      {banner && <p role="alert" className="rounded-lg border border-warn p-3 text-sm text-warn">{banner}</p>}
      {account.isError && <Failure error={account.error} retry={() => void account.refetch()} />}
      <div className="grid gap-4 sm:grid-cols-3 sm:gap-5">
        <Figure title="Balance" nano={a?.balanceNanoUsd} />
        <Figure title="Held by running calls" nano={a?.heldNanoUsd} />
        <Figure title="Available" nano={a?.availableNanoUsd} note={a?.periodEndTime && `the period ends ${formatDate(a.periodEndTime)}`} />
      </div>
      {off ? <p className="text-sm text-mute">Payments are not set up on this server, so nothing can be bought here.</p> : (
        <>
          <CheckoutReturn />
          <Subscription paused={!!banner} />
          {admin && <AutomaticTopUp paused={!!banner} />}
          <Packs paused={!!banner} />
          <Plans current={a?.planId} paused={!!banner} />
          <Invoices invoices={invoices} />
          {admin && <Notices />}
        </>
      )}
      <Movements />
    </div>
  );
}

const INVOICE: Partial<Record<Schemas['InvoiceStatus'], [string, Tone]>> = {
  INVOICE_STATUS_DRAFT: ['draft', 'mute'], INVOICE_STATUS_OPEN: ['open', 'warn'], INVOICE_STATUS_PAID: ['paid', 'ok'],
  INVOICE_STATUS_UNCOLLECTIBLE: ['uncollectible', 'bad'], INVOICE_STATUS_VOID: ['void', 'mute'],
};

function useInvoices() {
  const { trivet, scope } = useApi();
  return useInfiniteQuery({
    queryKey: ['invoices', scope],
    initialPageParam: '',
    queryFn: ({ signal, pageParam }) => trivet.get('/api/v1/billing/invoices', { query: { pageSize: 12, ...(pageParam && { pageToken: pageParam }) } }, { signal }),
    getNextPageParam: (last) => last.nextPageToken || undefined,
  });
}

function Invoices({ invoices }: { invoices: ReturnType<typeof useInvoices> }) {
  const all = invoices.data?.pages.flatMap((page) => page.invoices) ?? [];
  return (
    <Card title="Invoices">
      {invoices.isPending && <Loading label="Loading the invoices" />}
      {invoices.isError && <Failure error={invoices.error} retry={() => void invoices.refetch()} />}
      {invoices.isSuccess && all.length === 0 && <Empty title="No invoices" />}
      {all.length > 0 && (
        <Table caption="Invoices" head={<><Th>Date</Th><Th>State</Th><Th right>Total</Th><Th><span className="sr-only">Document</span></Th></>}>
          {all.map((i) => (
            <tr key={i.id}>
              <Td>{i.createTime && formatDate(i.createTime)}</Td><Td><InvoiceBadge status={i.status} /></Td>
              <Td right>{minorUnits(i.totalMinorUnits, i.currency)}</Td><Td right>{i.hostedUrl && <a className="underline" href={i.hostedUrl} target="_blank" rel="noopener noreferrer">View</a>}</Td>
            </tr>
          ))}
        </Table>
      )}
      {invoices.hasNextPage && <Button className="mt-3" disabled={invoices.isFetchingNextPage} onClick={() => void invoices.fetchNextPage()}>{invoices.isFetchingNextPage ? 'Loading …' : 'Show more'}</Button>}
    </Card>
  );
}

function InvoiceBadge({ status }: { status: Schemas['InvoiceStatus'] }) {
  const [state, tone] = INVOICE[status] ?? ['unknown', 'mute'];
  return <Badge tone={tone}>{state}</Badge>;
}

const KINDS: Partial<Record<Schemas['EntryKind'], string>> = {
  ENTRY_KIND_GRANT: 'credit', ENTRY_KIND_USAGE: 'usage', ENTRY_KIND_ADJUSTMENT: 'correction', ENTRY_KIND_EXPIRY: 'expired credit',
  ENTRY_KIND_OVERAGE: 'overage',
};

const SOURCES: Partial<Record<Schemas['CreditSource'], string>> = {
  CREDIT_SOURCE_PLAN: 'plan', CREDIT_SOURCE_SUBSCRIPTION: 'subscription', CREDIT_SOURCE_TRIAL: 'trial', CREDIT_SOURCE_PACK: 'pack', CREDIT_SOURCE_TOP_UP: 'automatic top-up',
  CREDIT_SOURCE_OPERATOR: 'gift', CREDIT_SOURCE_RETURNED: 'returned',
};

/** What moved the money, and of credit, where it came from. */
function kindOf(e: Schemas['Entry']): string {
  const source = SOURCES[e.creditSource];
  if (e.kind === 'ENTRY_KIND_EXPIRY' && !takes(e)) return 'returned credit'; // it had ended too early
  return (KINDS[e.kind] ?? 'other') + (source ? `: ${source}` : '');
}

/** Whether the entry takes from the balance of the customer's account. */
const takes = (e: Schemas['Entry']): boolean => e.debit.startsWith('customer:');

/** The amount as it changes the balance of the customer's account. */
const signedUsd = (e: Schemas['Entry']): string => (takes(e) ? '\u2212' : '+') + usd(e.amountNanoUsd);

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
    <Card title="Account activity">
      {entries.isPending && <Loading label="Loading the account activity" />}
      {entries.isError && <Failure error={entries.error} retry={() => void entries.refetch()} />}
      {entries.isSuccess && all.length === 0 && <Empty title="No activity yet" />}
      {all.length > 0 && (
        <Table caption="Account activity" head={<><Th>Time</Th><Th>Kind</Th><Th right>Amount</Th></>}>
          {all.map((e) => <tr key={e.id} title={`from ${e.debit} to ${e.credit}`}><Td>{formatTime(e.createTime)}</Td><Td>{kindOf(e)}</Td><Td right>{signedUsd(e)}</Td></tr>)}
        </Table>
      )}
      {entries.hasNextPage && <Button className="mt-3" disabled={entries.isFetchingNextPage} onClick={() => void entries.fetchNextPage()}>{entries.isFetchingNextPage ? 'Loading …' : 'Show more'}</Button>}
    </Card>
  );
}
