import { TrivetError, errorFrom, errorOf } from './errors.js';
import type { paths } from './gen/api.js';
import { delay, mayRetry, sleep } from './retry.js';
import { events } from './sse.js';
import type { Answer, FeedPath, FilePath, Method, Path, Piece, Report, Request, Schemas, StreamPath } from './types.js';

export interface ClientOptions {
  /** The address of the edge, such as https://api.example.com; "" for the origin of the page. */
  baseUrl: string;
  /**
   * Returns the credential: a session token of Clerk or an API key. It is asked for each attempt. renew is true once after a
   * 401: the token before has expired or was revoked, so a cached one does not help.
   */
  token?: (request: { renew: boolean }) => Promise<string | null> | string | null;
  /** How often a failed call is repeated. Default 2. docs/errors.md says which calls are. */
  maxRetries?: number;
  /** Replaces the global fetch. */
  fetch?: typeof fetch;
  /** Replaces Math.random, for tests. */
  random?: () => number;
}

export interface CallOptions {
  signal?: AbortSignal;
  /** Makes a POST safe to repeat; at most 255 characters, another one for each call. */
  idempotencyKey?: string;
}

interface Call extends CallOptions {
  method: string;
  path: string;
  body?: unknown;
  accept: string;
}

/** What an address and a body are made of. */
interface Parts {
  path?: unknown;
  query?: unknown;
  body?: unknown;
}

/** A client of Trivet's REST API. It keeps no state but its options, so one serves a whole program. */
export class Trivet {
  readonly #options: ClientOptions;
  readonly #base: string;

  constructor(options: ClientOptions) {
    if (typeof options.baseUrl !== 'string') throw new TypeError('baseUrl must be the address of Trivet, such as http://127.0.0.1:8080, or "" for the origin of the page.');
    this.#options = options;
    this.#base = options.baseUrl.replace(/\/+$/, '');
  }

  /** Calls GET path. */
  get<P extends Path<'get'> & keyof paths>(path: P, request: Request<P, 'get'>, options?: CallOptions): Promise<Answer<P, 'get'>> {
    return this.#json('get', path, request, options);
  }

  /** Calls POST path. */
  post<P extends Path<'post'> & keyof paths>(path: P, request: Request<P, 'post'>, options?: CallOptions): Promise<Answer<P, 'post'>> {
    return this.#json('post', path, request, options);
  }

  /** Calls PATCH path. */
  patch<P extends Path<'patch'> & keyof paths>(path: P, request: Request<P, 'patch'>, options?: CallOptions): Promise<Answer<P, 'patch'>> {
    return this.#json('patch', path, request, options);
  }

  /** Calls DELETE path. */
  delete<P extends Path<'delete'> & keyof paths>(path: P, request: Request<P, 'delete'>, options?: CallOptions): Promise<Answer<P, 'delete'>> {
    return this.#json('delete', path, request, options);
  }

  /** Calls GET path, which answers with a file. A file that breaks off throws a TrivetError. */
  file<P extends FilePath>(path: P, request: Request<P, 'get'>, options: CallOptions = {}): Promise<Blob> {
    return this.#read('get', path, request, options, '*/*', (response) => response.blob());
  }

  /**
   * Calls POST path, which answers with events. Leaving the loop, or aborting, ends the call. A stream that breaks throws a
   * TrivetError; it is not repeated once an event has come.
   */
  stream<P extends StreamPath>(path: P, request: Request<P, 'post'>, options?: CallOptions): AsyncGenerator<Piece<P>, void, undefined> {
    return this.#events('post', path, request, options);
  }

  /**
   * Calls GET path, which answers with events until the server ends the stream; call again then. Leaving the loop, or
   * aborting, ends the call.
   */
  listen<P extends FeedPath>(path: P, request: Request<P, 'get'>, options?: CallOptions): AsyncGenerator<Report<P>, void, undefined> {
    return this.#events('get', path, request, options);
  }

  /** Answers a conversation. */
  chat(request: Schemas['ChatRequest'], options?: CallOptions): Promise<Schemas['ChatResponse']> {
    return this.post('/api/v1/chat', { body: request }, options);
  }

  /**
   * Answers a conversation piece by piece. Leaving the loop, or aborting, ends the call; what was produced until then is
   * billed. A stream that breaks throws a TrivetError; it is not repeated once a piece has come.
   */
  async *chatStream(request: Schemas['ChatStreamRequest'], options?: CallOptions): AsyncGenerator<Schemas['ChatStreamResponse'], void, undefined> {
    let ended = false;
    for await (const piece of this.stream('/api/v1/chat:stream', { body: request }, options)) {
      ended ||= Boolean(piece.finishReason);
      yield piece;
    }
    if (!ended) throw new TrivetError(200, 'NETWORK_ERROR', 'The stream ended before the answer did.');
  }

  async *#events<E>(method: Method, path: string, request: Parts, options: CallOptions = {}): AsyncGenerator<E, void, undefined> {
    const response = await this.#send({ ...options, method: method.toUpperCase(), path: address(path, request), body: request.body, accept: 'text/event-stream' });
    const requestId = response.headers.get('x-request-id') ?? undefined;
    if (!response.body) throw new TrivetError(response.status, 'NETWORK_ERROR', 'The answer has no body.', { requestId });
    try {
      for await (const { event, data } of events(response.body)) {
        if (event === 'error') throw errorFrom(data, response.status, response.headers);
        yield JSON.parse(data) as E;
      }
    } catch (cause) {
      if (cause instanceof TrivetError) throw cause;
      options.signal?.throwIfAborted();
      throw new TrivetError(response.status, 'NETWORK_ERROR', 'The stream broke off.', { cause, requestId });
    }
  }

  #json<R>(method: Method, path: string, request: Parts, options: CallOptions = {}): Promise<R> {
    return this.#read(method, path, request, options, 'application/json', (response) => response.json() as Promise<R>);
  }

  async #read<R>(method: Method, path: string, request: Parts, options: CallOptions, accept: string, read: (response: Response) => Promise<R>): Promise<R> {
    const response = await this.#send({ ...options, method: method.toUpperCase(), path: address(path, request), body: request.body, accept });
    try {
      return await read(response);
    } catch (cause) {
      options.signal?.throwIfAborted();
      throw new TrivetError(response.status, 'NETWORK_ERROR', 'The answer broke off or cannot be read.', { cause, requestId: response.headers.get('x-request-id') ?? undefined });
    }
  }

  /** Sends a call until it succeeds or may not be repeated. */
  async #send(call: Call): Promise<Response> {
    let renewed = false;
    let renew = false;
    for (let attempt = 0; ; ) {
      const failure = await this.#attempt(call, renew);
      renew = false;
      if (!(failure instanceof TrivetError)) return failure;
      if (failure.status === 401 && !renewed && this.#options.token) {
        renewed = renew = true; // the token may have expired on its way
        continue;
      }
      if (attempt >= (this.#options.maxRetries ?? 2) || !mayRetry(call, failure.code)) throw failure;
      await sleep(delay(attempt, failure.retryAfter, this.#options.random ?? Math.random), call.signal);
      attempt++;
    }
  }

  async #attempt(call: Call, renew: boolean): Promise<Response | TrivetError> {
    const headers = new Headers({ accept: call.accept });
    const token = await this.#options.token?.({ renew });
    if (token) headers.set('authorization', `Bearer ${token}`);
    if (call.body !== undefined) headers.set('content-type', 'application/json');
    if (call.idempotencyKey !== undefined) headers.set('idempotency-key', call.idempotencyKey);
    let response: Response;
    try {
      response = await (this.#options.fetch ?? fetch)(this.#base + call.path, {
        method: call.method,
        headers,
        ...(call.body !== undefined && { body: JSON.stringify(call.body) }),
        ...(call.signal && { signal: call.signal }),
      });
    } catch (cause) {
      call.signal?.throwIfAborted();
      return new TrivetError(0, 'NETWORK_ERROR', 'The server cannot be reached.', { cause });
    }
    return response.ok ? response : errorOf(response);
  }
}

/** The path with its parameters and its query filled in. */
function address(path: string, request: Parts): string {
  const parameters = (request.path ?? {}) as Record<string, unknown>;
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = parameters[name];
    if (value === undefined || value === '') throw new TypeError(`The path parameter ${name} of ${path} is missing.`);
    return encodeURIComponent(String(value));
  });
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries((request.query ?? {}) as Record<string, unknown>)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) query.append(name, String(one));
  }
  return query.size > 0 ? `${filled}?${query}` : filled;
}
