import { formatNanoUsd, type Trivet } from '@trivet/client';
import { useEffect, useState } from 'react';

/** The balance, a button that buys credit, and a banner while payments cannot be made. */
export function Payment({ trivet }: { trivet: Trivet }) {
  const [banner, setBanner] = useState('');
  const [balance, setBalance] = useState<string>();
  const [problem, setProblem] = useState('');

  useEffect(() => {
    const controller = new AbortController();
    const options = { signal: controller.signal };
    const read = async () => {
      if (document.hidden) return;
      const [status, account] = await Promise.all([trivet.get('/api/v1/status', {}, options), trivet.get('/api/v1/billing/account', {}, options)]);
      setBanner(status.integrations['stripe']?.banner ?? '');
      setBalance(account.account.availableNanoUsd);
    };
    const poll = () => void read().catch((e: unknown) => controller.signal.aborted || setProblem(e instanceof Error ? e.message : String(e)));
    poll();
    const timer = setInterval(poll, 5_000);
    return () => {
      clearInterval(timer);
      controller.abort();
    };
  }, [trivet]);

  const buy = async () => {
    setProblem('');
    try {
      const here = location.href;
      const { checkoutSession } = await trivet.post('/api/v1/billing/checkoutSessions', { body: { planId: 'pro', successUrl: here, cancelUrl: here } }, { idempotencyKey: crypto.randomUUID() });
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
