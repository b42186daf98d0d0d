"""Waiting for what happens in the background."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any


async def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until it holds; it may be a coroutine function. AssertionError when it takes so long
    that it will not happen: on a busy machine what should take a moment may take many."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = condition()
        if await result if inspect.isawaitable(result) else result:
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it has not happened")
