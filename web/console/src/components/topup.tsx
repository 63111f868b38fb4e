import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { Schemas } from '@trivet/client';
import { useState } from 'react';
import { useApi, useApiQuery, usePlans } from '../app/api';
import { nanoOf, percent, typedDollars, usd } from '../lib/money';
import { formatTime } from '../lib/time';
import { Dialog } from './dialog';
import { Badge, Button, Card, Failure, Field, Loading, Table, Td, Th, inputClass, type Tone } from './ui';

type TopUp = Schemas['TopUp'];

const STATES: Partial<Record<Schemas['TopUpState'], [string, Tone]>> = {
  TOP_UP_STATE_ON: ['on', 'ok'], TOP_UP_STATE_OFF: ['off', 'mute'], TOP_UP_STATE_DECLINED: ['declined', 'bad'],
  TOP_UP_STATE_AUTHENTICATION_REQUIRED: ['needs confirmation', 'bad'], TOP_UP_STATE_NO_CARD: ['no card', 'bad'], TOP_UP_STATE_DISPUTED: ['disputed', 'bad'],
};

const REASONS: Partial<Record<Schemas['TopUpState'], string>> = {
  TOP_UP_STATE_DECLINED: 'Three payments in a row failed, so the top-up is off. Update the card, then set the top-up again.',
  TOP_UP_STATE_AUTHENTICATION_REQUIRED: 'The bank asks you to confirm each payment, so the top-up is off. Buy credit below, or use another card, then set the top-up again.',
  TOP_UP_STATE_NO_CARD: 'The account has no card, so the top-up is off. Save a card, then set the top-up again.',
  TOP_UP_STATE_DISPUTED: 'A payment was disputed, so the top-up is off. Set it again when the dispute is over.',
};

const PURCHASES: Partial<Record<Schemas['TopUpPurchaseState'], [string, Tone]>> = {
  TOP_UP_PURCHASE_STATE_PENDING: ['pending', 'warn'], TOP_UP_PURCHASE_STATE_PAID: ['paid', 'ok'],
  TOP_UP_PURCHASE_STATE_DECLINED: ['declined', 'bad'], TOP_UP_PURCHASE_STATE_CANCELED: ['canceled', 'mute'],
};

function useSetTopUp(done?: () => void) {
  const { trivet, scope } = useApi();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: Partial<Schemas['SetTopUpRequest']>) => trivet.post('/api/v1/billing/topUp:set', { body }),
    onSuccess: ({ topUp }) => {
      queries.setQueryData(['topUp', scope], topUp);
      done?.();
    },
  });
}

const useTopUp = () => useApiQuery(['topUp'], async (trivet, signal) => (await trivet.get('/api/v1/billing/topUp', {}, { signal })).topUp);

/** How people know the pack of an automatic purchase; of one that is not among the newest, that it was a pack. */
export function usePurchasedPack(): (purchaseId: string) => string {
  const purchases = useTopUp().data?.purchases ?? [];
  const packs = usePlans().data?.packs ?? [];
  return (id) => {
    const packId = purchases.find((p) => p.id === id)?.packId;
    return packs.find((pack) => pack.id === packId)?.name || packId || 'credit pack';
  };
}

/** A pack that is bought whenever the balance falls to a threshold: its setting, its state, and what it has bought. */
export function AutomaticTopUp({ paused }: { paused: boolean }) {
  const query = useTopUp();
  const [editing, setEditing] = useState(false);
  const off = useSetTopUp();
  const t = query.data;
  if (t && !t.offered && !t.packId) return null; // neither the plan nor an earlier one offers it
  const [state, tone] = (t && STATES[t.state]) ?? ['unknown', 'mute'];
  const reason = t && (REASONS[t.state] ?? (t.packId && t.state === 'TOP_UP_STATE_OFF' && 'The automatic top-up is off. Set it up again to use it.'));
  return (
    <Card title="Automatic top-up" action={t && <Badge tone={tone}>{state}</Badge>}>
      {query.isPending && <Loading label="Loading the automatic top-up" rows={2} />}
      {query.isError && <Failure error={query.error} retry={() => void query.refetch()} />}
      {reason && <p role="alert" className="mb-3 rounded-lg border border-warn p-3 text-sm text-warn">{reason}</p>}
      {t && (
        <div className="flex flex-wrap items-end justify-between gap-3">
          <Setting topUp={t} />
          <div className="flex flex-wrap justify-end gap-2">
            {t.offered && <Button disabled={paused} onClick={() => setEditing(true)}>{t.enabled ? 'Change the top-up' : 'Set up the top-up'}</Button>}
            {t.enabled && <Button disabled={off.isPending} onClick={() => off.mutate({ enabled: false })}>{off.isPending ? 'Turning off …' : 'Turn off the top-up'}</Button>}
            {off.isError && <div className="w-full"><Failure error={off.error} /></div>}
          </div>
        </div>
      )}
      {t && <Purchases purchases={t.purchases} />}
      {t && editing && <EditTopUp topUp={t} onClose={() => setEditing(false)} />}
    </Card>
  );
}

function Setting({ topUp: t }: { topUp: TopUp }) {
  const packs = usePlans().data?.packs ?? [];
  if (!t.packId) return <p className="max-w-prose text-sm text-mute">Buys a pack with the saved card when the balance falls to a threshold, so that calls are not refused.</p>;
  const pack = packs.find((p) => p.id === t.packId);
  const cap = BigInt(t.monthlyCapNanoUsd);
  return (
    <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1 text-sm">
      <dt className="text-mute">Buys</dt><dd>{pack?.name || t.packId}{pack && ` for ${usd(pack.priceNanoUsd)}`}</dd>
      <dt className="text-mute">At a balance of</dt><dd>{usd(t.thresholdNanoUsd)}</dd>
      <dt className="text-mute">This month</dt><dd>{usd(t.spentNanoUsd)} of at most {usd(cap)} ({percent(BigInt(t.spentNanoUsd), cap)} %)</dd>
    </dl>
  );
}

function Purchases({ purchases }: { purchases: Schemas['TopUpPurchase'][] }) {
  const packs = usePlans().data?.packs ?? [];
  if (purchases.length === 0) return null;
  return (
    <div className="mt-4">
      <Table caption="Automatic purchases" head={<><Th>Time</Th><Th>State</Th><Th>Pack</Th><Th right>Price</Th></>}>
        {purchases.map((p) => {
          const [state, tone] = PURCHASES[p.state] ?? ['unknown', 'mute'];
          return <tr key={p.id}><Td>{formatTime(p.createTime)}</Td><Td wrap><Badge tone={tone}>{state}</Badge>{p.problem && <span className="block text-xs text-mute">{p.problem}</span>}</Td><Td>{packs.find((k) => k.id === p.packId)?.name || p.packId}</Td><Td right>{usd(p.priceNanoUsd)}</Td></tr>;
        })}
      </Table>
    </div>
  );
}

const AMOUNT = 'Write an amount such as 12.50.';

/** Asks for the threshold, the pack and the monthly cap. The server says what is out of bounds. */
function EditTopUp({ topUp: t, onClose }: { topUp: TopUp; onClose: () => void }) {
  const plans = usePlans();
  const packs = plans.data?.packs ?? [];
  const [chosen, setPack] = useState(t.packId);
  const packId = packs.some((p) => p.id === chosen) ? chosen : packs[0]?.id ?? ''; // the pack of an earlier setting may be off sale
  const [threshold, setThreshold] = useState(t.packId ? typedDollars(t.thresholdNanoUsd) : '5');
  const [cap, setCap] = useState(t.packId ? typedDollars(t.monthlyCapNanoUsd) : '100');
  const set = useSetTopUp(onClose);
  const thresholdNanoUsd = nanoOf(threshold), monthlyCapNanoUsd = nanoOf(cap);
  const ready = packId !== '' && thresholdNanoUsd !== undefined && monthlyCapNanoUsd !== undefined;
  return (
    <Dialog title="Automatic top-up" onClose={onClose}>
      <form className="space-y-3" onSubmit={(e) => { e.preventDefault(); if (ready) set.mutate({ enabled: true, packId, thresholdNanoUsd, monthlyCapNanoUsd }); }}>
        {plans.isPending && <Loading label="Loading the packs" rows={1} />}
        {plans.isError && <Failure error={plans.error} retry={() => void plans.refetch()} />}
        {plans.isSuccess && packs.length === 0 && <p className="text-sm text-mute">No credit pack is on sale.</p>}
        {packs.length > 0 && <Field label="Pack"><select className={inputClass} value={packId} onChange={(e) => setPack(e.target.value)} data-autofocus>
          {packs.map((p) => <option key={p.id} value={p.id}>{p.name || p.id} for {usd(p.priceNanoUsd)}</option>)}
        </select></Field>}
        <Field label="Buy when the balance falls to, in dollars" hint={thresholdNanoUsd === undefined ? AMOUNT : `At most ${usd(t.maxThresholdNanoUsd)} with your plan.`}>
          <input className={inputClass} inputMode="decimal" value={threshold} onChange={(e) => setThreshold(e.target.value)} aria-invalid={thresholdNanoUsd === undefined} />
        </Field>
        <Field label="Maximum spend per month, in dollars" hint={monthlyCapNanoUsd === undefined ? AMOUNT : `At most ${usd(t.maxMonthlyCapNanoUsd)} with your plan, before tax.`}>
          <input className={inputClass} inputMode="decimal" value={cap} onChange={(e) => setCap(e.target.value)} aria-invalid={monthlyCapNanoUsd === undefined} />
        </Field>
        <p className="text-sm text-mute">The saved card is charged without asking again. The top-up turns itself off when the bank refuses.</p>
        {set.isError && <Failure error={set.error} />}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" disabled={!ready || set.isPending}>{set.isPending ? 'Saving …' : 'Turn on the top-up'}</Button>
        </div>
      </form>
    </Dialog>
  );
}
