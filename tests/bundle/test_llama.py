"""llama-cpp-python for a bundle: what is kept, and what a failed compilation leaves."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from localassist.bundle.llama import check_can_be_had, compile_wheel, kept_wheel
from localassist.bundle.targets import Target
from localassist.errors import BundleError

VERSION = "0.0.0"  # which there is not
LEVEL = "x86-64-v2"


def test_a_failed_compilation_leaves_all_that_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    said: list[str] = []
    with pytest.raises(BundleError, match=r"No matching distribution.*failed\.log") as caught:
        compile_wheel(tmp_path, VERSION, LEVEL, said.append)
    (log,) = tmp_path.glob("*/failed.log")
    assert str(log) in caught.value.message and "llama-cpp-python==0.0.0" in log.read_text()
    assert said == [f"compiling llama.cpp for {LEVEL}; this takes some minutes once"]
    assert {path.name for path in log.parent.iterdir()} == {".lock", "failed.log"}
    wheel = log.with_name(f"llama_cpp_python-{VERSION}-py3-none-linux_x86_64.whl")
    wheel.touch()
    assert compile_wheel(tmp_path, VERSION, LEVEL, said.append) == wheel and len(said) == 1
    assert kept_wheel(tmp_path, VERSION, LEVEL) == wheel
    assert kept_wheel(tmp_path, VERSION, "x86-64-v3") is None


def test_what_must_be_compiled_elsewhere_comes_with_the_command() -> None:
    arm = Target("linux_aarch64", "3.12")
    check_can_be_had(arm, "linux_aarch64", VERSION)
    command = r"GGML_CPU_ARM_ARCH=armv8\.2-a.* pip wheel .*llama-cpp-python==0\.0\.0"
    with pytest.raises(BundleError, match=command) as caught:
        check_can_be_had(arm, "linux_x86_64", VERSION)
    assert re.search("--wheels wheels", caught.value.message)
    assert "AVX" not in caught.value.message
