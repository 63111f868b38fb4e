import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { follow, PATIENCE, SILENCE, type Source } from '../src/lib/follow';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A stream that a test writes to. */
class Stream {
  #waiting: ((result: { report?: string; end?: boolean; error?: Error }) => void) | undefined;
  #queue: { report?: string; end?: boolean; error?: Error }[] = [];
  constructor(readonly signal: AbortSignal) {
    signal.addEventListener('abort', () => this.#put({ error: new Error('aborted') }));
  }
  send(report: string): void { this.#put({ report }); }
  end(): void { this.#put({ end: true }); }
  fail(): void { this.#put({ error: new Error('cut') }); }
  #put(what: { report?: string; end?: boolean; error?: Error }): void {
    if (this.#waiting) this.#waiting(what);
    else this.#queue.push(what);
    this.#waiting = undefined;
  }
  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    for (;;) {
      const next = this.#queue.shift() ?? (await new Promise<{ report?: string; end?: boolean; error?: Error }>((resolve) => { this.#waiting = resolve; }));
      if (next.error) throw next.error;
      if (next.end) return;
      yield next.report ?? '';
    }
  }
}

function start() {
  const streams: Stream[] = [];
  const shown: string[] = [];
  let polls = 0;
  const source: Source<string> = {
    open: (signal) => {
      const stream = new Stream(signal);
      streams.push(stream);
      return stream;
    },
    poll: async () => { polls++; },
    show: (report) => shown.push(report),
    expired: (before, report) => before.startsWith('figures') && !report.startsWith('figures'),
  };
  const controller = new AbortController();
  const done = follow(source, controller.signal);
  const latest = () => streams.at(-1) as Stream;
  return { streams, shown, latest, polls: () => polls, stop: async () => { controller.abort(); await done; } };
}

const after = (ms: number) => vi.advanceTimersByTimeAsync(ms);

test('a stream is shown and nothing is polled', async () => {
  const f = start();
  f.latest().send('a');
  await after(SILENCE - 1);
  f.latest().send('b');
  await after(SILENCE - 1);
  expect([f.shown, f.polls(), f.streams.length]).toEqual([['a', 'b'], 0, 1]);
  await f.stop();
  expect(f.latest().signal.aborted).toBe(true);
});

test.each([['fails', (s: Stream) => s.fail()], ['ends', (s: Stream) => s.end()]])('while a stream %s, reports are polled, and the stream is tried again', async (_, stop) => {
  const f = start();
  for (let i = 1; i <= 3; i++) {
    stop(f.latest());
    await after(0);
    expect([f.polls(), f.streams.length]).toEqual([i, i]);
    await after(PATIENCE);
    expect(f.streams.length).toBe(i + 1);
  }
  f.latest().send('back');
  await after(PATIENCE * 3);
  expect([f.shown, f.polls()]).toEqual([['back'], 3]);
  await f.stop();
});

test('a stream without a first report is given up for a poll', async () => {
  const f = start();
  await after(PATIENCE - 1);
  expect(f.polls()).toBe(0);
  await after(1);
  expect([f.polls(), f.latest().signal.aborted]).toEqual([1, true]);
  await f.stop();
});

test('a silent stream is opened again at once', async () => {
  const f = start();
  f.latest().send('a');
  await after(SILENCE);
  expect([f.streams.length, f.polls()]).toEqual([2, 0]);
  f.latest().send('a');
  await after(0);
  expect(f.shown).toEqual(['a', 'a']);
  await f.stop();
});

test('a stream whose credential has expired is opened again, and the lesser report is not shown', async () => {
  const f = start();
  f.latest().send('figures 1');
  await after(0);
  f.latest().send('public');
  await after(0);
  expect([f.streams.length, f.shown, f.polls()]).toEqual([2, ['figures 1'], 0]);
  f.latest().send('public');
  await after(0);
  expect([f.streams.length, f.shown]).toEqual([2, ['figures 1', 'public']]);
  await f.stop();
});

test('after the end nothing is opened or polled', async () => {
  const f = start();
  f.latest().fail();
  await after(0);
  await f.stop();
  await after(PATIENCE * 10);
  expect([f.streams.length, f.polls()]).toEqual([1, 1]);
  expect(vi.getTimerCount()).toBe(0);
});
