import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import type { Schemas } from '@trivet/client';
import { useApi } from '../app/api';
import { minorUnits, usd } from '../lib/money';
import { formatDate } from '../lib/time';
import { Dialog } from './dialog';
import { Button, Failure, Loading } from './ui';

type Preview = Schemas['SubscriptionPreview'];

/** Shows what a change of plan charges and gives, and makes exactly that change. */
export function ChangePlan({ plan, interval, onClose }: { plan: Schemas['Plan']; interval: Preview['interval']; onClose: () => void }) {
  const { trivet, scope } = useApi();
  const queries = useQueryClient();
  const preview = useQuery({
    queryKey: ['preview', plan.id, interval, scope],
    gcTime: 0, // a preview expires
    refetchOnWindowFocus: false,
    queryFn: async ({ signal }) => (await trivet.post('/api/v1/billing/subscription:preview', { body: { planId: plan.id, interval } }, { signal })).subscriptionPreview,
  });
  const change = useMutation({
    mutationFn: (previewId: string) => trivet.post('/api/v1/billing/subscription:change', { body: { previewId } }),
    onSuccess: async ({ paymentUrl }) => {
      if (paymentUrl) return location.assign(paymentUrl);
      for (const key of ['account', 'subscription', 'invoices', 'entries']) void queries.invalidateQueries({ queryKey: [key] });
      onClose();
    },
  });
  return (
    <Dialog title={`Change to ${plan.name || plan.id}`} onClose={onClose}>
      {preview.isPending && <Loading label="Working out the change" rows={3} />}
      {preview.isError && <Failure error={preview.error} retry={() => void preview.refetch()} />}
      {preview.data && <Facts preview={preview.data} />}
      {change.isError && <div className="mt-3"><Failure error={change.error} retry={() => { change.reset(); void preview.refetch(); }} /></div>}
      <div className="mt-5 flex justify-end gap-2">
        <Button onClick={onClose}>Cancel</Button>
        <Button kind="primary" disabled={!preview.data || change.isPending || change.isError} onClick={() => preview.data && change.mutate(preview.data.id)}>{change.isPending ? 'Changing …' : 'Change the plan'}</Button>
      </div>
    </Dialog>
  );
}

function Facts({ preview: p }: { preview: Preview }) {
  const now = BigInt(p.amountMinorUnits);
  const rows: [string, string][] = [
    ['Takes effect', p.effectiveTime && new Date(p.effectiveTime).getTime() > Date.now() + 60_000 ? `${formatDate(p.effectiveTime)}, at the end of the period` : 'at once'],
    [now < 0n ? 'Credited to later invoices' : 'Charged now, with tax', minorUnits(String(now < 0n ? -now : now), p.currency)],
    ['Credit granted now', usd(p.creditNanoUsd)],
    [p.interval === 'BILLING_INTERVAL_YEAR' ? 'Each later year, before tax' : 'Each later month, before tax', minorUnits(p.nextAmountMinorUnits, p.currency)],
  ];
  return <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1.5 text-sm">{rows.map(([name, value]) => <div key={name} className="contents"><dt className="text-mute">{name}</dt><dd className="tabular-nums">{value}</dd></div>)}</dl>;
}
