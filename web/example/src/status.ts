import type { Schemas, Trivet } from '@trivet/client';

const PAUSE = 5_000;

/**
 * Shows the status of the services and of the providers behind them whenever it changes, from Trivet's stream. While the stream
 * cannot be opened, it asks. A hidden page keeps no connection.
 */
export async function followStatus(trivet: Trivet, show: (status: Schemas['Status']) => void, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await visible();
    if (signal.aborted) return;
    const stream = new AbortController();
    const stop = () => stream.abort();
    signal.addEventListener('abort', stop);
    document.addEventListener('visibilitychange', stop);
    try {
      for await (const status of trivet.listen('/api/v1/status/stream', {}, { signal: stream.signal })) show(status);
    } catch {
      if (!stream.signal.aborted) await trivet.get('/api/v1/status', {}, { signal }).then(show, () => undefined);
    } finally {
      signal.removeEventListener('abort', stop);
      document.removeEventListener('visibilitychange', stop);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

/** Waits until the page is shown. */
function visible(): Promise<void> {
  return new Promise((resolve) => {
    if (!document.hidden) return resolve();
    document.addEventListener('visibilitychange', () => resolve(), { once: true });
  });
}
