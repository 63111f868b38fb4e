// The types of OpenAI's client, as an answer on the wire has them: `output_text` is a helper that the client adds, members that may be absent may
// also be null, as in OpenAI's own answers, and members that other versions of the client or the Open Responses specification require are allowed.
import type { ErrorObject } from "openai/resources/shared";
import type { Response, ResponseErrorEvent, ResponseFunctionCallArgumentsDoneEvent, ResponseStreamEvent } from "openai/resources/responses/responses";

type OnTheWire<T> = T extends (infer U)[] ? OnTheWire<U>[] : T extends object ? { [K in keyof T]: undefined extends T[K] ? OnTheWire<T[K]> | null : OnTheWire<T[K]> } : T;
type Specified = { presence_penalty: number; frequency_penalty: number; store: boolean };
type Added<T> = T extends { response: Response } ? Omit<T, "response"> & { response: Answer } : T extends ResponseFunctionCallArgumentsDoneEvent ? OnTheWire<T> & { name: string } : OnTheWire<T>;

export type Answer = OnTheWire<Omit<Response, "output_text">> & Specified;
export type Events = Added<ResponseStreamEvent>[];

// Errors of the edge are OpenAI's; the two of idempotency keys also name the first call and its cost. The event has the envelope, too.
export type ErrorBody = { error: ErrorObject & { request_id?: string; cost_nano_usd?: string } };
export type ErrorEvent = ResponseErrorEvent & ErrorBody;
