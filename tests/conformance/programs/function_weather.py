"""An assistant that asks this program for the weather."""

import json
import time

from openai import OpenAI

client = OpenAI()


def get_current_weather(location: str, unit: str = "celsius") -> str:
    print("called:", json.dumps({"location": location, "unit": unit}))
    return json.dumps({"location": location, "temperature": "18", "unit": unit, "sky": "cloudy"})


FUNCTIONS = {"get_current_weather": get_current_weather}
assistant = client.beta.assistants.create(
    name="Weather service",
    instructions="You tell people the weather. Use the function to find it out.",
    model="gpt-4-turbo",
    tools=[
        {
            "type": "function",
            "function": {
                "name": "get_current_weather",
                "description": "Get the current weather in a city",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "location": {"type": "string", "description": "The name of the city"},
                        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                    },
                    "required": ["location"],
                },
            },
        }
    ],
)
thread = client.beta.threads.create()
client.beta.threads.messages.create(
    thread_id=thread.id, role="user", content="What's the weather like in Lisbon right now?"
)
run = client.beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id)

while True:
    run = client.beta.threads.runs.retrieve(thread_id=thread.id, run_id=run.id)
    if run.status == "requires_action":
        answers = []
        for call in run.required_action.submit_tool_outputs.tool_calls:
            function = FUNCTIONS[call.function.name]
            output = function(**json.loads(call.function.arguments))
            answers.append({"tool_call_id": call.id, "output": output})
        run = client.beta.threads.runs.submit_tool_outputs(
            thread_id=thread.id, run_id=run.id, tool_outputs=answers
        )
    elif run.status not in ("queued", "in_progress"):
        break
    time.sleep(0.2)

print("status:", run.status)
print(client.beta.threads.messages.list(thread.id).data[0].content[0].text.value)
