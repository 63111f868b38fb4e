import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { Schemas } from '@trivet/client';
import { useState } from 'react';
import { useApi } from '../app/api';
import { formatDate } from '../lib/time';
import { Dialog } from './dialog';
import { Button, Failure } from './ui';

type Subscription = Schemas['Subscription'];

/** A change of the subscription, which the page then shows. */
function useSubscriptionCall(call: (trivet: ReturnType<typeof useApi>['trivet']) => Promise<{ subscription: Subscription }>, done?: () => void) {
  const { trivet, scope } = useApi();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => call(trivet),
    onSuccess: ({ subscription }) => {
      queries.setQueryData(['subscription', scope], subscription);
      for (const key of ['account', 'entries', 'topUp', 'notices']) void queries.invalidateQueries({ queryKey: [key] });
      done?.();
    },
  });
}

/** Takes a cancellation back. */
export const useResume = () => useSubscriptionCall((trivet) => trivet.post('/api/v1/billing/subscription:resume', { body: {} }));

/** Asks when the plan shall end, and cancels it. */
export function CancelPlan({ subscription: s, onClose }: { subscription: Subscription; onClose: () => void }) {
  const [now, setNow] = useState(false);
  const cancel = useSubscriptionCall((trivet) => trivet.post('/api/v1/billing/subscription:cancel', { body: { now } }), onClose);
  const end = s.periodEndTime ? `on ${formatDate(s.periodEndTime)}` : 'at the end of the period';
  return (
    <Dialog title="Cancel the plan" onClose={onClose}>
      <fieldset className="space-y-2 text-sm">
        <legend className="mb-2">When should the plan end? The account then has the limits of the free plan. Credit that you bought apart from the plan stays.</legend>
        <label className="flex items-start gap-2"><input type="radio" name="when" className="mt-1" checked={!now} onChange={() => setNow(false)} data-autofocus /> <span>At the end of the period, {end}. You can resume it until then.</span></label>
        <label className="flex items-start gap-2"><input type="radio" name="when" className="mt-1" checked={now} onChange={() => setNow(true)} /> <span>Now, without a refund. This cannot be undone.</span></label>
      </fieldset>
      {cancel.isError && <div className="mt-3"><Failure error={cancel.error} /></div>}
      <div className="mt-5 flex justify-end gap-2">
        <Button onClick={onClose}>Keep the plan</Button>
        <Button kind="danger" disabled={cancel.isPending} onClick={() => cancel.mutate()}>{cancel.isPending ? 'Canceling …' : 'Cancel the plan'}</Button>
      </div>
    </Dialog>
  );
}
