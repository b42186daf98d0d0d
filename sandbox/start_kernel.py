"""Starts the kernel inside the isolation: limits first, then ipykernel on inherited sockets.

    python -I -B start_kernel.py start.json

``start.json``: connection_file; descriptors, the listening sockets by channel (shell, iopub, stdin,
hb, control); folder to work in; rlimits by name; limit_memory_mb, nice, oom_score_adj (null for
none); preload, modules to import; own_modules_last, whether code may import what lies in ``folder``
only where nothing else has the name.

Whatever runs here later can undo all of it except what the kernel of the operating system holds:
this program is for comfort and for limits, the walls stand outside.
"""

import json
import os
import resource
import shutil
import sys
from io import FileIO, TextIOWrapper

MB = 1 << 20


def limit(start):
    for name, value in start["rlimits"].items():
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(number, (value, value))
    os.nice(start["nice"])
    if start["oom_score_adj"] is not None:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(start["oom_score_adj"]))
    os.umask(0o022)
    os.chdir(start["folder"])


def limit_memory(limit_mb):
    """Let private memory grow by what is left of the limit: code then gets a MemoryError and keeps
    its variables, where whoever watches the whole sandbox could only kill it. Counted from here,
    because what is loaded by now has reserved more than it uses."""
    sizes = {}
    with open("/proc/self/status") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name in ("VmData", "VmRSS"):
                sizes[name] = int(value.split()[0]) << 10
    left = max(limit_mb * MB - sizes["VmRSS"], 64 * MB)
    value = sizes["VmData"] + left
    resource.setrlimit(resource.RLIMIT_DATA, (value, value))


def copy_what_matplotlib_found():
    """About fonts, when the environment was built: finding them again takes most of a second."""
    found = os.path.join(sys.prefix, "share", "localassist", "matplotlib")
    if os.path.isdir(found) and "MPLCONFIGDIR" in os.environ:
        shutil.copytree(found, os.environ["MPLCONFIGDIR"], dirs_exist_ok=True)


def application(descriptors):
    """The kernel's application, its sockets made from inherited descriptors."""
    import zmq
    from ipykernel import kernelapp
    from ipykernel.heartbeat import Heartbeat
    from ipykernel.iostream import IOPubThread

    by_port = {}

    def adopt(socket, port):
        socket.setsockopt(zmq.USE_FD, by_port[port])
        # A name has to be given; the descriptor is bound and listening already.
        socket.bind(f"ipc:///tmp/.kernel-{port}")

    class NeverConnected(zmq.Socket):
        """The debugger connects to the kernel itself, which would need ``socket()``."""

        def connect(self, address):
            pass

    class Context(zmq.Context):
        def socket(self, socket_type, socket_class=None, **options):
            if socket_type == zmq.DEALER:
                socket_class = NeverConnected
            return super().socket(socket_type, socket_class, **options)

    class BoundHeartbeat(Heartbeat):
        def _try_bind_socket(self):
            adopt(self.socket, self.port)

    class Application(kernelapp.IPKernelApp):
        def _try_bind_socket(self, socket, port):
            adopt(socket, port)
            return port

        def init_sockets(self):
            for channel, descriptor in descriptors.items():
                by_port[getattr(self, channel + "_port")] = descriptor
            super().init_sockets()

        def init_control(self, context):
            super().init_control(Context.shadow(context))

    def no_pipe(thread):
        """What children print comes another way, see ``print_from_children``."""
        thread._pipe_flag = False

    IOPubThread._setup_pipe_in = no_pipe
    kernelapp.Heartbeat = BoundHeartbeat
    return Application


def print_from_children():
    """A forked child would send what it prints over TCP, which does not exist here; file
    descriptors 1 and 2 reach the kernel as well."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        raw = FileIO(descriptor, "w", closefd=False)
        setattr(sys, name, TextIOWrapper(raw, "utf-8", "backslashreplace", line_buffering=True))


def main(path):
    with open(path) as file:
        start = json.load(file)
    limit(start)
    kernel_application = application(start["descriptors"])

    from traitlets.config import Config

    copy_what_matplotlib_found()
    for module in start["preload"]:
        __import__(module)
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    config.InteractiveShellApp.ignore_cwd = start["own_modules_last"]
    config.IPKernelApp.capture_fd_output = True
    app = kernel_application.instance(config=config)
    app.initialize(["-f", start["connection_file"], "--quiet"])
    if start["own_modules_last"]:
        sys.path.append(start["folder"])
    if "matplotlib" in sys.modules:
        # Imported before the shell existed, so nothing has connected the two.
        app.shell.enable_matplotlib("inline")
    os.register_at_fork(after_in_child=print_from_children)
    if start["limit_memory_mb"] is not None:
        limit_memory(start["limit_memory_mb"])
    app.start()


if __name__ == "__main__":
    main(sys.argv[1])
