// Compiled by a test under "moduleResolution": "nodenext", as a Node.js back end in TypeScript is.
import { create, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { createClient, type Client } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AIService, ChatRequestSchema, ModelKind, type ChatResponse } from "@trivet/proto/trivet/ai/v1/ai_pb";
import { GetUsageRequestSchema } from "@trivet/proto/trivet/billing/v1/billing_pb.js";

const request: MessageInitShape<typeof ChatRequestSchema> = {
  model: "gpt-5-mini",
  maxTokens: 256,
  messages: [{ role: "user", content: "Hello" }],
};
export const bytes: Uint8Array = toBinary(ChatRequestSchema, create(ChatRequestSchema, request));
export const page = create(GetUsageRequestSchema, { pageSize: 100 });
export const kind: ModelKind = ModelKind.CHAT;

const client: Client<typeof AIService> = createClient(AIService, createGrpcTransport({ baseUrl: "http://127.0.0.1:9090" }));

export async function chat(): Promise<bigint> {
  const answer: ChatResponse = await client.chat(request);
  const tokens: number = answer.usage?.outputTokens ?? 0;
  return answer.costNanoUsd + BigInt(tokens);
}
