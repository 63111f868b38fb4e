import { useOrganization } from '@clerk/react';
import { TrivetError, type Schemas } from '@trivet/client';
import { useState } from 'react';
import { useApiQuery, usePlans } from '../app/api';
import { usePlanName } from '../app/names';
import { usePortal } from '../app/purchase';
import { formatDate } from '../lib/time';
import { CancelPlan, useResume } from './cancelplan';
import { mostSeats } from './seats';
import { Badge, Button, Card, Failure, Loading, type Tone } from './ui';

type Access = Schemas['SubscriptionAccess'];

const ACCESS: Partial<Record<Access, [string, Tone]>> = {
  SUBSCRIPTION_ACCESS_ACTIVE: ['active', 'ok'], SUBSCRIPTION_ACCESS_TRIAL: ['trial', 'ok'],
  SUBSCRIPTION_ACCESS_GRACE: ['payment failed', 'warn'], SUBSCRIPTION_ACCESS_SUSPENDED: ['suspended', 'bad'], SUBSCRIPTION_ACCESS_ENDED: ['ended', 'mute'],
};

const PROBLEMS: Partial<Record<Access, string>> = {
  SUBSCRIPTION_ACCESS_GRACE: 'The last payment failed. The plan stays for some days; update the card before they end.',
  SUBSCRIPTION_ACCESS_SUSPENDED: 'The plan is suspended, because payment failed for too long. The limits are those of the free plan. Update the card to get the plan back.',
};

/** Stripe's status of a subscription whose trial has ended without a card. */
const PAUSED = 'paused';

const PAUSED_PROBLEM = 'The trial has ended without a card. The limits are those of the free plan. Add a card, and then resume the plan: its price is charged at once.';

/** The account's subscription; null when it never had one. */
export const useSubscription = () =>
  useApiQuery(['subscription'], async (trivet, signal) => {
    try {
      return (await trivet.get('/api/v1/billing/subscription', {}, { signal })).subscription;
    } catch (e) {
      if (e instanceof TrivetError && e.code === 'NOT_FOUND') return null;
      throw e;
    }
  });

/** What the account has bought, what is wrong with its payment, and the ways to end it and to Stripe's page. */
export function Subscription({ paused }: { paused: boolean }) {
  const subscription = useSubscription();
  const planName = usePlanName();
  const plans = usePlans();
  const { organization } = useOrganization();
  const seats = plans.data?.plans.find((p) => p.id === subscription.data?.planId && p.version === subscription.data?.planVersion)?.seats; // an earlier version may have others
  const s = subscription.data;
  const problem = s && (s.status === PAUSED ? PAUSED_PROBLEM : PROBLEMS[s.access]);
  const [state, tone] = (s && ACCESS[s.access]) ?? ['unknown', 'mute'];
  return (
    <Card title="Subscription" action={s && <Badge tone={tone}>{state}</Badge>}>
      {subscription.isPending && <Loading label="Loading the subscription" rows={2} />}
      {subscription.isError && <Failure error={subscription.error} retry={() => void subscription.refetch()} />}
      {s === null && <p className="text-sm text-mute">The account has no subscription. Choose a plan below, or buy credit once.</p>}
      {problem && <p role="alert" className="mb-3 rounded-lg border border-warn p-3 text-sm text-warn">{problem}</p>}
      {s && (
        <div className="flex flex-wrap items-end justify-between gap-3">
          <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1 text-sm">
            {facts(s, planName, seats, organization?.membersCount).map(([name, value]) => <div key={name} className="contents"><dt className="text-mute">{name}</dt><dd>{value}</dd></div>)}
          </dl>
          <Actions subscription={s} paused={paused} />
        </div>
      )}
    </Card>
  );
}

function Actions({ subscription: s, paused }: { subscription: Schemas['Subscription']; paused: boolean }) {
  const portal = usePortal();
  const resume = useResume();
  const [canceling, setCanceling] = useState(false);
  const live = s.access !== 'SUBSCRIPTION_ACCESS_ENDED';
  const isPaused = live && s.status === PAUSED;
  return (
    <div className="flex flex-wrap justify-end gap-2">
      {live && s.scheduledChange && !s.cancelTime && <Button kind="primary" disabled={paused || resume.isPending} onClick={() => resume.mutate()}>{resume.isPending ? 'Keeping …' : 'Keep the plan as it is'}</Button>}
      {live && (s.cancelTime || isPaused) && <Button kind="primary" disabled={paused || resume.isPending} onClick={() => resume.mutate()}>{resume.isPending ? 'Resuming …' : 'Resume the plan'}</Button>}
      {live && !s.cancelTime && <Button disabled={paused} onClick={() => setCanceling(true)}>Cancel the plan</Button>}
      <Button disabled={paused || portal.isPending} onClick={() => portal.mutate()}>{portal.isPending ? 'Opening …' : 'Cards, tax ids and invoices'}</Button>
      {(portal.isError || resume.isError) && <div className="w-full"><Failure error={portal.error ?? resume.error} /></div>}
      {canceling && <CancelPlan subscription={s} onClose={() => setCanceling(false)} />}
    </div>
  );
}

const every = (interval: Schemas['BillingInterval']): string => (interval === 'BILLING_INTERVAL_YEAR' ? 'every year' : 'every month');

/** What the subscription becomes, and when. */
function laterPlan(change: Schemas['ScheduledChange'], plan: string): string {
  const seats = change.seats > 1 ? `, ${change.seats.toLocaleString()} seats` : '';
  return `to ${plan}${seats}, charged ${every(change.interval)}${change.effectiveTime ? `, on ${formatDate(change.effectiveTime)}` : ''}`;
}

/** How many seats the account has, how many of them its members use, and the maximum. */
function seatsOf(s: Schemas['Subscription'], seats: Schemas['PlanSeats'], members: number | undefined): string {
  const used = members === undefined ? '' : `, ${members.toLocaleString()} used`;
  return `${s.seats.toLocaleString()} of at most ${mostSeats(seats, s.interval).toLocaleString()}${used}${seats.perMember ? ', their number follows the members' : ''}`;
}

/** Whether the period is followed by another one, unless somebody cancels the plan. */
const renews = (s: Schemas['Subscription']): boolean => s.access !== 'SUBSCRIPTION_ACCESS_ENDED' && s.status !== PAUSED;

function facts(s: Schemas['Subscription'], planName: (id: string) => string, seats: Schemas['PlanSeats'] | undefined, members: number | undefined): [string, string][] {
  const all: [string, string | false | undefined][] = [
    ['Plan', planName(s.planId)], ['Charged', every(s.interval)], ['Seats', seats ? seatsOf(s, seats, members) : s.seats > 1 && s.seats.toLocaleString()],
    [s.status === PAUSED ? 'Trial ended' : 'Trial ends', (s.access === 'SUBSCRIPTION_ACCESS_TRIAL' || s.status === PAUSED) && s.trialEndTime && formatDate(s.trialEndTime)],
    s.cancelTime ? ['Ends', formatDate(s.cancelTime)] : ['Renews', renews(s) && s.periodEndTime && formatDate(s.periodEndTime)],
    ['Changes', s.scheduledChange && laterPlan(s.scheduledChange, planName(s.scheduledChange.planId))],
  ];
  return all.filter((row): row is [string, string] => !!row[1]);
}
