"""Writes a copy of a GGUF model with other element types.

``python -m localassist.engine.llama.quantize`` does it in a child process, because llama.cpp can be
stopped in the middle of a file only by ending the process.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import llama_cpp.llama_cpp as llama

from localassist.child import read_request
from localassist.errors import ModelLoadFailed

_FILE_TYPES = {
    "q8_0": llama.LLAMA_FTYPE_MOSTLY_Q8_0,
    "q6_k": llama.LLAMA_FTYPE_MOSTLY_Q6_K,
    "q5_k_m": llama.LLAMA_FTYPE_MOSTLY_Q5_K_M,
    "q5_1": llama.LLAMA_FTYPE_MOSTLY_Q5_1,
    "q5_0": llama.LLAMA_FTYPE_MOSTLY_Q5_0,
    "q4_k_m": llama.LLAMA_FTYPE_MOSTLY_Q4_K_M,
    "q4_1": llama.LLAMA_FTYPE_MOSTLY_Q4_1,
    "q4_0": llama.LLAMA_FTYPE_MOSTLY_Q4_0,
    "iq4_nl": llama.LLAMA_FTYPE_MOSTLY_IQ4_NL,
    "bf16": llama.LLAMA_FTYPE_MOSTLY_BF16,
    "f16": llama.LLAMA_FTYPE_MOSTLY_F16,
}


def quantize(source: Path, target: Path, file_type: str, *, threads: int) -> None:
    """Write ``target``, also from weights that are quantized already. Raises ModelLoadFailed; what
    is then in ``target`` is useless."""
    llama.llama_backend_init()
    params = llama.llama_model_quantize_default_params()
    params.nthread = threads
    params.ftype = _FILE_TYPES[file_type]
    params.allow_requantize = True
    code = llama.llama_model_quantize(
        os.fsencode(source), os.fsencode(target), ctypes.byref(params)
    )
    if code != 0:
        raise ModelLoadFailed(f"llama.cpp cannot write {source.name} as {file_type}.")


def main() -> None:
    request = read_request()
    source, target = Path(request["source"]), Path(request["target"])
    quantize(source, target, request["file_type"], threads=request["threads"])


if __name__ == "__main__":
    main()
