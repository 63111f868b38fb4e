export { Trivet, type CallOptions, type ClientOptions } from './client.js';
export { TrivetError, type ErrorCode, type ErrorDetail } from './errors.js';
export { addNanoUsd, formatNanoUsd, parseNanoUsd, type NanoUsd } from './money.js';
export type { Answer, Path, Request, Schemas } from './types.js';
