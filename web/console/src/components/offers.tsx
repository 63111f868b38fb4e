import type { Schemas } from '@trivet/client';
import { useState } from 'react';
import { useApiQuery } from '../app/api';
import { useCheckout } from '../app/purchase';
import { usd } from '../lib/money';
import { ChangePlan } from './changeplan';
import { useSubscription } from './subscription';
import { Badge, Button, Card, Empty, Failure, Loading, Select } from './ui';

type Interval = 'BILLING_INTERVAL_MONTH' | 'BILLING_INTERVAL_YEAR';

const INTERVALS = [['BILLING_INTERVAL_MONTH', 'month'], ['BILLING_INTERVAL_YEAR', 'year']] as const;

const usePlans = () => useApiQuery(['plans'], (trivet, signal) => trivet.get('/api/v1/billing/plans', { query: { pageSize: 500 } }, { signal }));

/** The plans on sale. Buying one leads to Stripe's page. paused stops all buying, while payments are down. */
export function Plans({ current, paused }: { current: string | undefined; paused: boolean }) {
  const plans = usePlans();
  const subscription = useSubscription();
  const checkout = useCheckout();
  const [interval, setInterval] = useState<Interval>('BILLING_INTERVAL_MONTH');
  const [changing, setChanging] = useState<Schemas['Plan']>();
  const all = plans.data?.plans ?? [];
  const subscribed = !!subscription.data && subscription.data.access !== 'SUBSCRIPTION_ACCESS_ENDED';
  return (
    <Card title="Plans" action={all.some((p) => nano(p.yearlyPriceNanoUsd) > 0n) && <Select label="Charged every" value={interval} options={INTERVALS} onChange={setInterval} />}>
      {plans.isPending && <Loading label="Loading the plans" />}
      {plans.isError && <Failure error={plans.error} retry={() => void plans.refetch()} />}
      {checkout.isError && <div className="mb-3"><Failure error={checkout.error} /></div>}
      <ul className="grid gap-3 sm:grid-cols-2 lg:grid-cols-3">
        {all.map((plan) => (
          <PlanCard
            key={plan.id} plan={plan} interval={interval} mine={plan.id === current} disabled={paused || checkout.isPending || !subscription.isSuccess}
            action={subscribed ? 'Change to' : 'Subscribe to'} act={() => (subscribed ? setChanging(plan) : checkout.mutate({ planId: plan.id, interval }))}
          />
        ))}
      </ul>
      {changing && <ChangePlan plan={changing} interval={interval} onClose={() => setChanging(undefined)} />}
    </Card>
  );
}

const nano = (amount: string | undefined): bigint => BigInt(amount ?? '0');

function PlanCard({ plan, interval, mine, action, act, disabled }: { plan: Schemas['Plan']; interval: Interval; mine: boolean; action: string; act: () => void; disabled: boolean }) {
  const yearly = interval === 'BILLING_INTERVAL_YEAR' && nano(plan.yearlyPriceNanoUsd) > 0n;
  const price = yearly ? nano(plan.yearlyPriceNanoUsd) : nano(plan.pricePerPeriodNanoUsd);
  const name = plan.name || plan.id;
  const each = plan.seats ? ' a seat' : '';
  return (
    <li aria-current={mine} className="flex flex-col rounded-lg border border-line p-4 aria-[current=true]:border-brand">
      <div className="flex items-baseline justify-between gap-2"><h3 className="font-semibold">{name}</h3>{mine && <Badge tone="ok">yours</Badge>}</div>
      <p className="mt-1 text-lg tabular-nums">{price > 0n ? `${usd(price)}${each} a ${yearly ? 'year' : 'month'}` : 'free'}</p>
      <ul className="mt-2 flex-1 space-y-0.5 text-sm text-mute">
        <li>{usd(plan.includedCreditPerPeriodNanoUsd)} of credit a month{each && ' for each seat'}</li>
        <li>{plan.limits.requestsPerMinute ? `${plan.limits.requestsPerMinute.toLocaleString()} requests a minute` : 'no limit of requests'}</li>
        <li>{plan.models.length ? plan.models.join(', ') : 'all models'}</li>
        {plan.trial && <li>{plan.trial.days} days of trial</li>}
      </ul>
      {!mine && price > 0n && <Button className="mt-3" disabled={disabled} onClick={act}>{action} {name}</Button>}
    </li>
  );
}

/** Credit that is bought once. */
export function Packs({ paused }: { paused: boolean }) {
  const plans = usePlans();
  const checkout = useCheckout();
  const packs = plans.data?.packs ?? [];
  if (plans.isError) return null; // the plans say why
  return (
    <Card title="Buy credit">
      {plans.isPending && <Loading label="Loading the packs" rows={1} />}
      {plans.isSuccess && packs.length === 0 && <Empty title="No credit is on sale" />}
      {checkout.isError && <div className="mb-3"><Failure error={checkout.error} /></div>}
      <ul className="grid gap-3 sm:grid-cols-2 lg:grid-cols-3">
        {packs.map((pack) => (
          <li key={pack.id} className="flex items-center justify-between gap-3 rounded-lg border border-line p-4">
            <div>
              <h3 className="font-semibold">{pack.name || pack.id}</h3>
              <p className="text-sm text-mute">{usd(pack.creditNanoUsd)} for {usd(pack.priceNanoUsd)}{pack.expireMonths > 0 && `, lasts ${pack.expireMonths} months`}</p>
            </div>
            <Button disabled={paused || checkout.isPending} aria-label={`Buy ${pack.name || pack.id}`} onClick={() => checkout.mutate({ packId: pack.id })}>Buy</Button>
          </li>
        ))}
      </ul>
    </Card>
  );
}
