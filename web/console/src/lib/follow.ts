/** What reports come from. */
export interface Source<R> {
  /** Opens a stream of reports. */
  open: (signal: AbortSignal) => AsyncIterable<R>;
  /** Asks for a report while there is no stream. It shows the report, or the failure, by itself. */
  poll: () => Promise<unknown>;
  show: (report: R) => void;
  /** Whether the second report lacks what the first has because the stream's credential has expired. */
  expired: (before: R, report: R) => boolean;
}

/** How long to wait for the first report of a stream, because a proxy may hold it back, and between two polls. */
export const PATIENCE = 10_000;
/** After how long without a report the stream is opened again, because its connection may be dead. */
export const SILENCE = 60_000;

/** Shows the reports of a stream until the signal aborts, and polls while the stream cannot be opened. */
export async function follow<R>(source: Source<R>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    if (await streamed(source, signal)) continue;
    if (signal.aborted) return;
    await source.poll();
    await pause(PATIENCE, signal);
  }
}

/** Shows the reports of one stream. Returns whether to open another at once. */
async function streamed<R>(source: Source<R>, signal: AbortSignal): Promise<boolean> {
  const connection = new AbortController();
  const abort = () => connection.abort();
  signal.addEventListener('abort', abort);
  let timer = setTimeout(abort, PATIENCE);
  let last: R | undefined;
  try {
    for await (const report of source.open(connection.signal)) {
      clearTimeout(timer);
      timer = setTimeout(abort, SILENCE);
      if (last !== undefined && source.expired(last, report)) return true;
      source.show(report);
      last = report;
    }
    return false; // the server has ended it
  } catch {
    return last !== undefined && connection.signal.aborted && !signal.aborted; // it was silent
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
