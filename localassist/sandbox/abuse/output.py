"""What a kernel says to the host: too much of it, in odd forms, or nothing any more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from localassist.sandbox.abuse.case import Case, Finding, raised
from localassist.sandbox.abuse.scene import Cell, Scene

CAP = "output cap"
PARSER = "strict reading of messages"
OWN_PROCESS = "a process of its own"
MB = 1 << 20

MOST_GROWN = 150 * MB
"""What reading one cell may cost this process for a while: some messages of 16 MB are on their
way at a time."""


def _judged(
    check: Callable[[Scene, Cell], str | None], *, may_die: bool = True
) -> Callable[[Scene], Awaitable[Finding]]:
    """A judge from what to look for in what came out: words for a success, None for none. Whatever
    came, the service has not grown and a kernel that is left answers."""

    async def judge(scene: Scene) -> Finding:
        cell = await scene.cell()
        problem = check(scene, cell)
        if problem is None and cell.grown_bytes > MOST_GROWN:
            problem = f"the service grew by {cell.grown_bytes // MB} MB"
        if problem is None and scene.room.kernel.is_alive() and not await scene.room.answers():
            problem = "the kernel is there and does not answer"
        if problem is None and not may_die and not scene.room.kernel.is_alive():
            problem = f"the kernel died ({cell.summary})"
        if problem is not None:
            return Finding(True, problem)
        return Finding(False, f"{len(cell.text):,} characters; {cell.summary}")

    return judge


def _is_too_long(scene: Scene, cell: Cell) -> str | None:
    """A traceback has room of its own."""
    most = scene.lodgings.limits.output_characters + 20_000
    return f"{len(cell.text):,} characters" if len(cell.text) > most else None


def _has_too_many_pieces(scene: Scene, cell: Cell) -> str | None:
    return f"{len(cell.pieces):,} outputs" if len(cell.pieces) > 5000 else None


def _shows_too_much(scene: Scene, cell: Cell) -> str | None:
    if len(cell.images) > scene.lodgings.limits.images:
        return f"{len(cell.images)} images"
    return None


def _has_controls(scene: Scene, cell: Cell) -> str | None:
    found = {char for char in cell.text if ord(char) < 32 and char not in "\n\t"}
    return f"control characters {sorted(found)!r}" if found else None


def _has_markup(scene: Scene, cell: Cell) -> str | None:
    lines = [line for line in cell.text.splitlines() if "planted()" in line]
    return f"markup came through: {lines[0][:80]}" if lines else None


def _is_shown(scene: Scene, cell: Cell) -> str | None:
    return f"{len(cell.images)} pictures that are none" if cell.images else None


def _says_ok(scene: Scene, cell: Cell) -> str | None:
    return "it ended as if nothing was wrong" if cell.ended.status == "ok" else None


def _nothing(scene: Scene, cell: Cell) -> str | None:
    return None


CHANNEL = """
import base64, json, zmq
kernel = get_ipython().kernel
parent = kernel.get_parent()
def send(kind, content, to=None, **more):
    kernel.session.send(to or kernel.iopub_socket, kind, content, parent=parent, **more)
"""

CASES: tuple[Case, ...] = (
    Case(
        "flood",
        "print 60 MB",
        CAP,
        "for _ in range(60):\n    print('x' * (1 << 20), flush=True)",
        judge=_judged(_is_too_long, may_die=False),
        ablation=raised(output_characters=100 * MB),
    ),
    Case(
        "flood-of-lines",
        "print 300,000 short lines",
        CAP,
        "for number in range(300_000): print(number, flush=number % 100 == 0)",
        judge=_judged(_is_too_long, may_die=False),
        ablation=raised(output_characters=100 * MB),
    ),
    Case(
        "flood-of-displays",
        "show 60,000 tiny things",
        CAP,
        "show = get_ipython().display_pub.publish\n"
        "for number in range(60_000): show({'text/plain': str(number)})",
        judge=_judged(_has_too_many_pieces),
    ),
    Case(
        "flood-of-images",
        "show 200 pictures",
        CAP,
        """
         import struct, zlib
         from IPython.display import Image, display
         def chunk(kind, data):
             return (struct.pack('>I', len(data)) + kind + data
                     + struct.pack('>I', zlib.crc32(kind + data)))
         picture = (bytes.fromhex('89504e470d0a1a0a')
                    + chunk(b'IHDR', struct.pack('>IIBBBBB', 1, 1, 8, 0, 0, 0, 0))
                    + chunk(b'IDAT', zlib.compress(bytes(2))) + chunk(b'IEND', b''))
         for number in range(200):
             display(Image(data=picture, format='png'))
         """,
        judge=_judged(_shows_too_much, may_die=False),
        ablation=raised(images=300),
    ),
    Case(
        "huge-message",
        "send one message of 100 MB",
        "message size cap",
        "get_ipython().display_pub.publish({'text/plain': 'x' * (100 << 20)})",
        judge=_judged(_is_too_long),
    ),
    Case(
        "huge-traceback",
        "raise an exception with 10 MB of text",
        CAP,
        "raise ValueError('x' * (10 << 20))",
        judge=_judged(_is_too_long, may_die=False),
    ),
    Case(
        "deep-traceback",
        "recurse without end",
        CAP,
        "def again(): return again()\nagain()",
        judge=_judged(_is_too_long, may_die=False),
    ),
    Case(
        "stack-overflow",
        "recurse until the stack is full",
        OWN_PROCESS,
        """
        sys.setrecursionlimit(10**9)
        nested = []
        for _ in range(10**6):
            nested = [nested]
        repr(nested)
        """,
        judge=_judged(_says_ok),
        spoils=True,
    ),
    Case(
        "binary",
        "write bytes that are no text to stdout and stderr",
        PARSER,
        "for at in (1, 2): os.write(at, bytes(range(256)) * 2000)",
        judge=_judged(_has_controls, may_die=False),
    ),
    Case(
        "terminal-codes",
        "send codes that clear a terminal, rename it or fake lines",
        PARSER,
        "print('\\x1b[2J\\x1b]0;title\\x07\\x9b31m\\x08\\x08fake\\rline')\n1/0",
        judge=_judged(_has_controls, may_die=False),
    ),
    Case(
        "markup",
        "send HTML, JavaScript, SVG, Markdown and widgets to be shown",
        PARSER,
        """
         from IPython.display import HTML, SVG, Javascript, display
         script = '<script>planted()</script>'
         display(HTML(script), Javascript('planted()'))
         display({'text/html': script, 'image/svg+xml': f'<svg>{script}</svg>',
                  'text/markdown': script, 'application/javascript': 'planted()',
                  'application/vnd.jupyter.widget-view+json': {'model_id': 'planted()'}}, raw=True)
         """,
        judge=_judged(_has_markup, may_die=False),
    ),
    Case(
        "comms",
        "open comm channels and send payloads to a front end",
        PARSER,
        CHANNEL
        + """
for number in range(50):
    send('comm_open', {'comm_id': str(number), 'target_name': 'planted()', 'data': {}})
get_ipython().payload_manager.write_payload({'source': 'set_next_input', 'text': 'planted()'})
get_ipython().payload_manager.write_payload({'source': 'page', 'data': {'text/plain': 'planted()'}})
""",
        judge=_judged(_has_markup, may_die=False),
    ),
    Case(
        "false-pictures",
        "show HTML as a picture",
        PARSER,
        """
         import base64
         from IPython.display import display
         for content in (b'<html>planted()', b'GIF89a', b'', b'\\x89PNG', b'%PDF-1.7'):
             for kind in ('image/png', 'image/jpeg', 'image/gif', 'image/webp'):
                 display({kind: base64.b64encode(content).decode()}, raw=True)
         display({'image/png': 'no base64 \\x00', 'image/jpeg': ['a', 'list']}, raw=True)
         """,
        judge=_judged(_is_shown, may_die=False),
    ),
    Case(
        "malformed-messages",
        "send messages whose parts have other types than they should",
        PARSER,
        CHANNEL
        + """
odd = (None, 5, ['x'], {'a': {}}, 'x' * 1000, 10**400, float('nan'))
for kind in ('stream', 'display_data', 'execute_result', 'error', 'status', 'clear_output',
             'update_display_data', 'execute_input', 'unheard-of', ''):
    for value in odd:
        for content in ({'name': value, 'text': value}, {'data': value, 'metadata': value},
                        {'data': {'text/plain': value, 'image/png': value}, 'transient': value},
                        {'ename': value, 'evalue': value, 'traceback': value},
                        {'execution_state': value, 'wait': value}, {}):
            send(kind, content)
""",
        judge=_judged(_nothing, may_die=False),
    ),
    Case(
        "malformed-frames",
        "send frames that are no messages, signed and unsigned",
        PARSER,
        CHANNEL
        + """
def signed(*frames):
    return [b'<IDS|MSG>', kernel.session.sign(list(frames)), *frames]
garbage = (b'', b'\\xff\\xfe', b'{', b'[]', b'null', b'5', b'{"a":' * 5000, b'"' + b'x' * 100_000)
for frame in garbage:
    for parts in ([frame], [b'<IDS|MSG>'], [b'<IDS|MSG>', b'', frame, frame, frame, frame],
                  signed(frame, frame, frame, frame), signed(frame, frame), [frame] * 9):
        kernel.iopub_socket.send_multipart(parts)
""",
        judge=_judged(_nothing, may_die=False),
    ),
    Case(
        "closed-sockets",
        "close the sockets that the host listens to",
        "time limit",
        "get_ipython().kernel.iopub_socket.close()\nzmq = __import__('zmq')\n"
        "zmq.Context.instance().destroy(linger=0)\ntime.sleep(3600)",
        judge=_judged(_says_ok),
        limits={"cell_seconds": 2.0},
        spoils=True,
    ),
    Case(
        "closed-descriptors",
        "close every descriptor of the kernel",
        "time limit",
        "os.closerange(0, 512)\ntime.sleep(3600)",
        judge=_judged(_says_ok),
        limits={"cell_seconds": 2.0},
        spoils=True,
    ),
    Case(
        "stopped-kernel",
        "stop the kernel's own process by a signal",
        "time limit",
        "os.kill(os.getpid(), signal.SIGSTOP)",
        judge=_judged(_says_ok),
        limits={"cell_seconds": 2.0},
        spoils=True,
    ),
    Case(
        "silent-exit",
        "end the process without a word",
        OWN_PROCESS,
        "os._exit(0)",
        judge=_judged(_says_ok),
        spoils=True,
    ),
    Case(
        "crash",
        "read memory that is not there",
        OWN_PROCESS,
        "ctypes.string_at(0)",
        judge=_judged(_says_ok),
        spoils=True,
    ),
    Case(
        "suicide",
        "kill the kernel's own process",
        OWN_PROCESS,
        "os.kill(os.getpid(), signal.SIGKILL)",
        judge=_judged(_says_ok),
        spoils=True,
    ),
    Case(
        "question",
        "ask the host for input and wait",
        PARSER,
        "input('password: ')",
        judge=_judged(_says_ok, may_die=False),
    ),
)
