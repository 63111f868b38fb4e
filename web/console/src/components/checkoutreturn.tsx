import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { useApi } from '../app/api';
import { useReturn } from '../app/purchase';
import { Badge, Button, Card, Failure, Loading } from './ui';

const WAIT = 3_000;
const PATIENCE = 20;

/** What became known of the purchase that the person comes back from. */
export function CheckoutReturn() {
  const { trivet, scope } = useApi();
  const queries = useQueryClient();
  const { session, clear } = useReturn();
  const purchase = useQuery({
    queryKey: ['checkout', session, scope],
    enabled: session !== undefined,
    queryFn: async ({ signal }) => (await trivet.get('/api/v1/billing/checkoutSessions/{checkoutSessionId}', { path: { checkoutSessionId: session ?? '' } }, { signal })).checkoutSession,
    refetchInterval: ({ state }) => (state.data?.status === 'CHECKOUT_STATUS_COMPLETE' && !state.data.applied && state.dataUpdateCount < PATIENCE ? WAIT : false),
  });
  const applied = purchase.data?.applied ?? false;
  useEffect(() => {
    if (applied) for (const key of ['account', 'subscription', 'invoices', 'entries', 'topUp', 'notices']) void queries.invalidateQueries({ queryKey: [key] });
  }, [applied, queries]);
  if (session === undefined) return null;
  return (
    <Card title="Your purchase" action={<Button onClick={clear}>Close</Button>}>
      <div aria-live="polite">
        {purchase.isPending && <><Loading label="Waiting for the payment" rows={1} /><p className="text-sm text-mute">Waiting for the payment …</p></>}
        {purchase.isError && <Failure error={purchase.error} retry={() => void purchase.refetch()} />}
        {purchase.data && <Outcome status={purchase.data.status} applied={applied} />}
      </div>
    </Card>
  );
}

function Outcome({ status, applied }: { status: string; applied: boolean }) {
  if (applied) return <p className="flex flex-wrap items-center gap-3"><Badge tone="ok">paid</Badge> What you bought is in the account.</p>;
  switch (status) {
    case 'CHECKOUT_STATUS_COMPLETE': return <p className="flex flex-wrap items-center gap-3"><Badge tone="warn">paid</Badge> The payment is made. The account gets what you bought in a moment; some ways of payment take days.</p>;
    case 'CHECKOUT_STATUS_EXPIRED': return <p className="flex flex-wrap items-center gap-3"><Badge tone="mute">expired</Badge> The page was open for too long, and nothing was charged.</p>;
    default: return <p className="flex flex-wrap items-center gap-3"><Badge tone="mute">open</Badge> The purchase was not completed, and nothing was charged.</p>;
  }
}
