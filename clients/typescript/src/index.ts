export { Trivet, type CallOptions, type ClientOptions } from './client.js';
export { TrivetError, type ErrorCode, type ErrorDetail } from './errors.js';
export { addNanoUsd, formatNanoUsd, parseNanoUsd, type NanoUsd } from './money.js';
export type { Answer, FeedPath, FilePath, Path, Piece, Report, Request, Schemas, StreamPath } from './types.js';
