import { useInfiniteQuery } from '@tanstack/react-query';
import type { Schemas } from '@trivet/client';
import { useState } from 'react';
import { useApi } from '../app/api';
import { usePlanName } from '../app/names';
import { usd } from '../lib/money';
import { formatDate, formatTime } from '../lib/time';
import { usePurchasedPack } from './topup';
import { Badge, Button, Card, Empty, Failure, Loading, Select, Table, Td, Th, type Tone } from './ui';

type Kind = Schemas['NoticeKind'];

const KINDS: Partial<Record<Kind, [string, Tone]>> = {
  NOTICE_KIND_TRIAL_STARTED: ['trial began', 'ok'], NOTICE_KIND_TRIAL_WILL_END: ['trial will end', 'warn'], NOTICE_KIND_PAYMENT_FAILED: ['payment failed', 'bad'],
  NOTICE_KIND_RECOVERED: ['paid again', 'ok'], NOTICE_KIND_DOWNGRADED: ['plan suspended', 'bad'], NOTICE_KIND_WILL_END: ['plan will end', 'warn'],
  NOTICE_KIND_ENDED: ['plan ended', 'mute'], NOTICE_KIND_CHANGED: ['plan changed', 'ok'], NOTICE_KIND_WILL_CHANGE: ['plan will change', 'warn'],
  NOTICE_KIND_DUPLICATE_SUBSCRIPTION: ['second subscription', 'bad'], NOTICE_KIND_UNMAPPED: ['unknown price', 'bad'], NOTICE_KIND_REFUNDED: ['refunded', 'mute'],
  NOTICE_KIND_DISPUTED: ['disputed', 'bad'], NOTICE_KIND_CHECKOUT_FAILED: ['checkout failed', 'bad'], NOTICE_KIND_OVERAGE_REFUSED: ['overage refused', 'bad'],
  NOTICE_KIND_CREDIT_THRESHOLD: ['credit used', 'warn'], NOTICE_KIND_LIMIT_THRESHOLD: ['spend limit used', 'warn'], NOTICE_KIND_OVERAGE_THRESHOLD: ['overage used', 'warn'],
  NOTICE_KIND_TOP_UP_SUCCEEDED: ['topped up', 'ok'], NOTICE_KIND_TOP_UP_FAILED: ['top-up failed', 'bad'], NOTICE_KIND_TOP_UP_DISABLED: ['top-up turned off', 'bad'],
  NOTICE_KIND_TOP_UP_AUTHENTICATION: ['bank asks for confirmation', 'bad'], NOTICE_KIND_SEATS_EXCEEDED: ['too few seats', 'bad'],
};

/** Other kinds come from a later version of the server. */
const kindOf = (kind: Kind): [string, Tone] => KINDS[kind] ?? [kind.replace(/^NOTICE_KIND_/, '').replaceAll('_', ' ').toLowerCase(), 'mute'];

const ALL = 'NOTICE_KIND_UNSPECIFIED';
const OPTIONS: readonly (readonly [Kind, string])[] = [[ALL, 'all'], ...Object.keys(KINDS).map((kind) => [kind as Kind, kindOf(kind as Kind)[0]] as const)];

/** What happened to the plan and its payments. A failed payment has a link to pay. */
export function Notices() {
  const { trivet, scope } = useApi();
  const planName = usePlanName();
  const packName = usePurchasedPack();
  const [kind, setKind] = useState<Kind>(ALL);
  const notices = useInfiniteQuery({
    queryKey: ['notices', scope, kind],
    initialPageParam: '',
    queryFn: ({ signal, pageParam }) => trivet.get('/api/v1/billing/notices', { query: { pageSize: 12, ...(kind !== ALL && { kind }), ...(pageParam && { pageToken: pageParam }) } }, { signal }),
    getNextPageParam: (last) => last.nextPageToken || undefined,
  });
  const all = notices.data?.pages.flatMap((page) => page.notices) ?? [];
  return (
    <Card title="Notices" action={<Select compact label="Show" value={kind} options={OPTIONS} onChange={setKind} />}>
      {notices.isPending && <Loading label="Loading the notices" rows={2} />}
      {notices.isError && <Failure error={notices.error} retry={() => void notices.refetch()} />}
      {notices.isSuccess && all.length === 0 && <Empty title={kind === ALL ? 'No notices' : 'No notices of this kind'} />}
      {all.length > 0 && (
        <Table caption="Notices" head={<><Th>Time</Th><Th>Notice</Th><Th>About</Th><Th right>Amount</Th><Th><span className="sr-only">Payment</span></Th></>}>
          {all.map((n) => {
            const [text, tone] = kindOf(n.kind);
            return (
              <tr key={n.id}>
                <Td>{n.createTime && formatTime(n.createTime)}</Td><Td><Badge tone={tone}>{text}</Badge></Td><Td wrap>{about(n, planName, packName)}</Td><Td right>{n.amountNanoUsd !== '0' && usd(n.amountNanoUsd)}</Td>
                <Td right>{n.payUrl && <a className="underline" href={n.payUrl} target="_blank" rel="noopener noreferrer" aria-label={`Pay ${usd(n.amountNanoUsd)}, opens Stripe in a new tab`}>Pay</a>}</Td>
              </tr>
            );
          })}
        </Table>
      )}
      {notices.hasNextPage && <Button className="mt-3" disabled={notices.isFetchingNextPage} onClick={() => void notices.fetchNextPage()}>{notices.isFetchingNextPage ? 'Loading …' : 'Show more'}</Button>}
    </Card>
  );
}

const LATER: readonly Kind[] = ['NOTICE_KIND_TRIAL_STARTED', 'NOTICE_KIND_TRIAL_WILL_END', 'NOTICE_KIND_WILL_END', 'NOTICE_KIND_WILL_CHANGE'];

/** The notices whose objectId is a purchase of an automatic top-up. */
const PURCHASES: readonly Kind[] = ['NOTICE_KIND_TOP_UP_SUCCEEDED', 'NOTICE_KIND_TOP_UP_FAILED', 'NOTICE_KIND_TOP_UP_AUTHENTICATION'];

/** The plan with its seats, the pack, the day that the notice is about if it lies ahead, what is used and by which member or key, and the problem. */
function about(n: Schemas['Notice'], planName: (id: string) => string, packName: (purchaseId: string) => string): string {
  const seats = n.seats > 1 ? `${n.seats.toLocaleString()} seats` : '';
  const day = n.time && LATER.includes(n.kind) ? `on ${formatDate(n.time)}` : '';
  const members = n.members > 0 ? `${n.members.toLocaleString()} members` : '';
  const used = n.thresholdPercent > 0 ? `${n.thresholdPercent} %: ${usd(n.usedNanoUsd)} used` : '';
  const pack = PURCHASES.includes(n.kind) ? packName(n.objectId) : '';
  return [n.planId && planName(n.planId), pack, seats, members, day, used, n.userId || n.apiKeyId, n.problem].filter(Boolean).join(', ');
}
