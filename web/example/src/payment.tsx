import { formatNanoUsd, type Trivet } from '@trivet/client';
import { useEffect, useState } from 'react';
import { followStatus } from './status';

/** The balance, a button that buys a plan, and a banner while payments cannot be made. */
export function Payment({ trivet }: { trivet: Trivet }) {
  const [banner, setBanner] = useState('');
  const [balance, setBalance] = useState<string>();
  const [problem, setProblem] = useState('');

  useEffect(() => {
    const controller = new AbortController();
    const options = { signal: controller.signal };
    const fail = (e: unknown) => controller.signal.aborted || setProblem(e instanceof Error ? e.message : String(e));
    const read = async () => setBalance((await trivet.get('/api/v1/billing/account', {}, options)).account.availableNanoUsd);
    const poll = () => document.hidden || void read().catch(fail);
    const bought = new URLSearchParams(location.search).get('checkout'); // set when Stripe sends the person back
    if (bought) void arrival(trivet, bought, options).then(poll, fail);
    poll();
    const timer = setInterval(poll, 5_000);
    void followStatus(trivet, (status) => setBanner(status.integrations['stripe']?.banner ?? ''), controller.signal);
    return () => {
      clearInterval(timer);
      controller.abort();
    };
  }, [trivet]);

  const buy = async () => {
    setProblem('');
    try {
      const here = location.origin + location.pathname;
      const body = { planId: 'pro', successUrl: `${here}?checkout={CHECKOUT_SESSION_ID}`, cancelUrl: here }; // Stripe fills the id in
      const { checkoutSession } = await trivet.post('/api/v1/billing/checkoutSessions', { body }, { idempotencyKey: crypto.randomUUID() });
      location.assign(checkoutSession.url);
    } catch (e) {
      setProblem(e instanceof Error ? e.message : String(e));
    }
  };

  return (
    <section>
      {banner && <p role="alert" className="banner">{banner}</p>}
      <p>Balance: {balance === undefined ? '…' : formatNanoUsd(balance)} <button onClick={() => void buy()} disabled={banner !== ''}>Upgrade</button></p>
      {problem && <p role="alert">{problem}</p>}
    </section>
  );
}

/** Waits until the account has what was bought; the server waits up to 10 seconds. */
async function arrival(trivet: Trivet, checkoutSessionId: string, options: { signal: AbortSignal }): Promise<void> {
  await trivet.get('/api/v1/billing/checkoutSessions/{checkoutSessionId}', { path: { checkoutSessionId } }, options);
  history.replaceState(null, '', location.pathname);
}
