"""Ask an assistant one thing and look every now and then whether it has answered."""

import time

from openai import OpenAI

client = OpenAI()

assistant = client.beta.assistants.create(
    name="Python tutor",
    instructions="You explain Python to beginners. Keep it to two sentences.",
    model="gpt-4-1106-preview",
)
thread = client.beta.threads.create()
client.beta.threads.messages.create(
    thread_id=thread.id, role="user", content="What is a list comprehension?"
)
run = client.beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id)

while run.status not in ["completed", "failed", "cancelled", "expired", "incomplete"]:
    time.sleep(0.2)
    run = client.beta.threads.runs.retrieve(thread_id=thread.id, run_id=run.id)
print("status:", run.status)

for message in client.beta.threads.messages.list(thread_id=thread.id):
    for part in message.content:
        if part.type == "text":
            print(f"{message.role}: {part.text.value}")

for step in client.beta.threads.runs.steps.list(thread_id=thread.id, run_id=run.id):
    print("step:", step.type, step.status)
print("tokens:", run.usage.total_tokens)
