// Drives Trivet's gRPC API with the generated protobuf-es package and Connect, as a Node.js back end would; test/e2e runs it.
import assert from "node:assert/strict";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AIService, ModelKind } from "@trivet/proto/trivet/ai/v1/ai_pb";
import { BillingService } from "@trivet/proto/trivet/billing/v1/billing_pb";

const [address, token] = process.argv.slice(2);
const authorize = (next) => (request) => {
  request.header.set("authorization", `Bearer ${token}`);
  return next(request);
};
const transport = createGrpcTransport({ baseUrl: `http://${address}`, interceptors: [authorize] });
const ai = createClient(AIService, transport);
const billing = createClient(BillingService, transport);
const request = { model: "gpt-4o-mini", maxTokens: 6, messages: [{ role: "user", content: "Hello" }] };

const steps = {
  async "list models"() {
    const { models } = await ai.listModels({});
    assert.equal(models.find((m) => m.id === "gpt-4o-mini").kind, ModelKind.CHAT);
  },
  async "chat"() {
    const answer = await ai.chat(request);
    assert.equal(answer.usage.outputTokens, 6);
    assert.ok(answer.costNanoUsd > 0n);
  },
  async "stream"() {
    let text = "", last;
    for await (const piece of ai.chatStream(request)) {
      text += piece.delta;
      last = piece;
    }
    assert.ok(text.length > 0);
    assert.equal(last.usage.outputTokens, 6);
  },
  async "account"() {
    const { account } = await billing.getAccount({});
    assert.equal(account.planId, "free");
    assert.equal(account.periodUsage.requests, 2n);
  },
  async "an error has a code and details"() {
    const failure = await ai.chat({ ...request, model: "gpt-99" }).then(assert.fail, ConnectError.from);
    assert.equal(failure.code, Code.NotFound);
    assert.ok(failure.details.some((d) => d.type === "google.rpc.ErrorInfo"));
  },
};

for (const [name, step] of Object.entries(steps)) {
  try {
    await step();
  } catch (error) {
    console.error(`step failed: ${name}`);
    throw error;
  }
}
console.log(`${Object.keys(steps).length} steps passed`);
