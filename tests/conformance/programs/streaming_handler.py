"""Print an answer while it is being written."""

from openai import AssistantEventHandler, OpenAI
from typing_extensions import override

client = OpenAI()


class Printer(AssistantEventHandler):
    @override
    def on_text_created(self, text) -> None:
        print("assistant > ", end="", flush=True)

    @override
    def on_text_delta(self, delta, snapshot) -> None:
        print(delta.value, end="", flush=True)

    @override
    def on_text_done(self, text) -> None:
        print()

    @override
    def on_tool_call_created(self, tool_call) -> None:
        print(f"\nassistant > {tool_call.type}", flush=True)


assistant = client.beta.assistants.create(
    name="Guide", instructions="You are a museum guide. Be brief.", model="gpt-4o"
)
thread = client.beta.threads.create(
    messages=[{"role": "user", "content": "Tell me something about dinosaurs."}]
)
with client.beta.threads.runs.stream(
    thread_id=thread.id,
    assistant_id=assistant.id,
    instructions="Please address the user as Sam. Answer in one sentence.",
    event_handler=Printer(),
) as stream:
    stream.until_done()

print("stored:", client.beta.threads.messages.list(thread.id).data[0].content[0].text.value)
