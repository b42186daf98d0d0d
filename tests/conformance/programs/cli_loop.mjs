// A chat in the terminal: reads a line, prints the answer, ends with "exit". One function tool.
import { createInterface } from 'node:readline';
import OpenAI from 'openai';

const openai = new OpenAI();

const assistant = await openai.beta.assistants.create({
  name: 'Quartermaster',
  instructions: 'You help a captain. Answer in one short sentence.',
  model: 'gpt-4',
  tools: [
    {
      type: 'function',
      function: {
        name: 'count_supplies',
        description: 'Count how much of a supply is on board',
        parameters: {
          type: 'object',
          properties: { supply: { type: 'string', description: 'What to count' } },
          required: ['supply'],
        },
      },
    },
  ],
});
const thread = await openai.beta.threads.create({});

function countSupplies({ supply }) {
  console.log(`called: count_supplies ${JSON.stringify(supply)}`);
  return `There are 42 barrels of ${supply} on board.`;
}

async function answer(question) {
  await openai.beta.threads.messages.create(thread.id, { role: 'user', content: question });
  let run = await openai.beta.threads.runs.createAndPoll(thread.id, { assistant_id: assistant.id });
  while (run.status === 'requires_action') {
    const calls = run.required_action.submit_tool_outputs.tool_calls;
    run = await openai.beta.threads.runs.submitToolOutputsAndPoll(run.id, {
      thread_id: thread.id,
      tool_outputs: calls.map((call) => ({
        tool_call_id: call.id,
        output: countSupplies(JSON.parse(call.function.arguments)),
      })),
    });
  }
  if (run.status !== 'completed') throw new Error(`run ${run.status}`);
  const messages = await openai.beta.threads.messages.list(thread.id, { limit: 1 });
  return messages.data[0].content[0].text.value;
}

for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() === 'exit') break;
  console.log(`you: ${line}`);
  console.log(`assistant: ${await answer(line)}`);
}

// The same once more as a stream.
await openai.beta.threads.messages.create(thread.id, { role: 'user', content: 'Say goodbye.' });
const events = [];
let streamed = '';
const stream = openai.beta.threads.runs
  .stream(thread.id, { assistant_id: assistant.id, tool_choice: 'none' })
  .on('event', ({ event }) => events.push(event))
  .on('textDelta', (delta) => (streamed += delta.value));
const run = await stream.finalRun();
console.log(`streamed: ${run.status} ${events.at(-1)} ${streamed.length > 0}`);

const gone = await openai.beta.threads.delete(thread.id);
console.log(`deleted: ${gone.deleted}`);
