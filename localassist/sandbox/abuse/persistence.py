"""More rights than were given, and traces for whoever comes next."""

from __future__ import annotations

from pathlib import Path

from localassist.sandbox.abuse.case import Case, Finding, NoAnswer, without
from localassist.sandbox.abuse.scene import Scene, said

FIND = """
places = ('/tmp', '/var/tmp', '/dev/shm', '/run', '/mnt/data',
          os.environ['HOME'], os.environ['HOME'] + '/.ipython')
found = [place for place in places if os.path.exists(f"{place}/left-{BAIT['word']}")]
attempt(lambda: ' '.join(found))
"""


async def _next_one_finds_it(scene: Scene) -> Finding:
    """What a kernel leaves outside its data folder must not be there for the next one."""
    left = await scene.cell()
    if "abuse:left:" not in left.text:
        raise NoAnswer(f"{left.summary}; {left.text[-300:]}")
    try:
        async with scene.another_room() as room:
            return said(await room.cell(FIND))
    finally:
        for place in ("/tmp", "/var/tmp"):  # where it comes to in an ablation
            (Path(place) / f"left-{scene.bait.word}").unlink(missing_ok=True)


async def _startup_runs(scene: Scene) -> Finding:
    """Code left for the start of Python or IPython must not run in the next kernel over the same
    data folder, which is what a thread gets when its kernel was closed."""
    left = await scene.cell()
    if "abuse:left:" not in left.text:
        raise NoAnswer(f"{left.summary}; {left.text[-300:]}")
    async with scene.another_room() as room:
        for path in scene.data.iterdir():
            copy = room.box.data / path.name
            copy.write_bytes(path.read_bytes())
            copy.chmod(0o644)
        return said(
            await room.cell(
                """
                from importlib.util import find_spec
                names = [name.removesuffix('.py') for name in os.listdir('/mnt/data')
                         if name.endswith('.py') and 'customize' not in name]
                attempt(lambda: 'planted ran' if hasattr(sys, 'planted') else None,
                        lambda: ' '.join(name for name in names
                                         if find_spec(name).origin.startswith('/mnt')))
                """
            )
        )


RUN = """
import subprocess
def runs(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=5,
                          stdin=subprocess.DEVNULL)
    return done.returncode == 0 and f'{command[0]}: {done.stdout or done.stderr}'
"""

CASES: tuple[Case, ...] = (
    Case(
        "set-id-programs",
        "gain rights by the set-user-id programs of the system",
        "no-new-privileges",
        RUN
        + """
programs = []
for folder in ('/usr/bin', '/usr/sbin', '/usr/lib'):
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and os.stat(path).st_mode & 0o6000:
            programs.append(path)
def root():
    done = subprocess.run(['/usr/bin/su', '-c', 'id -u'], capture_output=True, text=True,
                          timeout=5, stdin=subprocess.DEVNULL)
    return done.stdout.strip() == '0' and 'su made it user 0'
def sudo():
    return runs('/usr/bin/sudo', '-n', 'true')
attempt(root, sudo, lambda: os.setuid(0) or 'setuid made it user 0')
say('stopped', f'{len(programs)} programs with set-id bits')
""",
    ),
    Case(
        "changed-environment",
        "change a module that other kernels import",
        "read-only environment",
        """
        import zmq, IPython
        def append(path):
            with open(path, 'a') as stream:
                return stream.write(' ') and f'wrote to {path}'
        attempt(lambda: append(zmq.__file__), lambda: append(IPython.__file__),
                lambda: append(os.__file__), lambda: os.chmod(os.__file__, 0o666) or 'chmod')
        """,
    ),
    Case(
        "installed-package",
        "install a package",
        "read-only environment",
        RUN
        + """
attempt(lambda: runs(sys.executable, '-c',
        'import site, os; os.mkdir(os.path.join(site.getsitepackages()[0], "planted"))'))
""",
    ),
    Case(
        "scheduled-job",
        "leave a job for cron, at or systemd",
        "private-root",
        RUN
        + """
def write(path):
    with open(path, 'w') as stream:
        return stream.write('* * * * * root true') and f'wrote {path}'
attempt(*[lambda path=path: write(path) for path in (
    '/etc/cron.d/planted', '/var/spool/cron/crontabs/root', '/etc/systemd/system/planted.service',
    '/etc/profile.d/planted.sh', '/etc/ld.so.preload')],
    lambda: os.path.exists('/usr/bin/systemd-run')
    and runs('/usr/bin/systemd-run', '--user', 'true'),
    lambda: os.path.exists('/usr/bin/crontab') and runs('/usr/bin/crontab', '-l'))
""",
    ),
    Case(
        "left-for-the-next",
        "leave files in temporary folders and the home folder for the next kernel",
        "private-root",
        """
        os.makedirs(os.environ['HOME'] + '/.ipython', exist_ok=True)
        for place in ('/tmp', '/dev/shm', '/mnt/data', os.environ['HOME'],
                      os.environ['HOME'] + '/.ipython'):
            with open(f"{place}/left-{BAIT['word']}", 'w') as stream:
                stream.write('x')
        say('left', 'files')
        """,
        judge=_next_one_finds_it,
        ablation=without("private-root"),
    ),
    Case(
        "planted-modules",
        "plant json.py, sitecustomize.py and others in the data folder for the next start",
        "module-path",
        """
        for name in ('json', 'colorsys', 'sitecustomize', 'usercustomize', 'zmq', 'jedi',
                     'parso', 'psutil', 'traitlets'):
            with open(f'/mnt/data/{name}.py', 'w') as stream:
                stream.write('import sys\\nsys.planted = True\\n')
        with open('/mnt/data/planted.pth', 'w') as stream:
            stream.write('import sys; sys.planted = True\\n')
        say('left', 'modules')
        """,
        judge=_startup_runs,
        ablation=without("module-path"),
    ),
)
