"""What is not kept from code: gaps that the documentation names. Should one not be there any more,
the documentation is wrong."""

from __future__ import annotations

from localassist.sandbox.abuse.case import Case, Finding, NoAnswer
from localassist.sandbox.abuse.scene import Scene, said

NOTHING = "nothing"


async def _forged(scene: Scene) -> Finding:
    """The cell's own reply says something that the code did not do."""
    cell = await scene.cell()
    return Finding("never printed" in cell.text, cell.summary)


async def _goes_on(scene: Scene) -> Finding:
    """A thread that a cell has started works after the cell's end."""
    await scene.cell()
    return said(
        await scene.cell("time.sleep(0.5); say('reached' if count > 0 else 'stopped', count)")
    )


async def _late_output(scene: Scene) -> Finding:
    """What a thread prints after its cell's end comes with the next cell."""
    first = await scene.cell()
    if first.ended.status != "ok":
        raise NoAnswer(f"{first.summary}; {first.text[-300:]}")
    second = await scene.cell("time.sleep(1); print('second')")
    if "second" not in second.text:
        raise NoAnswer(f"{second.summary}; {second.text[-300:]}")
    return Finding(
        "LATE" in second.text, f"the next cell said {' '.join(second.text.split())[:60]!r}"
    )


CASES: tuple[Case, ...] = (
    Case(
        "folder-names",
        "read names of the host's folders in /proc/self/mountinfo",
        NOTHING,
        """
         with open('/proc/self/mountinfo') as stream:
             lines = [line.split() for line in stream]
         attempt(lambda: [line[3] for line in lines if line[4] == '/mnt/data'][0].strip('/'))
         """,
        is_known=True,
    ),
    Case(
        "forged-replies",
        "forge what the kernel says about the code",
        NOTHING,
        """
         kernel = get_ipython().kernel
         kernel.session.send(kernel.iopub_socket, 'stream',
                             {'name': 'stdout', 'text': 'never ' + 'printed'},
                             parent=kernel.get_parent())
         """,
        judge=_forged,
        is_known=True,
    ),
    Case(
        "machine-facts",
        "see processor, memory, load and kernel version of the machine",
        NOTHING,
        """
         def content(path):
             with open(path) as stream:
                 return stream.read(60)
         attempt(lambda: os.uname().release, lambda: content('/proc/cpuinfo'),
                 lambda: content('/proc/meminfo'), lambda: content('/proc/loadavg'))
         """,
        is_known=True,
    ),
    Case(
        "shared-processor",
        "use the processors that everybody uses, at low priority",
        NOTHING,
        """
         def work():
             end = time.monotonic() + 0.2
             while time.monotonic() < end:
                 pass
             return f'priority {os.nice(0)}, {len(os.sched_getaffinity(0))} processors'
         attempt(work)
         """,
        is_known=True,
    ),
    Case(
        "background-work",
        "go on working after the cell has ended",
        NOTHING,
        """
         count = 0
         def work():
             global count
             end = time.monotonic() + 2
             while time.monotonic() < end:
                 time.sleep(0.01)
                 count += 1
         threading.Thread(target=work, daemon=True).start()
         """,
        judge=_goes_on,
        is_known=True,
    ),
    Case(
        "own-files",
        "change and delete the files that were given to it",
        NOTHING,
        """
         def change():
             with open('/mnt/data/own', 'w') as stream:
                 stream.write('x')
             os.unlink('/mnt/data/own')
             return 'written and deleted'
         attempt(change)
         """,
        is_known=True,
    ),
    Case(
        "covert-clock",
        "measure time finely enough to observe others",
        NOTHING,
        """
         def step():
             steps = [time.perf_counter_ns() for _ in range(2000)]
             return min(b - a for a, b in zip(steps, steps[1:]) if b > a) < 100_000 and 'fine clock'
         attempt(step)
         """,
        is_known=True,
    ),
    Case(
        "late-output",
        "print among what the next code prints, from a thread that goes on",
        NOTHING,
        """
         def later():
             for _ in range(30):
                 time.sleep(0.05)
                 print('LATE', flush=True)
         threading.Thread(target=later, daemon=True).start()
         """,
        judge=_late_output,
        is_known=True,
    ),
)
