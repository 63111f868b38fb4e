import { useMutation } from '@tanstack/react-query';
import type { Schemas } from '@trivet/client';
import { useLocation, useSearch } from 'wouter';
import { useApi } from './api';
import { base } from './config';

const page = (): string => `${location.origin}${base}/billing`;

type Item = Omit<Schemas['CreateCheckoutSessionRequest'], 'successUrl' | 'cancelUrl'>;

/** Opens Stripe's page for a purchase. A repeated attempt with the same key opens no second one. */
export function useCheckout() {
  const { trivet } = useApi();
  return useMutation({
    mutationFn: (item: Item) =>
      trivet.post('/api/v1/billing/checkoutSessions', { body: { ...item, successUrl: `${page()}?checkout={CHECKOUT_SESSION_ID}`, cancelUrl: page() } }, { idempotencyKey: crypto.randomUUID() }),
    onSuccess: ({ checkoutSession }) => location.assign(checkoutSession.url),
  });
}

/** Opens Stripe's page for cards, tax ids, invoices and cancelling. */
export function usePortal() {
  const { trivet } = useApi();
  return useMutation({
    mutationFn: () => trivet.post('/api/v1/billing/portalSessions', { body: { returnUrl: page() } }, { idempotencyKey: crypto.randomUUID() }),
    onSuccess: ({ portalSession }) => location.assign(portalSession.url),
  });
}

/** The checkout session that the person comes back from; clear forgets it. */
export function useReturn(): { session: string | undefined; clear: () => void } {
  const [at, navigate] = useLocation();
  const session = new URLSearchParams(useSearch()).get('checkout') ?? undefined;
  return { session: session && /^cs_\w+$/.test(session) ? session : undefined, clear: () => navigate(at, { replace: true }) };
}
