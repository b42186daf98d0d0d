"""Tell an assistant a name in one turn and ask for it in the next."""

from openai import OpenAI


class Conversation:
    def __init__(self, client: OpenAI) -> None:
        self.client = client
        self.assistant = client.beta.assistants.create(
            name="Companion",
            instructions="You are a helpful assistant that remembers the conversation.",
            model="gpt-4o",
        )
        self.thread = client.beta.threads.create()

    def ask(self, text: str) -> str:
        self.client.beta.threads.messages.create(self.thread.id, role="user", content=text)
        run = self.client.beta.threads.runs.create_and_poll(
            thread_id=self.thread.id, assistant_id=self.assistant.id
        )
        if run.status != "completed":
            raise RuntimeError(f"run {run.status}: {run.last_error}")
        newest = self.client.beta.threads.messages.list(self.thread.id, limit=1).data[0]
        return newest.content[0].text.value


talk = Conversation(OpenAI())
for question in ("My name is Marta and I live in Porto.", "What was my name again?"):
    print("you:", question)
    print("assistant:", talk.ask(question))
