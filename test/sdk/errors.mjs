// Fails calls in every way that OpenAI's clients tell apart, with their own retries, and prints a line for each: what the
// caller catches, and how many attempts have reached the edge. test/e2e compares them with the table in INTEGRATIONS.md.
import assert from "node:assert/strict";
import http from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [edge, apiKey] = process.argv.slice(2);
const faults = JSON.parse(process.argv[4]); // names of models
const require = createRequire(new URL("clients/package.json", import.meta.url));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { OpenAI } = await load("openai");
const agents = await load("@openai/agents");
const ai = await load("ai");
const { createOpenAI } = await load("@ai-sdk/openai");
const { ChatOpenAI } = await load("@langchain/openai");

// The clients reach the edge through a proxy that counts: /CASE/v1/… is an attempt of that case. It cuts the first
// connections of a case as often as its name says, and never answers a silent one.
const attempts = new Map();
const proxy = http.createServer((request, response) => {
  const [, name, ...path] = request.url.split("/");
  attempts.set(name, (attempts.get(name) ?? 0) + 1);
  if (attempts.get(name) <= Number(/^cut(\d+)/.exec(name)?.[1] ?? 0)) return request.socket.destroy();
  if (name.startsWith("silent")) return undefined;
  const onward = http.request(`${edge}/${path.join("/")}`, { method: request.method, headers: { ...request.headers, host: new URL(edge).host } }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  onward.on("error", () => response.destroy());
  return request.pipe(onward);
});
await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
const to = (name) => `http://127.0.0.1:${proxy.address().port}/${name}/v1`;

const messages = [{ role: "user", content: "hi" }];
const read = async (stream) => { for await (const _ of stream); };
const official = {
  chat: (client, model) => client.chat.completions.create({ model, messages }),
  "chat-stream": async (client, model) => read(await client.chat.completions.create({ model, messages, stream: true })),
  responses: (client, model) => client.responses.create({ model, input: "hi", store: false }),
  "responses-stream": async (client, model) => read(await client.responses.create({ model, input: "hi", store: false, stream: true })),
};

// outcome makes a call and tells what the caller catches.
async function outcome(name, call) {
  let caught = "no error";
  try {
    await call();
  } catch (error) {
    const last = error.lastError ?? error.cause ?? error; // of ai, which keeps OpenAI's members in data
    const { type, code, param } = last.data?.error ?? error;
    caught = [`\`${error.constructor.name}\``, error.status ?? error.statusCode ?? last.statusCode ?? last.status, type && `\`${type}\``, typeof code === "string" && `\`${code}\``, param && `param \`${param}\``]
      .filter(Boolean).join(" ");
    if (error.status) assert.match(error.requestID ?? error.headers?.get?.("x-request-id") ?? "req_", /^req_/, name);
    assert.ok(error.message, name);
    console.error(`${name}: ${error.message}`);
  }
  return `${caught}|${attempts.get(name) ?? 0}`;
}

const rows = [], first = [], { promise: quiet, resolve: others } = Promise.withResolvers();
const row = (client, about, result, into = first) => {
  rows.push(result.then((text) => [client, about, text]));
  into.push(rows.at(-1));
};
// A timeout of a client also counts the time in which a busy machine does something else, so these calls wait for all others.
const ownRow = (client, name, about, call) =>
  name === "silent" ? row(client, about, quiet.then(call), []) : row(client, about, call());

// The official client: every fault in four forms, which are the same for the caller.
for (const name of faults) {
  row("openai", name, Promise.all(Object.entries(official).map(([form, call]) => {
    const at = `${name}-${form}`;
    return outcome(at, () => call(new OpenAI({ baseURL: to(at), apiKey }), at));
  })).then((results) => {
    const [first, ...others] = results;
    for (const other of others) assert.equal(other, first, `${name}: ${results.join("; ")}`);
    return first;
  }));
}
const own = [
  ["wrong-key", "Trivet: a wrong API key", { key: "wrong" }],
  ["silent", "the client's own timeout", { timeout: 1000 }],
  ["cut9", "connections to Trivet break", {}],
  ["cut2", "two connections to Trivet break, the third works", {}],
];
for (const [name, about, { key = apiKey, ...more }] of own) {
  ownRow("openai", name, about, () => Promise.all(Object.entries(official).map(([form, call]) =>
    outcome(`${name}-${form}`, () => call(new OpenAI({ baseURL: to(`${name}-${form}`), apiKey: key, ...more }), "works")))).then((results) => {
    assert.equal(new Set(results).size, 1, `${name}: ${results.join("; ")}`);
    return results[0];
  }));
}
const client = (name) => new OpenAI({ baseURL: to(name), apiKey });
row("openai", "Trivet: an unknown model", outcome("unknown", () => official.chat(client("unknown"), "gpt-99")));
row("openai", "Trivet: an idempotency key that was used", (async () => {
  const options = { idempotencyKey: "key-of-errors", headers: { "Idempotency-Key": "key-of-errors" } };
  await client("first").chat.completions.create({ model: "works", messages }, options);
  return outcome("again", () => client("again").chat.completions.create({ model: "works", messages }, options));
})());

// The others, in the form that each has by default.
agents.setTracingDisabled(true);
for (const [client, call] of Object.entries({
  "@openai/agents": async (at, model, { key = apiKey, ...more }) => {
    const responses = new agents.OpenAIResponsesModel(new OpenAI({ baseURL: to(at), apiKey: key, ...more }), model);
    return agents.run(new agents.Agent({ name: "a", model: responses, modelSettings: { store: false } }), "hi");
  },
  "ai": (at, model, { key = apiKey, ...more }) => ai.generateText({ model: createOpenAI({ baseURL: to(at), apiKey: key })(model), prompt: "hi", providerOptions: { openai: { store: false } }, ...more }),
  "@langchain/openai": (at, model, { key = apiKey, ...more }) => new ChatOpenAI({ model, apiKey: key, maxRetries: 2, configuration: { baseURL: to(at) }, ...more }).invoke("hi"),
})) {
  const form = client.replace(/\W/g, "");
  for (const fault of faults) row(client, fault, outcome(`${fault}-${form}`, () => call(`${fault}-${form}`, `${fault}-${form}`, {})));
  for (const [name, about, more] of own) ownRow(client, name, about, () => outcome(`${name}-${form}`, () => call(`${name}-${form}`, "works", more)));
  row(client, "Trivet: an unknown model", outcome(`unknown-${form}`, () => call(`unknown-${form}`, "gpt-99", {})));
}

await Promise.allSettled(first);
others();
let failed = 0;
for (const result of await Promise.allSettled(rows)) {
  if (result.status === "fulfilled") console.log(["row", ...result.value].join("|"));
  else { failed++; console.error(result.reason); }
}
proxy.closeAllConnections();
proxy.close();
process.exit(failed === 0 ? 0 : 1);
