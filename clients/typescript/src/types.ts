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
