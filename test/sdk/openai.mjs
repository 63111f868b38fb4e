// Drives Trivet with OpenAI's own SDK, as a user would after changing only baseURL; test/e2e runs it.
import assert from "node:assert/strict";
import OpenAI, { APIError, AuthenticationError } from "openai";

const [baseURL, token, sandbox] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: token, maxRetries: 0 });
const messages = [{ role: "user", content: "Hello there" }];

async function fault(fields) {
  const response = await fetch(`${sandbox}/control/faults`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ provider: "openai", count: 1, ...fields }),
  });
  assert.equal(response.status, 201, await response.text());
}

const steps = {
  async "chat completion"() {
    const answer = await client.chat.completions.create({ model: "gpt-4o-mini", messages });
    assert.ok(answer.choices[0].message.content.length > 0);
    assert.ok(answer.usage.total_tokens > 0);
    assert.match(answer._request_id, /^req_/);
  },
  async "stream with usage"() {
    const stream = await client.chat.completions.create({ model: "gpt-4o-mini", messages, stream: true, stream_options: { include_usage: true } });
    let text = "", usage;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.ok(text.length > 0);
    assert.ok(usage.completion_tokens > 0);
  },
  async "stream helper"() {
    const runner = client.chat.completions.stream({ model: "gpt-4o-mini", messages });
    assert.equal((await runner.finalChatCompletion()).choices[0].finish_reason, "stop");
  },
  async "tools"() {
    const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } } }];
    const answer = await client.chat.completions.create({ model: "gpt-4o-mini", messages, tools, tool_choice: "required" });
    assert.equal(answer.choices[0].message.tool_calls[0].function.name, "weather");
    assert.equal(answer.choices[0].finish_reason, "tool_calls");
  },
  async "embeddings, base64 by default"() {
    const answer = await client.embeddings.create({ model: "text-embedding-3-small", input: ["a", "b"] });
    assert.equal(answer.data.length, 2);
    assert.equal(answer.data[0].embedding.length, 1536);
    assert.equal(typeof answer.data[0].embedding[0], "number");
  },
  async "models"() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    assert.ok(ids.includes("gpt-4o-mini"));
    assert.equal((await client.models.retrieve("gpt-4o-mini")).id, "gpt-4o-mini");
  },
  async "errors have status, code and message"() {
    await assert.rejects(client.chat.completions.create({ model: "gpt-99", messages }), (e) => e instanceof APIError && e.status === 404 && e.code === "model_not_found" && /gpt-4o-mini/.test(e.message));
    await assert.rejects(new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 }).models.list(), (e) => e instanceof AuthenticationError && e.status === 401);
  },
  async "a provider's 429 is retried after its delay"() {
    await fault({ kind: "rate_limit", retry_after: 1 });
    const answer = await client.chat.completions.create({ model: "gpt-4o-mini", messages }, { maxRetries: 1 });
    assert.ok(answer.choices.length === 1);
  },
  async "a cut stream throws"() {
    for (const kind of ["cut", "eof", "stream_error"]) {
      await fault({ kind, after_chunks: 3 });
      const stream = await client.chat.completions.create({ model: "gpt-4o-mini", messages, stream: true });
      await assert.rejects(async () => { for await (const _ of stream); }, undefined, kind);
    }
  },
  async "an aborted stream ends"() {
    const stream = await client.chat.completions.create({ model: "gpt-4o-mini", messages, stream: true });
    for await (const _ of stream) { stream.controller.abort(); break; }
  },
};

for (const [name, step] of Object.entries(steps)) {
  await step();
  console.log(`ok ${name}`);
}
console.log(`${Object.keys(steps).length} steps passed`);
