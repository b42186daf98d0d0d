// What drive.py does, with whatever version of the official Node SDK lies beside it:
// `node drive.mjs AREA ANSWER` asserts what a program relies on and prints "ok".
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const require = createRequire(process.cwd() + "/");
const OpenAI = require("openai").default;

const client = new OpenAI({ maxRetries: 0 });
const isOld = "del" in client.files; // version 4: ids came one after the other then
const { threads, assistants } = client.beta;
const stores = client.vectorStores ?? client.beta.vectorStores;
const [area, answer] = process.argv.slice(2);
const ACTIVE = ["queued", "in_progress", "cancelling"];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const plain = (made) => JSON.parse(JSON.stringify(made));
const WEATHER = {
  type: "function",
  function: {
    name: "get_weather",
    description: "Get the weather of a city",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

const run = {
  retrieve: (thread, id) =>
    isOld ? threads.runs.retrieve(thread, id) : threads.runs.retrieve(id, { thread_id: thread }),
  cancel: (thread, id) =>
    isOld ? threads.runs.cancel(thread, id) : threads.runs.cancel(id, { thread_id: thread }),
  submit: (thread, id, tool_outputs) =>
    isOld
      ? threads.runs.submitToolOutputs(thread, id, { tool_outputs })
      : threads.runs.submitToolOutputs(id, { thread_id: thread, tool_outputs }),
  submitStream: (thread, id, tool_outputs) =>
    isOld
      ? threads.runs.submitToolOutputsStream(thread, id, { tool_outputs })
      : threads.runs.submitToolOutputsStream(id, { thread_id: thread, tool_outputs }),
  steps: async (thread, id) =>
    plain(
      (isOld
        ? await threads.runs.steps.list(thread, id, { order: "asc" })
        : await threads.runs.steps.list(id, { thread_id: thread, order: "asc" })
      ).data,
    ),
};

async function ask(text = "How is the day?", fields = {}) {
  const made = await assistants.create({ model: "gpt-4o", instructions: "Be kind.", ...fields });
  const thread = await threads.create({ messages: [{ role: "user", content: text }] });
  return [thread.id, made.id];
}

async function wait(thread, id) {
  let found = await run.retrieve(thread, id);
  while (ACTIVE.includes(found.status)) {
    await sleep(20);
    found = await run.retrieve(thread, id);
  }
  return found;
}

const newest = async (thread) => plain((await threads.messages.list(thread)).data[0]);

async function follow(stream) {
  const seen = { text: "", arguments: "", code: "", messages: [], steps: [], run: undefined };
  stream.on("textDelta", (delta) => (seen.text += delta.value ?? ""));
  stream.on("toolCallDelta", (delta) => {
    if (delta.type === "function") seen.arguments += delta.function?.arguments ?? "";
    if (delta.type === "code_interpreter") seen.code += delta.code_interpreter?.input ?? "";
  });
  stream.on("messageDone", (message) => seen.messages.push(plain(message)));
  stream.on("runStepDone", (step) => seen.steps.push(plain(step)));
  stream.on("event", ({ event, data }) => {
    if (event.startsWith("thread.run.") && data.object === "thread.run") seen.run = data;
  });
  await stream.done();
  return seen;
}

const areas = {
  async objects() {
    for (const i of [1, 2, 3]) await assistants.create({ model: "gpt-4o", name: `N${i}` });
    const page = await assistants.list({ limit: 2 });
    assert.deepEqual(page.data.map((one) => one.name), ["N3", "N2"]);
    assert.equal((await page.getNextPage()).data[0].name, "N1");
    const changed = await assistants.update(page.data[0].id, { metadata: { a: "1" } });
    assert.deepEqual(changed.metadata, { a: "1" });
    const names = [];
    for await (const one of assistants.list({ limit: 1 })) {
      names.push(one.name);
      if (names.length === 3) break;
    }
    assert.deepEqual(names, ["N3", "N2", "N1"]);
    const message = await threads.messages.create((await threads.create()).id, {
      role: "user",
      content: "Hi",
    });
    assert.equal(message.content[0].text.value, "Hi");
  },

  async polled() {
    const [thread, assistant] = await ask();
    const made = await threads.runs.create(thread, { assistant_id: assistant });
    const done = await wait(thread, made.id);
    assert.equal(done.status, "completed");
    const message = await newest(thread);
    assert.equal(message.content[0].text.value, answer);
    const [step] = await run.steps(thread, made.id);
    assert.equal(step.step_details.message_creation.message_id, message.id);
    assert.deepEqual(done.usage, step.usage);
    const again = await threads.runs.createAndPoll(
      thread,
      { assistant_id: assistant },
      { pollIntervalMs: 20 },
    );
    assert.equal(again.status, "completed");
  },

  async streamed() {
    const [thread, assistant] = await ask();
    const seen = await follow(threads.runs.stream(thread, { assistant_id: assistant }));
    assert.equal(seen.text, answer);
    assert.deepEqual(plain(seen.run), plain(await wait(thread, seen.run.id)));
    assert.deepEqual(seen.messages, [await newest(thread)]);
    assert.deepEqual(seen.steps, await run.steps(thread, seen.run.id));
  },

  async function_streamed() {
    const [thread, assistant] = await ask("How is the weather in Oslo?", { tools: [WEATHER] });
    let seen = await follow(threads.runs.stream(thread, { assistant_id: assistant }));
    assert.equal(seen.run.status, "requires_action");
    assert.deepEqual(JSON.parse(seen.arguments), { city: "Oslo" });
    const [call] = seen.run.required_action.submit_tool_outputs.tool_calls;
    const outputs = [{ tool_call_id: call.id, output: "Rain." }];
    seen = await follow(run.submitStream(thread, seen.run.id, outputs));
    assert.equal(seen.text, answer);
    assert.deepEqual(seen.messages, [await newest(thread)]);
    assert.deepEqual(seen.steps, await run.steps(thread, seen.run.id));
    assert.equal(seen.steps[0].step_details.tool_calls[0].function.output, "Rain.");
  },

  async function() {
    const [thread, assistant] = await ask("How is the weather in Oslo?", { tools: [WEATHER] });
    const made = await threads.runs.create(thread, { assistant_id: assistant });
    const waiting = await wait(thread, made.id);
    assert.equal(waiting.status, "requires_action");
    const [call] = waiting.required_action.submit_tool_outputs.tool_calls;
    await run.submit(thread, made.id, [{ tool_call_id: call.id, output: "Rain." }]);
    assert.equal((await wait(thread, made.id)).status, "completed");
    assert.equal((await newest(thread)).content[0].text.value, answer);
  },

  async cancelled() {
    const [thread, assistant] = await ask();
    const made = await threads.runs.create(thread, { assistant_id: assistant });
    while ((await newest(thread)).role !== "assistant") await sleep(20);
    await assert.rejects(threads.messages.create(thread, { role: "user", content: "More" }), {
      status: 400,
      message: new RegExp(`Can't add messages to ${thread} while a run ${made.id} is active`),
    });
    await run.cancel(thread, made.id);
    assert.equal((await wait(thread, made.id)).status, "cancelled");
  },

  async files() {
    const content = "Zwölf Boxkämpfer";
    const file = await OpenAI.toFile(Buffer.from(content), "a b.txt");
    const made = await client.files.create({ file, purpose: "assistants" });
    assert.equal(made.filename, "a b.txt");
    assert.equal(await (await client.files.content(made.id)).text(), content);
    const gone = isOld ? await client.files.del(made.id) : await client.files.delete(made.id);
    assert.equal(gone.deleted, true);
    await assert.rejects(client.files.retrieve(made.id), OpenAI.NotFoundError);
  },

  async vector_stores() {
    const store = await stores.create({ name: "S" });
    const text = Buffer.from("# Leave\n\nEmployees have thirty days of leave.");
    const entry = await stores.files.uploadAndPoll(
      store.id,
      await OpenAI.toFile(text, "leave.md"),
      { pollIntervalMs: 20 },
    );
    assert.equal(entry.status, "completed");
    assert.equal((await stores.retrieve(store.id)).file_counts.completed, 1);
  },

  async documents() {
    const text = Buffer.from("# Leave\n\nEmployees have thirty days of leave.");
    const file = await client.files.create({
      file: await OpenAI.toFile(text, "leave.md"),
      purpose: "assistants",
    });
    const store = await stores.create({ file_ids: [file.id] });
    while ((await stores.retrieve(store.id)).status !== "completed") await sleep(20);
    const [thread, assistant] = await ask("How many days of leave do employees have?", {
      tools: [{ type: "file_search" }],
      tool_resources: { file_search: { vector_store_ids: [store.id] } },
    });
    const seen = await follow(threads.runs.stream(thread, { assistant_id: assistant }));
    assert.equal(seen.run.status, "completed");
    const said = seen.messages[0].content[0].text;
    assert.equal(said.annotations[0].file_citation.file_id, file.id);
    assert.deepEqual(seen.messages, [await newest(thread)]);
  },

  async code() {
    const made = await client.files.create({
      file: await OpenAI.toFile(Buffer.from("a\n1\n2\n3\n"), "data.csv"),
      purpose: "assistants",
    });
    const tools = [{ type: "code_interpreter" }];
    const assistant = await assistants.create({ model: "gpt-4o", tools });
    const attachments = [{ file_id: made.id, tools }];
    const content = "Add it up and plot it.";
    const thread = (await threads.create({ messages: [{ role: "user", content, attachments }] })).id;
    const seen = await follow(threads.runs.stream(thread, { assistant_id: assistant.id }));
    assert.equal(seen.run.status, "completed");
    assert.deepEqual(seen.messages, [await newest(thread)]);
    assert.deepEqual(seen.steps, await run.steps(thread, seen.run.id));
    const ran = seen.steps[0].step_details.tool_calls[0].code_interpreter;
    assert.equal(seen.code, ran.input);
    const [picture, logs] = ran.outputs;
    assert.deepEqual(logs, { type: "logs", logs: "größer\n" });
    const [image, said] = seen.messages[0].content;
    assert.equal(image.image_file.file_id, picture.image.file_id);
    const bytes = await (await client.files.content(picture.image.file_id)).arrayBuffer();
    assert.deepEqual([...new Uint8Array(bytes).slice(1, 4)], [80, 78, 71]);
    const [link] = said.text.annotations;
    assert.equal(said.text.value.slice(link.start_index, link.end_index), link.text);
    const file = await client.files.content(link.file_path.file_id);
    assert.equal(await file.text(), "total\n6\n");
  },

  async errors() {
    await assert.rejects(threads.retrieve("thread_nowhere"), OpenAI.NotFoundError);
    await assert.rejects(assistants.create({ model: "gpt-4o", name: 5 }), OpenAI.BadRequestError);
    const stranger = new OpenAI({ apiKey: "sk-wrong-key-0000", maxRetries: 0 });
    await assert.rejects(stranger.beta.assistants.list(), OpenAI.AuthenticationError);
  },

  async chat() {
    const messages = [{ role: "user", content: "Hi" }];
    const done = await client.chat.completions.create({ model: "gpt-4o", messages });
    assert.equal(done.choices[0].message.content, answer);
    let said = "";
    const parts = await client.chat.completions.create({ model: "gpt-4o", messages, stream: true });
    for await (const part of parts) said += part.choices[0]?.delta.content ?? "";
    assert.equal(said, answer);
  },
};

await areas[area]();
console.log("ok");
