"""A conversation that survives the program: the ids are kept in a file.

usage: persistent_conversation.py STATE_FILE QUESTION
"""

import json
import sys
from pathlib import Path

from openai import NotFoundError, OpenAI

client = OpenAI()
state_file, question = Path(sys.argv[1]), sys.argv[2]


def restore() -> dict:
    try:
        state = json.loads(state_file.read_text())
        client.beta.assistants.retrieve(state["assistant_id"])
        client.beta.threads.retrieve(state["thread_id"])
    except (FileNotFoundError, NotFoundError):
        assistant = client.beta.assistants.create(
            model="gpt-4o-mini", instructions="You are a diary. Answer in one short sentence."
        )
        thread = client.beta.threads.create(metadata={"owner": "diary"})
        state = {"assistant_id": assistant.id, "thread_id": thread.id}
        state_file.write_text(json.dumps(state))
        print("a new conversation")
    return state


state = restore()
client.beta.threads.messages.create(state["thread_id"], role="user", content=question)
run = client.beta.threads.runs.create_and_poll(**state)
print("status:", run.status)
for message in client.beta.threads.messages.list(state["thread_id"], order="asc"):
    print(f"{message.role}: {message.content[0].text.value}")
print("prompt tokens:", run.usage.prompt_tokens)
