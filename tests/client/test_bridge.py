import asyncio
import threading

import pytest

from localassist.client.bridge import LoopThread


async def where() -> str:
    return threading.current_thread().name


def test_coroutines_run_on_the_loops_own_thread() -> None:
    loop = LoopThread("bridge-test")
    assert loop.call(where()) == "bridge-test"
    loop.close()


def test_exceptions_reach_the_caller() -> None:
    async def fail() -> None:
        raise LookupError("here")

    loop = LoopThread("bridge-test")
    with pytest.raises(LookupError, match="here"):
        loop.call(fail())
    loop.close()


def test_a_wait_that_is_given_up_cancels_the_coroutine() -> None:
    cancelled = threading.Event()

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    loop = LoopThread("bridge-test")
    with pytest.raises(TimeoutError):
        loop.call(wait(), timeout_seconds=0.02)
    assert cancelled.wait(5)
    loop.close()


def test_closing_ends_what_is_running_and_refuses_more() -> None:
    loop = LoopThread("bridge-test")
    forever = loop.submit(asyncio.sleep(60))
    loop.close()
    loop.close()
    assert forever.cancelled()
    assert not any(thread.name == "bridge-test" for thread in threading.enumerate())
    with pytest.raises(RuntimeError, match="closed"):
        loop.call(where())


def test_a_finalizer_may_submit_in_the_middle_of_a_submit(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the garbage collector does, which runs wherever memory is asked for."""
    loop = LoopThread("bridge-test")
    start, inner = asyncio.run_coroutine_threadsafe, []

    def collecting(coroutine, target):  # type: ignore[no-untyped-def]
        if not inner:
            inner.append(None)
            inner[0] = loop.submit(where())
        return start(coroutine, target)

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", collecting)
    done: list[str] = []
    caller = threading.Thread(target=lambda: done.append(loop.call(where())), daemon=True)
    caller.start()
    caller.join(30)
    assert done == ["bridge-test"] and inner[0].result(30) == "bridge-test"
    loop.close()
