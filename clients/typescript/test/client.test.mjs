import assert from 'node:assert/strict';
import test from 'node:test';
import { Trivet, TrivetError } from '../dist/index.js';
import { failure, json, serve, stream } from './server.mjs';

const chat = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hi' }] };
const client = (baseUrl, more = {}) => new Trivet({ baseUrl, token: () => 'token_1', random: () => 0, ...more });
const pieces = async (all) => { const out = []; for await (const piece of all) out.push(piece); return out; };

test('a call sends its credential, path, query and body', async (t) => {
  const { baseUrl, requests } = await serve(t, json(200, { rows: [] }), json(200, { apiKey: { id: 'key_1' } }), json(200, {}));
  const trivet = client(`${baseUrl}/`);
  assert.deepEqual(await trivet.get('/api/v1/billing/usage', { query: { pageSize: 10, pageToken: undefined } }), { rows: [] });
  await trivet.post('/api/v1/apiKeys', { body: { name: 'ci' } }, { idempotencyKey: 'once' });
  await trivet.delete('/api/v1/apiKeys/{apiKeyId}', { path: { apiKeyId: 'a/b c' } });
  assert.deepEqual(requests.map((r) => [r.method, r.url]), [['GET', '/api/v1/billing/usage?pageSize=10'], ['POST', '/api/v1/apiKeys'], ['DELETE', '/api/v1/apiKeys/a%2Fb%20c']]);
  assert.equal(requests[0].headers.authorization, 'Bearer token_1');
  assert.equal(requests[1].headers['idempotency-key'], 'once');
  assert.equal(requests[1].body, '{"name":"ci"}');
  await assert.rejects(trivet.delete('/api/v1/apiKeys/{apiKeyId}', { path: {} }), /path parameter apiKeyId/);
});

test('a client without an address says what is missing', () => {
  assert.throws(() => new Trivet({ baseUrl: process.env.NOT_SET }), /baseUrl must be the address of Trivet/);
  assert.ok(new Trivet({ baseUrl: '' }));
});

test('an error carries everything that the body says', async (t) => {
  const details = [{ field: 'messages[0].role', problem: 'must be user' }];
  const { baseUrl } = await serve(t, failure(400, 'INVALID_ARGUMENT', { details }), (r) => r.writeHead(502).end('<html>'), json(429, { error: { message: 'slow', code: 'rate_limit_exceeded' } }, { 'retry-after': '7' }));
  const trivet = client(baseUrl, { maxRetries: 0 });
  await assert.rejects(trivet.chat(chat), (e) => {
    assert.ok(e instanceof TrivetError);
    assert.deepEqual([e.status, e.code, e.message, e.requestId, e.details], [400, 'INVALID_ARGUMENT', 'failed: INVALID_ARGUMENT', 'req_1', details]);
    return true;
  });
  await assert.rejects(trivet.chat(chat), (e) => e.code === 'UNKNOWN' && e.status === 502);
  await assert.rejects(trivet.chat(chat), (e) => e.code === 'RATE_LIMIT_EXCEEDED' && e.retryAfter === 7 && e.message === 'slow');
});

for (const [name, call, status, code, attempts] of [
  ['a read is repeated', (c) => c.get('/api/v1/models', {}), 503, 'SERVICE_UNAVAILABLE', 3],
  ['a read that cannot succeed is not', (c) => c.get('/api/v1/models', {}), 404, 'NOT_FOUND', 1],
  ['an unknown failure is not', (c) => c.get('/api/v1/models', {}), 500, 'SOMETHING_NEW', 1],
  ['a billed call without an idempotency key is not', (c) => c.chat(chat), 503, 'SERVICE_UNAVAILABLE', 1],
  ['not even when it was refused', (c) => c.chat(chat), 429, 'RATE_LIMIT_EXCEEDED', 1],
  ['a stream neither', (c) => pieces(c.chatStream(chat)), 429, 'RATE_LIMIT_EXCEEDED', 1],
  ['a billed call with an idempotency key is', (c) => c.chat(chat, { idempotencyKey: 'k' }), 503, 'SERVICE_UNAVAILABLE', 3],
  ['a POST that was refused before it had an effect is', (c) => c.post('/api/v1/apiKeys', { body: { name: 'a' } }), 429, 'RATE_LIMIT_EXCEEDED', 3],
  ['a POST that may have had an effect is not', (c) => c.post('/api/v1/apiKeys', { body: { name: 'a' } }), 502, 'UPSTREAM_ERROR', 1],
]) {
  test(`retries: ${name}`, async (t) => {
    const { baseUrl, requests } = await serve(t, failure(status, code));
    await assert.rejects(call(client(baseUrl)), (e) => e.code === code);
    assert.equal(requests.length, attempts);
  });
}

test('a retry succeeds, and waits as long as the server says', async (t) => {
  const { baseUrl, requests } = await serve(t, failure(429, 'RATE_LIMIT_EXCEEDED', { retryAfter: 0 }), json(200, { models: [] }));
  assert.deepEqual(await client(baseUrl).get('/api/v1/models', {}), { models: [] });
  assert.equal(requests.length, 2);
});

test('waiting for a retry ends with the signal', async (t) => {
  const { baseUrl, requests } = await serve(t, failure(429, 'RATE_LIMIT_EXCEEDED', { retryAfter: 3600 }));
  const controller = new AbortController();
  const call = client(baseUrl).get('/api/v1/models', {}, { signal: controller.signal });
  setTimeout(() => controller.abort(new Error('enough')), 50);
  await assert.rejects(call, /enough/);
  assert.equal(requests.length, 1);
});

test('a refused token is asked for once more', async (t) => {
  const tokens = ['old', 'new', 'new'];
  const { baseUrl, requests } = await serve(t, failure(401, 'INVALID_TOKEN'), failure(503, 'SERVICE_UNAVAILABLE'), json(200, { models: [] }));
  const asked = [];
  const token = async ({ renew }) => {
    asked.push(renew);
    return tokens.shift();
  };
  await client(baseUrl, { token }).get('/api/v1/models', {});
  assert.deepEqual(requests.map((r) => r.headers.authorization), ['Bearer old', 'Bearer new', 'Bearer new']);
  assert.deepEqual(asked, [false, true, false], 'a cached token is good enough, except after a 401');

  const never = await serve(t, failure(401, 'INVALID_TOKEN'));
  await assert.rejects(client(never.baseUrl).get('/api/v1/models', {}), (e) => e.code === 'INVALID_TOKEN');
  assert.equal(never.requests.length, 2);
});

test('a server that is not there is a NETWORK_ERROR', async () => {
  await assert.rejects(client('http://127.0.0.1:9', { maxRetries: 0 }).get('/api/v1/models', {}), (e) => e.code === 'NETWORK_ERROR' && e.status === 0);
});

test('a stream yields its pieces', async (t) => {
  const { baseUrl, requests } = await serve(t, stream(
    '\uFEFF: hello\n\ndata: {"delta":"H\u00e4', '"}\r', '\n\r\nevent: ping\n\ndata: {"delta":\ndata: "llo"}\n\n', 'data:{"finishReason":"stop","usage":{"outputTokens":2}}\r\rdata: {"half'));
  const got = await pieces(client(baseUrl).chatStream(chat));
  assert.deepEqual(got, [{ delta: 'H\u00e4' }, { delta: 'llo' }, { finishReason: 'stop', usage: { outputTokens: 2 } }]);
  assert.equal(requests[0].headers.accept, 'text/event-stream');
});

test('an error within a stream keeps its reason, and is not repeated', async (t) => {
  const { baseUrl, requests } = await serve(t, stream('data: {"delta":"a"}\n\n', 'event: error\ndata: {"error":"broke","code":"UPSTREAM_ERROR","requestId":"req_9"}\n\n'));
  const got = [];
  await assert.rejects(async () => { for await (const piece of client(baseUrl).chatStream(chat, { idempotencyKey: 'k' })) got.push(piece); },
    (e) => e.code === 'UPSTREAM_ERROR' && e.requestId === 'req_9' && e.message === 'broke');
  assert.deepEqual(got, [{ delta: 'a' }]);
  assert.equal(requests.length, 1);
});

for (const [name, handler] of [
  ['ends before the answer does', stream('data: {"delta":"a"}\n\n')],
  ['breaks off', (r) => { r.writeHead(200, { 'content-type': 'text/event-stream' }); r.write('data: {"delta":"a"}\n\n', () => r.destroy()); }],
  ['is not JSON', stream('data: {"delta":"a"}\n\ndata: {oops\n\n')],
]) {
  test(`a stream that ${name} is a NETWORK_ERROR`, async (t) => {
    const { baseUrl, requests } = await serve(t, handler);
    await assert.rejects(pieces(client(baseUrl).chatStream(chat, { idempotencyKey: 'k' })), (e) => e instanceof TrivetError && e.code === 'NETWORK_ERROR');
    assert.equal(requests.length, 1);
  });
}

test('leaving the loop, or aborting, ends the call', async (t) => {
  const closed = [];
  const endless = (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const timer = setInterval(() => response.write('data: {"delta":"a"}\n\n'), 5);
    response.on('close', () => { clearInterval(timer); closed.push(true); });
  };
  const { baseUrl } = await serve(t, endless);
  for await (const _ of client(baseUrl).chatStream(chat)) break;
  const controller = new AbortController();
  await assert.rejects(async () => {
    for await (const _ of client(baseUrl).chatStream(chat, { signal: controller.signal })) controller.abort(new Error('stop'));
  }, /stop/);
  while (closed.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
});

test('delays have full jitter, grow, and are bounded', async () => {
  const { delay } = await import('../dist/retry.js');
  assert.deepEqual([0, 1, 2, 3, 4, 5, 50].map((attempt) => delay(attempt, undefined, () => 1)), [500, 1000, 2000, 4000, 8000, 8000, 8000]);
  assert.equal(delay(3, undefined, () => 0), 0);
  assert.equal(delay(0, 12, () => 0), 12_000);
  assert.equal(delay(0, 12, () => 1), 12_500);
});

test('a stream of any kind yields its events, and ends when the server ends it', async (t) => {
  const { baseUrl, requests } = await serve(t,
    stream('data: {"kind":"users"}\n\n: ping\ndata: {"kind":"users","done":true}\n\n'), stream(''), failure(409, 'CONFLICT'), stream('event: error\ndata: {"error":"away","code":"UPSTREAM_ERROR"}\n\n'));
  const run = () => pieces(client(baseUrl).stream('/api/v1/auth:reconcile', { body: {} }));
  assert.deepEqual(await run(), [{ kind: 'users' }, { kind: 'users', done: true }]);
  assert.deepEqual(await run(), []);
  await assert.rejects(run(), (e) => e.code === 'CONFLICT' && e.status === 409);
  await assert.rejects(run(), (e) => e.code === 'UPSTREAM_ERROR' && e.message === 'away');
  assert.deepEqual(requests.map((r) => [r.method, r.url, r.body]), Array(4).fill(['POST', '/api/v1/auth:reconcile', '{}']));
});

test('a feed yields its events, and is opened again by the caller', async (t) => {
  const { baseUrl, requests } = await serve(t, stream('data: {"status":"operational"}\n\n: ping\n\n', 'data: {"status":"down"}\n\n'), failure(404, 'NOT_FOUND'));
  const feed = () => pieces(client(baseUrl).listen('/api/v1/status/stream', {}));
  assert.deepEqual(await feed(), [{ status: 'operational' }, { status: 'down' }]);
  await assert.rejects(feed(), (e) => e.code === 'NOT_FOUND');
  assert.deepEqual(requests.map((r) => [r.method, r.url, r.body, r.headers.accept]), Array(2).fill(['GET', '/api/v1/status/stream', '', 'text/event-stream']));
});

test('a file is whole, or an error', async (t) => {
  const { baseUrl, requests } = await serve(t, (r) => r.writeHead(200, { 'content-type': 'text/csv' }).end('day,model\r\n'), failure(403, 'PERMISSION_DENIED'),
    (r) => { r.writeHead(200, { 'content-type': 'text/csv' }); r.write('day,mod', () => r.destroy()); });
  const file = () => client(baseUrl).file('/api/v1/billing/usage:export', { query: { groupBy: ['USAGE_GROUPING_USER', 'USAGE_GROUPING_API_KEY'] } });
  assert.equal(await (await file()).text(), 'day,model\r\n');
  await assert.rejects(file(), (e) => e.code === 'PERMISSION_DENIED');
  await assert.rejects(file(), (e) => e instanceof TrivetError && e.code === 'NETWORK_ERROR');
  assert.equal(requests[0].url, '/api/v1/billing/usage:export?groupBy=USAGE_GROUPING_USER&groupBy=USAGE_GROUPING_API_KEY');
});
