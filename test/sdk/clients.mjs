// Drives Trivet with the clients that people use, each with nothing changed but its base URL. It prints a line for each
// client and feature; test/e2e compares them with the table in INTEGRATIONS.md.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [baseURL, token, sandbox] = process.argv.slice(2);
const require = createRequire(new URL("clients/package.json", import.meta.url));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { OpenAI, APIError, AuthenticationError, APIUserAbortError, BadRequestError, NotFoundError, PermissionDeniedError, toFile } = await load("openai");
const agents = await load("@openai/agents");
const ai = await load("ai");
const { createOpenAI } = await load("@ai-sdk/openai");
const { ChatOpenAI, DallEAPIWrapper, OpenAI: CompletingOpenAI, OpenAIEmbeddings } = await load("@langchain/openai");
const { zodResponseFormat, zodTextFormat } = await load("openai/helpers/zod");
const { z } = await load("zod");

const model = "gpt-4o-mini", completing = "gpt-3.5-turbo-instruct", unknown = "gpt-99", apiKey = token;
const question = "Hello there", asksTool = "Please use weather";
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const shape = z.object({ city: z.string(), warm: z.boolean() });
const slow = "[sandbox tokens=500 pace=20] Count";

async function fault(fields) {
  const response = await fetch(`${sandbox}/control/faults`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ provider: "openai", count: 1, ...fields }),
  });
  assert.equal(response.status, 201, await response.text());
}

async function collect(stream, pick) {
  const parts = [];
  for await (const part of stream) parts.push(pick(part) ?? "");
  return parts.join("");
}

// wav is a file of silence of that length: 16 bits, mono, 16 kHz.
function wav(seconds) {
  const size = 32_000 * seconds, file = Buffer.alloc(44 + size);
  file.write("RIFF"); file.writeUInt32LE(36 + size, 4); file.write("WAVEfmt ", 8); file.writeUInt32LE(16, 16); file.writeUInt16LE(1, 20); file.writeUInt16LE(1, 22);
  file.writeUInt32LE(16_000, 24); file.writeUInt32LE(32_000, 28); file.writeUInt16LE(2, 32); file.writeUInt16LE(16, 34); file.write("data", 36); file.writeUInt32LE(size, 40);
  return file;
}

const isMP3 = (bytes) => bytes.length > 417 && bytes[0] === 0xff && bytes[1] === 0xfb;
const isPNG = (base64) => Buffer.from(base64, "base64").toString("latin1", 1, 4) === "PNG";

// leave aborts a call after its beginning, and expects that the client notices.
async function leave(begin) {
  const controller = new AbortController();
  const stream = await begin(controller.signal);
  await assert.rejects(async () => {
    for await (const _ of stream) controller.abort();
    controller.signal.throwIfAborted(); // some clients end the iteration
  });
}

// The official client.
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: question }];
const chatTool = { type: "function", function: { name: "weather", parameters } };
const responseTool = { type: "function", name: "weather", parameters, strict: true };
const format = { name: "answer", strict: true, schema: { type: "object", properties: { city: { type: "string" }, warm: { type: "boolean" } }, required: ["city", "warm"], additionalProperties: false } };
const official = {
  "chat": async () => assert.ok((await client.chat.completions.create({ model, messages })).choices[0].message.content),
  "chat, streamed": async () => {
    const runner = client.chat.completions.stream({ model, messages });
    assert.equal((await runner.finalChatCompletion()).choices[0].finish_reason, "stop");
  },
  "chat, tools": async () => {
    const answer = await client.chat.completions.create({ model, messages, tools: [chatTool], tool_choice: "required" });
    assert.equal(answer.choices[0].message.tool_calls[0].function.name, "weather");
    const tell = { type: "function", function: { name: "weather", description: "Tells the weather.", parameters, parse: JSON.parse, function: ({ city }) => `21 degrees in ${city}` } };
    for (const stream of [false, true]) {
      const runner = client.chat.completions.runTools({ model, messages: [{ role: "user", content: asksTool }], tools: [tell], stream, ...(stream && { stream_options: { include_usage: true } }) });
      assert.match(await runner.finalContent(), /21/);
      assert.match(await runner.finalFunctionToolCallResult(), /21 degrees in/);
      assert.ok((await runner.totalUsage()).total_tokens > 0);
    }
  },
  "chat, structured output": async () => {
    const answer = await client.chat.completions.create({ model, messages, response_format: { type: "json_schema", json_schema: format } });
    shape.parse(JSON.parse(answer.choices[0].message.content));
    const asked = { model, messages, response_format: zodResponseFormat(shape, "answer") };
    shape.parse((await client.chat.completions.parse(asked)).choices[0].message.parsed);
    shape.parse((await client.chat.completions.stream(asked).finalChatCompletion()).choices[0].message.parsed);
  },
  "responses": async () => {
    const first = await client.responses.create({ model, input: question });
    assert.ok(first.output_text.length > 0 && first.usage.total_tokens > 0);
    const next = await client.responses.create({ model, input: "And?", previous_response_id: first.id });
    assert.equal((await client.responses.retrieve(next.id)).output_text, next.output_text);
    assert.equal((await client.responses.inputItems.list(next.id)).data.length, 1);
    assert.ok((await client.responses.inputTokens.count({ model, input: question })).input_tokens > 0);
    await client.responses.delete(first.id);
    await assert.rejects(client.responses.retrieve(first.id), (e) => e.status === 404);
  },
  "responses, streamed": async () => {
    const stream = client.responses.stream({ model, input: question });
    const kinds = new Set();
    for await (const event of stream) kinds.add(event.type);
    assert.ok(kinds.has("response.created") && kinds.has("response.output_text.delta") && kinds.has("response.completed"));
    assert.ok((await stream.finalResponse()).output_text.length > 0);
  },
  "responses, tools": async () => {
    const first = await client.responses.create({ model, input: question, tools: [responseTool], tool_choice: "required" });
    const call = first.output.find((item) => item.type === "function_call");
    assert.equal(call.name, "weather");
    const next = await client.responses.create({ model, previous_response_id: first.id, input: [{ type: "function_call_output", call_id: call.call_id, output: "21" }] });
    assert.match(next.output_text, /21/);
  },
  "responses, structured output": async () => {
    const answer = await client.responses.create({ model, input: question, text: { format: { type: "json_schema", ...format } } });
    shape.parse(JSON.parse(answer.output_text));
    const asked = { model, input: question, text: { format: zodTextFormat(shape, "answer") } };
    shape.parse((await client.responses.parse(asked)).output_parsed);
    shape.parse((await client.responses.stream(asked).finalResponse()).output_parsed);
  },
  "responses, in the background": async () => {
    const ended = async (id) => {
      for (;;) {
        const now = await client.responses.retrieve(id);
        if (now.status !== "queued" && now.status !== "in_progress") return now;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    };
    const polled = await client.responses.create({ model, input: question, background: true });
    assert.equal(polled.status, "queued");
    assert.ok((await ended(polled.id)).output_text.length > 0);
    const left = await client.responses.create({ model, input: question, background: true });
    assert.equal((await client.responses.cancel(left.id)).status, "cancelled");
    assert.equal((await client.responses.cancel(left.id)).status, "cancelled", "again");
    const first = await client.responses.create({ model, input: question, background: true, stream: true });
    let id = "", seen = -1, text = "";
    const take = (event) => {
      assert.equal(event.sequence_number, seen + 1);
      seen = event.sequence_number;
      id ||= event.response?.id ?? "";
      if (event.type === "response.output_text.delta") text += event.delta;
    };
    for await (const event of first) {
      take(event);
      if (text) break;
    }
    for await (const event of await client.responses.retrieve(id, { stream: true, starting_after: seen })) take(event);
    assert.equal(text, (await ended(id)).output_text);
    await client.responses.delete(id);
    await assert.rejects(client.responses.retrieve(id), (e) => e.status === 404);
  },
  "responses, compacted": async () => {
    const compacted = await client.responses.compact({ model, input: question });
    assert.ok(compacted.object === "response.compaction" && compacted.usage.output_tokens > 0);
  },
  "completions": async () => {
    const answer = await client.completions.create({ model: completing, prompt: question, max_tokens: 20 });
    assert.ok(answer.choices[0].text.length > 0 && answer.usage.completion_tokens > 0);
    const stream = await client.completions.create({ model: completing, prompt: question, max_tokens: 20, stream: true });
    assert.ok((await collect(stream, (part) => part.choices[0]?.text)).length > 0);
  },
  "moderations": async () => {
    for (const [input, flagged] of [["please flagme", true], [question, false]]) {
      assert.equal((await client.moderations.create({ model: "omni-moderation-latest", input })).results[0].flagged, flagged);
    }
  },
  "models": async () => {
    const ids = await collect(client.models.list(), (one) => one.id + " ");
    assert.ok(ids.includes(model));
    assert.equal((await client.models.retrieve(model)).id, model);
  },
  "embeddings": async () => assert.equal((await client.embeddings.create({ model: "text-embedding-3-small", input: "a" })).data[0].embedding.length, 1536),
  "images": async () => {
    const answer = await client.images.generate({ model: "gpt-image-1", prompt: "a red square", n: 2, quality: "low", size: "1024x1024" });
    assert.ok(answer.data.length === 2 && answer.data.every((image) => isPNG(image.b64_json)) && answer.usage.output_tokens > 0);
    assert.match((await client.images.generate({ model: "dall-e-3", prompt: "a red square" })).data[0].url, /^https:/);
  },
  "images, edited": async () => {
    const image = await Promise.all(["a.png", "b.png"].map((name) => toFile(Buffer.from("png"), name, { type: "image/png" })));
    const answer = await client.images.edit({ model: "gpt-image-1", prompt: "make it blue", image, quality: "low", size: "1024x1024" });
    assert.ok(isPNG(answer.data[0].b64_json) && answer.usage.input_tokens_details.image_tokens > 0);
  },
  "images, streamed": async () => {
    for (const begin of [
      async (more) => client.images.generate({ model: "gpt-image-1", prompt: "a red square", quality: "low", size: "1024x1024", ...more }),
      async (more) => client.images.edit({ model: "gpt-image-1", prompt: "make it blue", image: await toFile(Buffer.from("png"), "a.png"), ...more }),
    ]) {
      const events = [];
      for await (const event of await begin({ stream: true, partial_images: 2 })) events.push(event);
      assert.deepEqual(events.map((event) => event.type.split(".")[1]), ["partial_image", "partial_image", "completed"]);
      assert.ok(events.every((event) => isPNG(event.b64_json)) && events[2].usage.output_tokens > 0);
      await fault({ kind: "cut", after_chunks: 1 });
      await assert.rejects(async () => { for await (const _ of await begin({ stream: true, partial_images: 2 })); }, "a stream that breaks off");
    }
  },
  "speech": async () => {
    const sound = await client.audio.speech.create({ model: "tts-1", voice: "alloy", input: "Hello, it is good to speak" });
    assert.equal(sound.headers.get("content-type"), "audio/mpeg");
    const parts = [];
    for await (const part of sound.body) parts.push(part); // as it comes
    assert.ok(isMP3(Buffer.concat(parts)));
  },
  "transcription": async () => {
    const file = await toFile(wav(2), "speech.wav");
    const answer = await client.audio.transcriptions.create({ model: "whisper-1", file });
    assert.ok(answer.text.length > 0 && answer.usage.seconds === 2);
    assert.match(await client.audio.transcriptions.create({ model: "whisper-1", file, response_format: "srt" }), /-->/);
    assert.ok((await client.audio.transcriptions.create({ model: "gpt-4o-transcribe", file })).usage.output_tokens > 0);
  },
  "transcription, streamed": async () => {
    const file = await toFile(wav(2), "speech.wav");
    const begin = () => client.audio.transcriptions.create({ model: "gpt-4o-transcribe", file, stream: true });
    let text = "", last;
    for await (const event of await begin()) { text += event.delta ?? ""; last = event; }
    assert.ok(text.length > 0 && last.type === "transcript.text.done" && last.text === text && last.usage.output_tokens > 0);
    await fault({ kind: "stream_error", after_chunks: 2 });
    await assert.rejects(async () => { for await (const _ of await begin()); }, "a stream that breaks off");
  },
  "translation": async () => assert.match((await client.audio.translations.create({ model: "whisper-1", file: await toFile(wav(1), "speech.wav") })).text, /Translated/),
  "errors of images and sound": async () => {
    const file = await toFile(wav(1), "speech.wav"), broken = await toFile(Buffer.alloc(0), "empty.wav");
    const calls = {
      "images/generations": (more, options) => client.images.generate({ model: "gpt-image-1", prompt: "a", ...more }, options),
      "images/edits": async (more, options) => client.images.edit({ model: "gpt-image-1", prompt: "a", image: await toFile(Buffer.from("png"), "a.png"), ...more }, options),
      "audio/speech": (more, options) => client.audio.speech.create({ model: "tts-1", voice: "alloy", input: "a", ...more }, options),
      "audio/transcriptions": (more, options) => client.audio.transcriptions.create({ model: "whisper-1", file, ...more }, options),
      "audio/translations": (more, options) => client.audio.translations.create({ model: "whisper-1", file, ...more }, options),
    };
    for (const [path, call] of Object.entries(calls)) {
      await assert.rejects(call({ model: unknown }), (e) => e instanceof NotFoundError && e.code === "model_not_found", path);
      await assert.rejects(call({ model }), (e) => e instanceof BadRequestError && e.param === "model", `${path}: a model of another kind`);
      await fault({ kind: "status", status: 403, body: JSON.stringify({ error: { message: "Rejected", type: "invalid_request_error", param: null, code: "content_policy_violation" } }) });
      await assert.rejects(call(), (e) => e instanceof PermissionDeniedError && e.code === "content_policy_violation", path);
    }
    await fault({ kind: "rate_limit", retry_after: 1 });
    await calls["images/generations"]({}, { maxRetries: 2 });
    await assert.rejects(calls["images/generations"]({ n: 11 }), (e) => e instanceof BadRequestError && e.param === "n");
    await assert.rejects(calls["images/generations"]({ size: "1x1" }), (e) => e instanceof BadRequestError && e.param === "size", "the provider's own refusal");
    await assert.rejects(calls["audio/speech"]({ input: "a".repeat(5_000) }), (e) => e instanceof BadRequestError && e.param === "input");
    await assert.rejects(calls["audio/transcriptions"]({ file: broken }), (e) => e instanceof BadRequestError && e.param === "file");
    await assert.rejects(new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 }).images.generate({ model: "dall-e-3", prompt: "a" }), AuthenticationError);
    await fault({ kind: "cut", after_chunks: 1 });
    const sound = await client.audio.speech.create({ model: "tts-1", voice: "alloy", input: "Hello, it is good to speak" });
    await assert.rejects(sound.arrayBuffer(), "a sound that breaks off");
  },
  "errors": async () => {
    await assert.rejects(client.responses.create({ model: unknown, input: "x" }), (e) => e instanceof APIError && e.status === 404 && e.code === "model_not_found");
    await assert.rejects(client.responses.create({ model, input: "x", background: true, store: false }), (e) => e.status === 400 && e.param === "background");
    await assert.rejects(new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 }).responses.create({ model, input: "x" }), (e) => e instanceof AuthenticationError);
  },
  "errors within a stream": async () => {
    for (const kind of ["cut", "eof", "stream_error"]) {
      for (const begin of [() => client.responses.create({ model, input: question, stream: true }), () => client.chat.completions.create({ model, messages, stream: true })]) {
        await fault({ kind, after_chunks: 3 });
        const stream = await begin();
        await assert.rejects(async () => { for await (const _ of stream); }, kind);
      }
    }
  },
  "retries": async () => {
    await fault({ kind: "rate_limit", retry_after: 1 });
    assert.ok((await client.responses.create({ model, input: question }, { maxRetries: 2 })).output_text);
  },
  "abort": async () => {
    await leave((signal) => client.responses.create({ model, input: slow, stream: true }, { signal }));
    const controller = new AbortController();
    const answer = client.responses.create({ model, input: question }, { signal: controller.signal });
    controller.abort();
    await assert.rejects(answer, APIUserAbortError);
  },
};

// The Agents SDK, which uses Responses unless it is told otherwise.
agents.setDefaultOpenAIClient(client);
agents.setTracingDisabled(true);
const weather = agents.tool({ name: "weather", description: "Tells the weather.", parameters: z.object({ city: z.string() }), execute: async () => "21 degrees" });
const agentOf = (more) => new agents.Agent({ name: "Assistant", instructions: "Be brief.", model, ...more });
const chatModel = new agents.OpenAIChatCompletionsModel(client, model);
const streamed = async (agent) => {
  const result = await agents.run(agent, question, { stream: true });
  const text = await collect(result.toTextStream(), (part) => part);
  await result.completed;
  assert.equal(text, result.finalOutput);
};
const withTool = async (agent) => assert.match((await agents.run(agent, asksTool)).finalOutput, /21/);
const agentsSDK = {
  "chat": async () => assert.ok((await agents.run(agentOf({ model: chatModel }), question)).finalOutput),
  "chat, streamed": async () => streamed(agentOf({ model: chatModel })),
  "chat, tools": async () => withTool(agentOf({ model: chatModel, tools: [weather] })),
  "chat, structured output": async () => shape.parse((await agents.run(agentOf({ model: chatModel, outputType: shape }), question)).finalOutput),
  "responses": async () => assert.ok((await agents.run(agentOf(), question)).finalOutput),
  "responses, streamed": async () => streamed(agentOf()),
  "responses, tools": async () => withTool(agentOf({ tools: [weather] })),
  "responses, structured output": async () => shape.parse((await agents.run(agentOf({ outputType: shape }), question)).finalOutput),
  "errors": async () => assert.rejects(agents.run(agentOf({ model: unknown }), question), (e) => e.status === 404),
  "errors within a stream": async () => {
    await fault({ kind: "cut", after_chunks: 3 });
    const result = await agents.run(agentOf(), question, { stream: true });
    await assert.rejects(async () => { await collect(result.toTextStream(), (part) => part); await result.completed; });
  },
  "retries": async () => {
    agents.setDefaultOpenAIClient(new OpenAI({ baseURL, apiKey, maxRetries: 2 }));
    await fault({ kind: "rate_limit", retry_after: 1 });
    assert.ok((await agents.run(agentOf(), question)).finalOutput);
  },
  "abort": async () => {
    const controller = new AbortController();
    const result = await agents.run(agentOf(), slow, { stream: true, signal: controller.signal });
    await assert.rejects(async () => {
      for await (const _ of result.toTextStream()) controller.abort();
      await result.completed;
      controller.signal.throwIfAborted();
    });
  },
};

// Vercel's AI SDK: openai(id) is Responses, openai.chat(id) is chat completions.
const openai = createOpenAI({ baseURL, apiKey });
const aiTools = { weather: ai.tool({ description: "Tells the weather.", inputSchema: z.object({ city: z.string() }), execute: async () => "21 degrees" }) };
const aiSteps = (of) => ({
  plain: async () => assert.ok((await ai.generateText({ model: of(model), prompt: question, maxRetries: 0 })).text),
  streamed: async () => {
    const result = ai.streamText({ model: of(model), prompt: question, maxRetries: 0 });
    assert.ok((await collect(result.textStream, (part) => part)).length > 0);
    assert.equal(await result.finishReason, "stop");
    assert.ok((await result.usage).outputTokens > 0);
  },
  tools: async () => assert.match((await ai.generateText({ model: of(model), prompt: asksTool, tools: aiTools, stopWhen: ai.stepCountIs(3), maxRetries: 0 })).text, /21/),
  structured: async () => shape.parse((await ai.generateText({ model: of(model), prompt: question, output: ai.Output.object({ schema: shape }), maxRetries: 0 })).output),
});
const aiChat = aiSteps((id) => openai.chat(id)), aiResponses = aiSteps((id) => openai(id));
const vercel = {
  "chat": aiChat.plain, "chat, streamed": aiChat.streamed, "chat, tools": aiChat.tools, "chat, structured output": aiChat.structured,
  "responses": aiResponses.plain, "responses, streamed": aiResponses.streamed, "responses, tools": aiResponses.tools, "responses, structured output": aiResponses.structured,
  "completions": async () => assert.ok((await ai.generateText({ model: openai.completion(completing), prompt: question, maxRetries: 0 })).text),
  "images": async () => assert.ok(isPNG((await ai.generateImage({ model: openai.image("gpt-image-1"), prompt: "a red square", size: "1024x1024", maxRetries: 0 })).image.base64)),
  "images, edited": async () => assert.ok(isPNG((await ai.generateImage({ model: openai.image("gpt-image-1"), prompt: { text: "make it blue", images: [Buffer.from("png")] }, maxRetries: 0 })).image.base64)),
  "speech": async () => assert.ok(isMP3((await ai.generateSpeech({ model: openai.speech("tts-1"), text: "Hello, it is good to speak", voice: "alloy", maxRetries: 0 })).audio.uint8Array)),
  "transcription": async () => assert.ok((await ai.transcribe({ model: openai.transcription("whisper-1"), audio: wav(2), maxRetries: 0 })).text.length > 0),
  "errors of images and sound": async () => {
    await assert.rejects(ai.generateImage({ model: openai.image(unknown), prompt: "a", maxRetries: 0 }), (e) => e.statusCode === 404);
    await assert.rejects(ai.generateSpeech({ model: openai.speech(unknown), text: "a", maxRetries: 0 }), (e) => e.statusCode === 404);
    await assert.rejects(ai.transcribe({ model: openai.transcription(unknown), audio: wav(1), maxRetries: 0 }), (e) => e.statusCode === 404);
  },
  "embeddings": async () => assert.equal((await ai.embed({ model: openai.embedding("text-embedding-3-small"), value: "a" })).embedding.length, 1536),
  "errors": async () => {
    await assert.rejects(ai.generateText({ model: openai(unknown), prompt: "x", maxRetries: 0 }), (e) => e.statusCode === 404);
    await assert.rejects(ai.generateText({ model: createOpenAI({ baseURL, apiKey: "wrong" })(model), prompt: "x", maxRetries: 0 }), (e) => e.statusCode === 401);
  },
  "errors within a stream": async () => {
    for (const of of [(id) => openai(id), (id) => openai.chat(id)]) {
      for (const kind of ["cut", "stream_error"]) {
        await fault({ kind, after_chunks: 3 });
        const errors = [];
        const result = ai.streamText({ model: of(model), prompt: question, maxRetries: 0, onError: ({ error }) => errors.push(error) });
        try { await collect(result.textStream, (part) => part); } catch (error) { errors.push(error); }
        assert.ok(errors.length > 0, kind);
      }
    }
  },
  "retries": async () => {
    await fault({ kind: "rate_limit", retry_after: 1 });
    assert.ok((await ai.generateText({ model: openai(model), prompt: question, maxRetries: 2 })).text);
  },
  "abort": async () => {
    const controller = new AbortController();
    const seen = [];
    const result = ai.streamText({ model: openai(model), prompt: slow, abortSignal: controller.signal, maxRetries: 0, onAbort: () => seen.push("abort"), onError: ({ error }) => seen.push(error) });
    try { for await (const _ of result.textStream) controller.abort(); } catch (error) { seen.push(error); }
    assert.ok(seen.length > 0);
  },
};

// LangChain.
const chain = (more) => new ChatOpenAI({ model, apiKey, maxRetries: 0, configuration: { baseURL }, ...more });
const chainTool = { type: "function", function: { name: "weather", description: "Tells the weather.", parameters } };
const chainSteps = (more) => ({
  plain: async () => assert.ok((await chain(more).invoke(question)).text),
  streamed: async () => assert.ok((await collect(await chain(more).stream(question), (part) => part.text)).length > 0),
  tools: async () => assert.equal((await chain(more).bindTools([chainTool]).invoke(asksTool)).tool_calls[0].name, "weather"),
  structured: async () => shape.parse(await chain(more).withStructuredOutput(shape, { name: "answer" }).invoke(question)),
});
const chainChat = chainSteps({}), chainResponses = chainSteps({ useResponsesApi: true });
const langchain = {
  "chat": chainChat.plain, "chat, streamed": chainChat.streamed, "chat, tools": chainChat.tools, "chat, structured output": chainChat.structured,
  "responses": chainResponses.plain, "responses, streamed": chainResponses.streamed, "responses, tools": chainResponses.tools, "responses, structured output": chainResponses.structured,
  "completions": async () => assert.ok(await new CompletingOpenAI({ model: completing, apiKey, maxRetries: 0, configuration: { baseURL } }).invoke(question)),
  "images": async () => assert.match(await new DallEAPIWrapper({ model: "dall-e-3", apiKey, baseUrl: baseURL, maxRetries: 0 }).invoke("a red square"), /^https:/),
  "embeddings": async () => assert.equal((await new OpenAIEmbeddings({ model: "text-embedding-3-small", apiKey, configuration: { baseURL } }).embedQuery("a")).length, 1536),
  "errors": async () => assert.rejects(chain({ model: unknown, useResponsesApi: true }).invoke("x"), (e) => (e.status ?? e.cause?.status) === 404),
  "errors within a stream": async () => {
    for (const useResponsesApi of [true, false]) {
      await fault({ kind: "cut", after_chunks: 3 });
      await assert.rejects(async () => collect(await chain({ useResponsesApi }).stream(question), (part) => part.text));
    }
  },
  "retries": async () => {
    await fault({ kind: "rate_limit", retry_after: 1 });
    assert.ok((await chain({ useResponsesApi: true, maxRetries: 2 }).invoke(question)).text);
  },
  "abort": async () => leave((signal) => chain({ useResponsesApi: true }).stream(slow, { signal })),
};

const version = (name) => require(`./node_modules/${name}/package.json`).version;
const clients = [
  [`openai ${version("openai")}`, official], [`@openai/agents ${version("@openai/agents")}`, agentsSDK],
  [`@ai-sdk/openai ${version("@ai-sdk/openai")}, with ai ${version("ai")}`, vercel], [`@langchain/openai ${version("@langchain/openai")}`, langchain],
];
let failed = 0;
for (const [name, steps] of clients) {
  for (const feature of Object.keys(official)) {
    let result = "–";
    if (steps[feature]) {
      try {
        await steps[feature]();
        result = "yes";
      } catch (error) {
        failed++;
        result = "no";
        console.error(`${name}: ${feature}:`, error);
      }
    }
    console.log(`cell|${feature}|${name}|${result}`);
  }
}
process.exit(failed === 0 ? 0 : 1);
