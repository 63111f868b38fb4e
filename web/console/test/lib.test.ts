import { expect, test } from 'vitest';
import { decimals, minorUnits, nanoOf, percent, step, typedDollars } from '../src/lib/money';
import { emptyFilter, requestQuery } from '../src/lib/requests';
import { curl, openai } from '../src/lib/snippets';
import { formatShare } from '../src/lib/status';
import { formatMillis, lastDays } from '../src/lib/time';
import { groupOf, readUsage, stacks, type UsageRow } from '../src/lib/usage';

const row = (day: string, model: string, cost: string): UsageRow => ({ day, model, userId: '', apiKeyId: '', requests: '1', costNanoUsd: cost, usage: { inputTokens: '1', cachedInputTokens: '0', outputTokens: '1', reasoningTokens: '0' } });

test.each([
  ['5', '5000000000'], [' $12.50 ', '12500000000'], ['1,000', '1000000000000'], ['0.000000001', '1'], ['0', '0'], ['999999999', '999999999000000000'],
  ['', undefined], ['five', undefined], ['-1', undefined], ['1e3', undefined], ['.5', undefined], ['5.', undefined], ['0.0000000001', undefined], ['9999999999', undefined],
  ['12,50', undefined], ['1,5', undefined], ['1,00', undefined], ['1,0000', undefined], [',5', undefined], ['12,345,678.9', '12345678900000000'],
])('nanoOf(%s) is %s', (typed, want) => expect(nanoOf(typed)).toBe(want));

test.each([['0', '0.00'], ['1', '0.000000001'], ['5000000000', '5.00'], ['5001000000', '5.001'], ['12500000000', '12.50'], ['1234567000000000', '1234567.00']])('%s nano-dollars are typed as %s', (nano, want) => {
  expect(typedDollars(nano)).toBe(want);
  expect(nanoOf(want)).toBe(nano);
});

test.each([
  [0n, 10n, 0], [1n, 3n, 33.3], [2n, 3n, 66.7], [10n, 10n, 100], [20n, 10n, 100], [5n, 0n, 0], [-1n, 10n, 0], [9_007_199_254_740_993n, 18_014_398_509_481_986n, 50],
])('percent(%s, %s) is %s', (part, whole, want) => expect(percent(part, whole)).toBe(want));

test.each([
  [1n, 1n], [4n, 1n], [5n, 2n], [8n, 2n], [9n, 5n], [20n, 5n], [21n, 10n], [4_000_000_000n, 1_000_000_000n], [4_000_000_001n, 2_000_000_000n],
])('four steps that reach %s are %s each', (amount, want) => expect(step(amount, 4n)).toBe(want));

test.each([[1n, 9], [5_000n, 6], [10_000_000n, 2], [500_000_000n, 2], [1_000_000_000n, 0], [20_000_000_000n, 0]])('steps of %s need %s decimals', (size, want) => expect(decimals(size)).toBe(want));

test('days end today, in UTC, and cross months', () => {
  expect(lastDays(3, Date.UTC(2026, 2, 1, 0, 30))).toEqual(['2026-02-27', '2026-02-28', '2026-03-01']);
});

test('stacks have every day, sort models by cost, and add exactly', () => {
  const rows = [row('2026-01-02', 'b', '9007199254740993'), row('2026-01-02', 'a', '1'), row('2026-01-03', 'a', '2')];
  const { names, stacks: days } = stacks(rows, ['2026-01-01', '2026-01-02', '2026-01-03']);
  expect(names).toEqual(['b', 'a']);
  expect(days.map((d) => d.sum)).toEqual([0n, 9_007_199_254_740_994n, 2n]);
  expect(days[1]?.parts).toEqual([{ name: 'b', cost: 9_007_199_254_740_993n }, { name: 'a', cost: 1n }]);
});

test('the whole report is read, page by page, and the sum is the server\'s', async () => {
  const asked: unknown[] = [];
  const total = { requests: '3', costNanoUsd: '3', usage: row('', '', '0').usage };
  const get = async (_: string, { query }: { query: { pageToken?: string } }) => {
    asked.push(query.pageToken);
    return { rows: [row('2026-01-01', 'm', '1')], total, nextPageToken: ['p2', 'p3', ''][asked.length - 1] };
  };
  const usage = await readUsage({ get } as never, { startDay: '2026-01-01', endDay: '2026-01-31' }, new AbortController().signal);
  expect(usage.rows).toHaveLength(3);
  expect(usage.total).toBe(total);
  expect(asked).toEqual([undefined, 'p2', 'p3']);
});

test('a report without end is given up', async () => {
  const rows = Array.from({ length: 5_000 }, () => row('2026-01-01', 'm', '1'));
  const get = async () => ({ rows, total: {}, nextPageToken: 'more' });
  await expect(readUsage({ get } as never, { startDay: '', endDay: '' }, new AbortController().signal)).rejects.toThrow('shorter range');
});

test('stacks divide by member and by key, whatever their ids contain', () => {
  const rows = [{ ...row('2026-01-02', '', '2'), userId: 'u 1', apiKeyId: 'k' }, { ...row('2026-01-02', '', '3'), userId: '', apiKeyId: 'k' }, { ...row('2026-01-02', '', '5'), userId: 'u 1', apiKeyId: '' }];
  expect(stacks(rows, ['2026-01-02'], groupOf.USAGE_GROUPING_USER).stacks[0]?.parts).toEqual([{ name: 'u 1', cost: 7n }, { name: '', cost: 3n }]);
  expect(stacks(rows, ['2026-01-02'], groupOf.USAGE_GROUPING_API_KEY).stacks[0]?.parts).toEqual([{ name: '', cost: 5n }, { name: 'k', cost: 5n }]);
});

test('snippets keep every character of the conversation', () => {
  const turns = [{ role: 'user', content: `it's "quoted" $HOME \`x\` \\n` }];
  const command = curl('https://api.example.com', 'gpt-4o-mini', turns);
  const body = /-d '([\s\S]*)'\n$/.exec(command)?.[1]?.replaceAll(`'\\''`, "'");
  expect(JSON.parse(body ?? '')).toEqual({ model: 'gpt-4o-mini', messages: turns, stream: true });
  const request = /create\(([\s\S]*)\);\nfor/.exec(openai('https://api.example.com', 'gpt-4o-mini', turns))?.[1];
  expect(JSON.parse(request ?? '')).toEqual({ model: 'gpt-4o-mini', messages: turns, stream: true });
});

test('a filter of requests sends what is set, and whole days', () => {
  expect(requestQuery(emptyFilter)).toEqual({});
  expect(requestQuery({ accountId: 'a', startDay: '2026-02-28', endDay: '2026-02-28', outcome: 'OUTCOME_REFUSED', model: 'm', userId: 'u', apiKeyId: 'k', requestId: 'r' })).toEqual({
    accountId: 'a', startTime: new Date(2026, 1, 28).toISOString(), endTime: new Date(2026, 2, 1).toISOString(), outcome: 'OUTCOME_REFUSED', model: 'm', userId: 'u', apiKeyId: 'k', requestId: 'r',
  });
});

test.each([[0, '–'], [1, '1 ms'], [999, '999 ms'], [1000, '1 sec'], [12_345, '12.3 sec']])('%d ms is %s', (millis, want) => expect(formatMillis(millis)).toBe(want));

test.each([[1, '100%'], [0.9996, '99.9%'], [0.29, '29%'], [0, '0%']])('a success rate of %d is %s', (share, want) => expect(formatShare(share)).toBe(want));

test.each([
  ['2000', 'usd', '$20.00'], ['5', 'usd', '$0.05'], ['-1250', 'USD', '-$12.50'], ['500', 'jpy', '¥500'], ['1234', 'kwd', 'KWD 1.234'], ['500', 'isk', 'ISK 5.00'], ['900719925474099301', 'usd', '$9,007,199,254,740,993.01'],
])('%s minor units of %s are %s', (amount, currency, want) => expect(minorUnits(amount, currency).replace('\u00a0', ' ')).toBe(want));
