import type { Schemas } from '@trivet/client';
import { useState } from 'react';
import { usePlans } from '../app/api';
import { useCheckout } from '../app/purchase';
import { usd } from '../lib/money';
import { ChangePlan } from './changeplan';
import { Seats } from './seats';
import { useSubscription } from './subscription';
import { Badge, Button, Card, Empty, Failure, Loading, Select } from './ui';

type Interval = 'BILLING_INTERVAL_MONTH' | 'BILLING_INTERVAL_YEAR';

const INTERVALS = [['BILLING_INTERVAL_MONTH', 'month'], ['BILLING_INTERVAL_YEAR', 'year']] as const;

/** The plans on sale. Buying one leads to Stripe's page. paused stops all buying, while payments are down. */
export function Plans({ current, paused }: { current: string | undefined; paused: boolean }) {
  const plans = usePlans();
  const subscription = useSubscription();
  const checkout = useCheckout();
  const [chosen, setInterval] = useState<Interval>();
  const [changing, setChanging] = useState<Schemas['Plan']>();
  const all = plans.data?.plans ?? [];
  const s = subscription.data;
  const subscribed = !!s && s.access !== 'SUBSCRIPTION_ACCESS_ENDED';
  const interval = chosen ?? (subscribed && s.interval === 'BILLING_INTERVAL_YEAR' ? s.interval : 'BILLING_INTERVAL_MONTH');
  return (
    <Card title="Plans" action={all.some((p) => nano(p.yearlyPriceNanoUsd) > 0n) && <Select compact label="Charged every" value={interval} options={INTERVALS} onChange={setInterval} />}>
      {plans.isPending && <Loading label="Loading the plans" />}
      {plans.isError && <Failure error={plans.error} retry={() => void plans.refetch()} />}
      {checkout.isError && <div className="mb-3"><Failure error={checkout.error} /></div>}
      <ul className="grid gap-3 sm:grid-cols-2 lg:grid-cols-3">
        {all.map((plan) => (
          <PlanCard
            key={plan.id} plan={plan} interval={sold(plan, interval)} mine={plan.id === current} subscription={subscribed ? s : undefined} disabled={paused || checkout.isPending || !subscription.isSuccess}
            buy={(seats) => checkout.mutate({ planId: plan.id, interval: sold(plan, interval), ...(plan.seats && { seats }) })} change={() => setChanging(plan)}
          />
        ))}
      </ul>
      {changing && subscribed && <ChangePlan plan={changing} interval={sold(changing, interval)} from={s} onClose={() => setChanging(undefined)} />}
    </Card>
  );
}

const nano = (amount: string | undefined): bigint => BigInt(amount ?? '0');

/** The interval at which a plan is sold: by the month if it is not sold by the year. */
const sold = (plan: Schemas['Plan'], interval: Interval): Interval => (nano(plan.yearlyPriceNanoUsd) > 0n ? interval : 'BILLING_INTERVAL_MONTH');

interface PlanCardProps {
  plan: Schemas['Plan'];
  interval: Interval;
  mine: boolean;
  /** The account's subscription while it has one. */
  subscription: Schemas['Subscription'] | undefined;
  disabled: boolean;
  buy: (seats: number) => void;
  change: () => void;
}

function PlanCard({ plan, interval, mine, subscription, disabled, buy, change }: PlanCardProps) {
  const [seats, setSeats] = useState(plan.seats?.min ?? 1);
  const yearly = interval === 'BILLING_INTERVAL_YEAR';
  const price = yearly ? nano(plan.yearlyPriceNanoUsd) : nano(plan.pricePerPeriodNanoUsd);
  const name = plan.name || plan.id;
  const each = plan.seats ? ' a seat' : '';
  return (
    <li aria-current={mine} className="flex flex-col rounded-lg border border-line p-4 aria-[current=true]:border-brand">
      <div className="flex items-baseline justify-between gap-2"><h3 className="font-semibold">{name}</h3>{mine && <Badge tone="ok">yours</Badge>}</div>
      <p className="mt-1 text-lg tabular-nums">{price > 0n ? `${usd(price)}${each} a ${yearly ? 'year' : 'month'}` : 'no charge'}</p>
      <ul className="mt-2 flex-1 space-y-0.5 text-sm text-mute">
        <li>{usd(plan.includedCreditPerPeriodNanoUsd)} of credit a month{each && ' for each seat'}</li>
        {plan.overage && <li>then up to {usd(plan.overage.capNanoUsd)} a month, charged afterwards</li>}
        <li>{plan.limits.requestsPerMinute ? `${plan.limits.requestsPerMinute.toLocaleString()} requests per minute` : 'no limit of requests'}</li>
        <li>{plan.models.length ? plan.models.join(', ') : 'all models'}</li>
        {plan.trial && <li>{plan.trial.days} days of trial</li>}
      </ul>
      {price > 0n && !subscription && (
        <form className="mt-3 space-y-3" onSubmit={(e) => { e.preventDefault(); buy(seats); }}>
          {plan.seats && <Seats bounds={plan.seats} interval={interval} value={seats} onChange={setSeats} />}
          <Button type="submit" className="w-full" disabled={disabled}>Subscribe to {name}</Button>
        </form>
      )}
      {price > 0n && subscription && <Change plan={plan} mine={mine} same={subscription.interval === interval} disabled={disabled} onClick={change} />}
    </li>
  );
}

/** The button that changes the subscription to a plan, or the interval or the seats of the account's own plan. */
function Change({ plan, mine, same, ...rest }: { plan: Schemas['Plan']; mine: boolean; same: boolean; disabled: boolean; onClick: () => void }) {
  if (mine && same && !plan.seats) return null;
  const label = !mine ? `Change to ${plan.name || plan.id}` : same ? 'Change the seats' : 'Change the interval';
  return <Button className="mt-3" {...rest}>{label}</Button>;
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
