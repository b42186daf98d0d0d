"""Starts a kernel in a box, up to the moment it answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from localassist.errors import KernelStartFailed
from localassist.sandbox import wire
from localassist.sandbox.channels import Channels
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.connection import Connection, ConnectionLost
from localassist.sandbox.providers.base import Box, Provider
from localassist.sandbox.providers.provisioner import BoxProvisioner

ASK_AGAIN_SECONDS = 0.25
CONNECT_AGAIN_SECONDS = 0.02


@dataclass(slots=True)
class Started:
    """A kernel that answers. ``provisioner`` is ``manager.provisioner``, with its own type."""

    manager: AsyncKernelManager
    channels: Channels
    provisioner: BoxProvisioner

    async def close(self) -> None:
        """End the kernel and everything it has started; nothing of it is left when this returns.
        May be called again."""
        self.channels.close()
        await _end(self.manager, self.provisioner)


async def start(provider: Provider, box: Box, settings: SandboxSettings) -> Started:
    """Raises SandboxUnavailable and KernelStartFailed; nothing is left running then, nor when the
    caller is cancelled."""
    manager = AsyncKernelManager(
        connection_file=str(box.folder / "connection.json"),
        kernel_name="",
        autorestart=False,
    )
    # Kept in a private field, and looked up in folders of the machine unless it is there.
    manager._kernel_spec = KernelSpec(
        argv=[], display_name="sandbox", language="python", interrupt_mode="signal"
    )
    provisioner = provider.provisioner_class()(
        parent=manager, kernel_spec=manager.kernel_spec, box=box, settings=settings
    )
    manager.provisioner = provisioner
    try:
        channels = await asyncio.wait_for(_run(manager, provisioner), settings.start_seconds)
    except asyncio.TimeoutError as error:
        await _end(manager, provisioner)
        said = await last_words(provisioner)
        raise KernelStartFailed(
            f"the kernel did not answer within {settings.start_seconds:g} s. {said}".strip()
        ) from error
    except BaseException:
        await asyncio.shield(_end(manager, provisioner))
        raise
    return Started(manager, channels, provisioner)


async def last_words(provisioner: BoxProvisioner) -> str:
    """The last line that a kernel, known to be dying, has written to its log."""
    lines = (await asyncio.to_thread(provisioner.log_text, 1.0)).splitlines()
    return lines[-1][:500] if lines else ""


async def _run(manager: AsyncKernelManager, provisioner: BoxProvisioner) -> Channels:
    # The parts of ``start_kernel``, which would also log each failure with its traceback.
    launch = await provisioner.pre_launch()
    connection = await provisioner.launch_kernel(**launch)
    manager._reconcile_connection_info(connection)
    channels = None
    while channels is None:
        try:
            channels = await Channels.open(connection)
        except ConnectionLost:
            # A kernel that binds its sockets itself does not listen yet.
            await _require_running(provisioner)
            await asyncio.sleep(CONNECT_AGAIN_SECONDS)
    try:
        await _answer(channels)
    except BaseException as error:
        channels.close()
        if isinstance(error, ConnectionLost):
            await provisioner.kill()
            raise KernelStartFailed(
                f"the kernel ended while it started: {await last_words(provisioner)}"
            ) from error
        raise
    return channels


async def _require_running(provisioner: BoxProvisioner) -> None:
    status = await provisioner.poll()
    if status is not None:
        said = await last_words(provisioner) or f"exit status {status}"
        raise KernelStartFailed(f"the kernel ended while it started: {said}")


async def _answer(channels: Channels) -> None:
    """Until the kernel has said on iopub that it is done with a request of ours: from then on
    nothing that it prints is missed."""
    asked: set[str] = set()
    listening = asyncio.ensure_future(_hear_idle(channels, asked))
    # Read, so that a kernel that dies is noticed on either.
    replies = asyncio.ensure_future(_drain(channels.shell))
    try:
        while True:
            request_id, frames = channels.request("kernel_info_request", {})
            asked.add(request_id)
            await channels.shell.send(frames)
            done, _ = await asyncio.wait(
                (listening, replies),
                timeout=ASK_AGAIN_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                task.result()  # raises, or we are through
                return
    finally:
        for task in (listening, replies):
            task.cancel()
        await asyncio.gather(listening, replies, return_exceptions=True)


async def _hear_idle(channels: Channels, asked: set[str]) -> None:
    while True:
        for frames in await channels.iopub.receive():
            try:
                message = wire.parse(frames, channels.key)
            except wire.Unreadable:
                continue  # preloaded modules are anybody's code, too
            if message.parent_id in asked and message.content.get("execution_state") == "idle":
                return


async def _drain(connection: Connection) -> None:
    while True:
        await connection.receive()


async def _end(manager: AsyncKernelManager, provisioner: BoxProvisioner) -> None:
    await provisioner.kill()
    await provisioner.wait()
    # Removes the connection file, and lets the provisioner clean up.
    await manager.cleanup_resources()
