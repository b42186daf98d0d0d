"""Processes of the host and of other kernels: seen, signalled, read, outlived."""

from __future__ import annotations

import asyncio

from localassist.sandbox.abuse.case import Case, Finding, NoAnswer, without
from localassist.sandbox.abuse.scene import Scene, said, still_there

PIDS = "pid-namespace"


async def _victim_lives(scene: Scene) -> Finding:
    """Signals are judged by who is still there."""
    finding = said(await scene.cell())
    await asyncio.sleep(0.05)
    if not scene.bait.victim_lives():
        return Finding(True, "a process of the host was killed")
    return Finding(False, finding.detail)


async def _neighbour_lives(scene: Scene) -> Finding:
    """Signals every process of the other kernel by its pid on the host."""
    pids = sorted(scene.neighbour.kernel.pids())
    code = f"attempt(*[lambda pid=pid: os.kill(pid, 0) or f'{{pid}} was found' for pid in {pids}])"
    return said(await scene.cell(code))


async def _nothing_outlives(scene: Scene) -> Finding:
    """A process that left its session and its parent must end with the kernel."""
    cell = await scene.cell()
    if "abuse:ready" not in cell.text:
        raise NoAnswer(f"{cell.summary}; {cell.text[-300:]}")
    pids = set(scene.room.kernel.pids())
    await scene.room.kernel.close()
    if await still_there(pids):
        return Finding(True, "a process is still there after its kernel was closed")
    return Finding(False, f"{len(pids)} processes, all of them ended")


async def _others_are_well(scene: Scene) -> Finding:
    """The cell may end as it likes, its own kernel may die: nothing else does."""
    cell = await scene.cell()
    if not scene.bait.victim_lives():
        return Finding(True, "a process of the host was killed")
    if not await scene.neighbour.answers():
        return Finding(True, "another kernel does not answer")
    return Finding(False, cell.summary)


CASES: tuple[Case, ...] = (
    Case(
        "host-pids",
        "see a process of the host in /proc",
        PIDS,
        """
        def commands():
            for pid in filter(str.isdigit, os.listdir('/proc')):
                try:
                    with open(f'/proc/{pid}/cmdline', 'rb') as stream:
                        if stream.read() == b'sleep\\0900\\0':
                            yield pid
                except OSError:
                    pass
        attempt(lambda: ' '.join(commands()))
        """,
        ablation=without(PIDS),
    ),
    Case(
        "kill-host",
        "kill a process of the same user on the host",
        PIDS,
        "attempt(lambda: os.kill(BAIT['victim'], signal.SIGKILL) or 'sent')",
        judge=_victim_lives,
        ablation=without(PIDS),
    ),
    Case(
        "kill-neighbour",
        "find the processes of another kernel with signals",
        PIDS,
        judge=_neighbour_lives,
        ablation=without(PIDS),
    ),
    Case(
        "kill-everything",
        "send a signal to every process there is",
        PIDS,
        "os.kill(-1, signal.SIGTERM)",
        judge=_others_are_well,
        spoils=True,
        hits_all=True,
    ),
    Case(
        "kill-parent",
        "kill the parent and the first process",
        PIDS,
        """
        for pid in (os.getppid(), 1):
            for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL):
                try:
                    os.kill(pid, number)
                except OSError:
                    pass
        """,
        judge=_others_are_well,
        spoils=True,
        hits_all=True,
    ),
    Case(
        "environments",
        "read a variable of the service from the environment of any process",
        PIDS,
        """
        def holders():
            if BAIT['word'] in os.environ.values():
                yield 'os.environ'
            for pid in filter(str.isdigit, os.listdir('/proc')):
                try:
                    with open(f'/proc/{pid}/environ', 'rb') as stream:
                        if BAIT['word'].encode() in stream.read():
                            yield f'/proc/{pid}/environ'
                except OSError:
                    pass
        attempt(lambda: ' '.join(holders()))
        """,
        ablation=without("clean-environment"),
    ),
    Case(
        "host-memory",
        "open the memory of a process of the host",
        PIDS,
        """
        attempt(lambda: os.open(f"/proc/{BAIT['victim']}/mem", os.O_RDWR),
                lambda: os.open(f"/proc/{BAIT['victim']}/maps", os.O_RDONLY))
        """,
    ),
    Case(
        "namespaces",
        "join the namespaces of another process",
        "seccomp",
        """
        def join(pid, kind):
            return f"joined {kind} {syscall('setns', os.open(f'/proc/{pid}/ns/{kind}', 0), 0)}"
        kinds = ('user', 'mnt', 'pid', 'net', 'ipc', 'uts')
        attempt(*[lambda pid=pid, kind=kind: join(pid, kind)
                  for pid in (1, os.getppid(), BAIT['victim']) for kind in kinds])
        """,
    ),
    Case(
        "stolen-descriptor",
        "take a descriptor out of another process",
        "seccomp",
        """
        import subprocess
        other = subprocess.Popen(['/usr/bin/sleep', '20'])
        attempt(lambda: knock('pidfd_getfd', syscall('pidfd_open', other.pid, 0), 99, 0))
        other.kill()
        other.wait()
        """,
        ablation=without("seccomp"),
    ),
    Case(
        "slow-down-host",
        "change priority, processors and limits of a process of the host",
        PIDS,
        """
        import resource
        victim = BAIT['victim']
        attempt(
            lambda: os.setpriority(os.PRIO_PROCESS, victim, 19) or 'priority',
            lambda: os.sched_setaffinity(victim, {0}) or 'processors',
            lambda: resource.prlimit(victim, resource.RLIMIT_NOFILE, (20, 20)) and 'limits',
        )
        """,
        ablation=without(PIDS),
    ),
    Case(
        "outlive",
        "leave a process behind that has a session and a parent of its own",
        PIDS,
        """
        if os.fork() == 0:
            os.setsid()
            for number in range(1, signal.NSIG):
                try:
                    signal.signal(number, signal.SIG_IGN)
                except (OSError, ValueError):
                    pass
            if os.fork() == 0:
                time.sleep(20)
            os._exit(0)
        print('abuse:ready:')
        """,
        judge=_nothing_outlives,
        spoils=True,
    ),
)
