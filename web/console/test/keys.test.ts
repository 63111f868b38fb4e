import { expect, test } from 'vitest';
import { changesOf, limitsOf, readLimits } from '../src/lib/keys';

const key = { name: 'reports', spendLimitNanoUsd: '0', requestsPerMinute: 60, requestsPerDay: 0, tokensPerMinute: 90_000, concurrentStreams: 4 };

function form(fields: Record<string, string>): FormData {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.set(name, value);
  return data;
}

test('limits read as people say them', () => {
  expect(limitsOf(key)).toBe('60 requests per minute, 90,000 tokens per minute, 4 concurrent streams');
  expect(limitsOf({ ...key, spendLimitNanoUsd: '5000000000', requestsPerMinute: 0, requestsPerDay: 7, tokensPerMinute: 0, concurrentStreams: 0 })).toBe('$5.00 per period, 7 requests per day');
  expect(limitsOf({ spendLimitNanoUsd: '0', requestsPerMinute: 0, requestsPerDay: 0, tokensPerMinute: 0, concurrentStreams: 0 })).toBe("the plan's");
});

test("an empty field is the plan's limit", () => {
  expect(readLimits(form({ requestsPerMinute: '5', requestsPerDay: '' }))).toEqual({ requestsPerMinute: 5, requestsPerDay: 0, tokensPerMinute: 0, concurrentStreams: 0 });
});

test('only what changed is sent', () => {
  const same = { name: ' reports ', requestsPerMinute: '60', requestsPerDay: '', tokensPerMinute: '90000', concurrentStreams: '4' };
  expect(changesOf(key, form(same))).toEqual({});
  expect(changesOf(key, form({ ...same, name: 'x', requestsPerDay: '8', tokensPerMinute: '' }))).toEqual({ name: 'x', requestsPerDay: 8, tokensPerMinute: 0 });
});
