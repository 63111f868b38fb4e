import type { components, paths } from './gen/api.js';

/** The schemas of the API by name. */
export type Schemas = components['schemas'];

export type Method = 'get' | 'post' | 'patch' | 'delete';

/** The paths that have the method. */
export type Path<M extends Method> = { [P in keyof paths]: paths[P][M] extends object ? P : never }[keyof paths];

type Operation<P extends keyof paths, M extends Method> = paths[P][M];

type Content<T> = T extends { content: { 'application/json': infer B } } ? B : never;

/** What a call sends: its path parameters, its query and its body, as far as it has them. */
export type Request<P extends keyof paths, M extends Method> = Parameters<Operation<P, M>> & Body<Operation<P, M>>;

type Parameters<O> = O extends { parameters: infer A }
  ? (A extends { path: infer T } ? { path: T } : { path?: never }) & (A extends { query?: infer Q } ? { query?: Q } : { query?: never })
  : { path?: never; query?: never };

type Body<O> = O extends { requestBody: infer B } ? { body: Content<B> } : { body?: never };

/** What a call answers. */
export type Answer<P extends keyof paths, M extends Method> = Operation<P, M> extends { responses: { 200: infer R } } ? Content<R> : never;

type Answers<P extends keyof paths, M extends Method, Type extends string> = Operation<P, M> extends { responses: { 200: { content: Record<Type, infer B> } } } ? B : never;

/** The paths of Trivet's own API that answer POST with a stream of events. */
export type StreamPath = { [P in keyof paths & `/api/${string}`]: [Answers<P, 'post', 'text/event-stream'>] extends [never] ? never : P }[keyof paths & `/api/${string}`];

/** An event of such a stream. */
export type Piece<P extends keyof paths> = Answers<P, 'post', 'text/event-stream'>;

/** The paths that answer GET with a stream of events. */
export type FeedPath = { [P in keyof paths & `/api/${string}`]: [Answers<P, 'get', 'text/event-stream'>] extends [never] ? never : P }[keyof paths & `/api/${string}`];

/** An event of such a stream. */
export type Report<P extends keyof paths> = Answers<P, 'get', 'text/event-stream'>;

/** The paths that answer GET with a file. */
export type FilePath = { [P in keyof paths]: [Answers<P, 'get', 'text/csv'>] extends [never] ? never : P }[keyof paths];
