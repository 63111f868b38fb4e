import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import type { Schemas } from '@trivet/client';
import { useEffect, useState } from 'react';
import { useApi } from '../app/api';
import { minorUnits, usd } from '../lib/money';
import { formatDate } from '../lib/time';
import { Dialog } from './dialog';
import { mostSeats, Seats } from './seats';
import { Button, Failure, Loading } from './ui';

type Preview = Schemas['SubscriptionPreview'];

/** Shows what a change of plan, interval or seats charges and gives, and makes exactly that change. */
export function ChangePlan({ plan, interval, from, onClose }: { plan: Schemas['Plan']; interval: Preview['interval']; from: Schemas['Subscription']; onClose: () => void }) {
  const { trivet, scope } = useApi();
  const queries = useQueryClient();
  const most = plan.seats ? mostSeats(plan.seats, interval) : 0;
  const [seats, setSeats] = useState(plan.seats ? Math.min(Math.max(from.seats, plan.seats.min), most) : 0);
  const valid = !plan.seats || (Number.isInteger(seats) && seats >= plan.seats.min && seats <= most);
  const same = plan.id === from.planId && interval === from.interval && seats === from.seats;
  const wanted = useSettled(seats);
  const preview = useQuery({
    queryKey: ['preview', plan.id, interval, wanted, scope],
    enabled: valid && !same && wanted === seats,
    gcTime: 0, // a preview expires, and the next one replaces it
    refetchOnWindowFocus: false,
    queryFn: async ({ signal }) => (await trivet.post('/api/v1/billing/subscription:preview', { body: { planId: plan.id, interval, ...(plan.seats && { seats: wanted }) } }, { signal })).subscriptionPreview,
  });
  const shown = valid && !same && wanted === seats ? preview.data : undefined;
  const change = useMutation({
    mutationFn: (previewId: string) => trivet.post('/api/v1/billing/subscription:change', { body: { previewId } }),
    onSuccess: async ({ paymentUrl }) => {
      if (paymentUrl) return location.assign(paymentUrl);
      for (const key of ['account', 'subscription', 'invoices', 'entries', 'topUp', 'notices']) void queries.invalidateQueries({ queryKey: [key] });
      onClose();
    },
  });
  return (
    <Dialog title={plan.seats ? `Change to ${plan.name || plan.id}, seats` : `Change to ${plan.name || plan.id}`} onClose={onClose}>
      {plan.seats && <div className="mb-4 w-40"><Seats bounds={plan.seats} interval={interval} value={seats} onChange={setSeats} /></div>}
      {same && <p className="text-sm text-mute">That is the plan as it is now. Choose another number of seats.</p>}
      {valid && !same && !shown && !preview.isError && <Loading label="Working out the change" rows={3} />}
      {!valid && plan.seats && <Failure error={`Choose from ${plan.seats.min} to ${most} seats.`} />}
      {valid && !same && preview.isError && <Failure error={preview.error} retry={() => void preview.refetch()} />}
      {shown && <Facts preview={shown} />}
      {change.isError && <div className="mt-3"><Failure error={change.error} retry={() => { change.reset(); void preview.refetch(); }} /></div>}
      <div className="mt-5 flex justify-end gap-2">
        <Button onClick={onClose}>Cancel</Button>
        <Button kind="primary" disabled={!shown || preview.isFetching || change.isPending || change.isError} onClick={() => shown && change.mutate(shown.id)}>{change.isPending ? 'Changing …' : 'Change the plan'}</Button>
      </div>
    </Dialog>
  );
}

/** The value once it has not changed for half a second, so that typing does not ask for a preview of each digit. */
function useSettled(value: number): number {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), 500);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

function Facts({ preview: p }: { preview: Preview }) {
  const now = BigInt(p.amountMinorUnits);
  const rows: [string, string][] = [
    ...(p.seats > 1 ? [['Seats', p.seats.toLocaleString()] as [string, string]] : []),
    ['Takes effect', p.effectiveTime && new Date(p.effectiveTime).getTime() > Date.now() + 60_000 ? `${formatDate(p.effectiveTime)}, at the end of the period` : 'at once'],
    [now < 0n ? 'Credited to later invoices' : 'Charged now, with tax', minorUnits(String(now < 0n ? -now : now), p.currency)],
    ['Credit granted now', usd(p.creditNanoUsd)],
    [p.interval === 'BILLING_INTERVAL_YEAR' ? 'Each later year, before tax' : 'Each later month, before tax', minorUnits(p.nextAmountMinorUnits, p.currency)],
  ];
  return <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1.5 text-sm">{rows.map(([name, value]) => <div key={name} className="contents"><dt className="text-mute">{name}</dt><dd className="tabular-nums">{value}</dd></div>)}</dl>;
}
