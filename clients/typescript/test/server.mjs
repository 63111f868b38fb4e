import { createServer } from 'node:http';

/** A server on this machine whose answers a test writes: each request gets the next of handlers, or the last again. */
export async function serve(t, ...handlers) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    requests.push({ method: request.method, url: request.url, headers: request.headers, body: Buffer.concat(chunks).toString() });
    await handlers[Math.min(requests.length, handlers.length) - 1](response, request);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); }));
  return { baseUrl: `http://127.0.0.1:${server.address().port}`, requests };
}

export function json(status, body, headers = {}) {
  return (response) => response.writeHead(status, { 'content-type': 'application/json', 'x-request-id': 'req_1', ...headers }).end(JSON.stringify(body));
}

export function failure(status, code, more = {}) {
  return json(status, { error: `failed: ${code}`, code, requestId: 'req_1', ...more });
}

export function stream(...chunks) {
  return (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'x-request-id': 'req_1' });
    for (const chunk of chunks) response.write(chunk);
    response.end();
  };
}
