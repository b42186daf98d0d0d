"""llama.cpp's own server out of the xllamacpp package, until standard input closes.

Run with the Python that has xllamacpp, which need not be the one that has localassist:
``python llama_server.py '{"model": PATH, "slots": 8, "context": 8192, "threads": 2}'``. Prints one
line of JSON: where it listens, and how it was built.
"""

import json
import os
import sys

import xllamacpp


def main() -> None:
    wanted = json.loads(sys.argv[1])
    params = xllamacpp.CommonParams()
    params.model.path = wanted["model"]
    params.n_parallel = wanted["slots"]
    params.n_ctx = wanted["context"]
    params.kv_unified = True  # as llama-server has it when it chooses the number of slots itself
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = wanted["threads"]
    params.verbosity = 0
    server = xllamacpp.Server(params)
    build = " ".join(xllamacpp.get_system_info().split())
    print(json.dumps({"url": server.listening_address, "build": build}), flush=True)
    sys.stdin.read()
    os._exit(0)  # its threads do not end by themselves


if __name__ == "__main__":
    main()
