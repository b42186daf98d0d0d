"""``localassist.sandbox.run_code`` and ``open_kernel``."""

from __future__ import annotations

from pathlib import Path

import pytest

from localassist.errors import ConfigError
from localassist.sandbox import open_kernel, run_code
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.outputs import CellEnded, Logs
from localassist.sandbox.running import lowered

ALL_PACKAGES = """
import docx, lxml.etree, matplotlib.pyplot, networkx, numpy, openpyxl, pandas, PIL.Image, pptx
import pyarrow.parquet, pypdf, reportlab.pdfgen.canvas, scipy.stats, seaborn, sklearn.ensemble
import statsmodels.api, sympy, tabulate, xlsxwriter, yaml, bs4
"""


def test_limits_are_lowered_by_name() -> None:
    limits = lowered(SandboxSettings(), {"cell_seconds": 1.5, "disk_mb": 8})
    assert (limits.cell_seconds, limits.disk_mb, limits.files) == (1.5, 8, 10_000)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"seconds": 1}, "no limit 'seconds'; there are cell_seconds, disk_mb"),
        ({"provider": "unsafe"}, "no limit 'provider'"),
        ({"memory_mb": 4096}, "'memory_mb' may be at most 2048"),
        ({"images": -1}, "The limit 'images'"),
        ({"processes": "many"}, "The limit 'processes'"),
    ],
)
def test_other_limits_are_refused(wanted: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        lowered(SandboxSettings(), wanted)


@pytest.mark.sandbox
def test_code_with_everything_that_comes_of_it(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("some text")
    code = (
        "text = open('/mnt/data/in.txt').read()\n"
        "open('out.txt', 'w').write(text.upper())\n"
        "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()\n"
        "len(text)"
    )
    result = run_code(code, inputs=[tmp_path / "in.txt"])
    assert (result.status, result.logs) == ("ok", "9\n")
    assert result.files == {"out.txt": b"SOME TEXT"} and result.notices == ()
    assert [image.media_type for image in result.images] == ["image/png"]


@pytest.mark.sandbox
async def test_it_works_inside_an_event_loop() -> None:
    assert run_code("print(1)").logs == "1\n"


@pytest.mark.sandbox
def test_a_failure_is_a_result() -> None:
    result = run_code("[][0]")
    assert result.status == "error" and "IndexError" in result.logs


@pytest.mark.sandbox
def test_what_is_not_kept_is_said(tmp_path: Path) -> None:
    code = "import os\nos.link('a', 'b') if open('a', 'w') else 0\nopen('c', 'w').write('x')"
    result = run_code(code)
    assert set(result.files) == {"c"}
    assert len(result.notices) == 2 and all("hard links" in said for said in result.notices)
    many = run_code("for i in range(5): open(f'{i}.txt', 'w').write('x')", output_files=2)
    assert len(many.files) == 2 and many.notices == (
        "Not kept: 3 of the 5 files, which are too many.",
    )


@pytest.mark.sandbox
async def test_a_kernel_keeps_its_variables_while_it_is_open(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A")
    async with open_kernel() as kernel:
        assert (await kernel.run("x = 41; open('first', 'w').write('1')")).files == {"first": b"1"}
        assert (await kernel.run("x + 1")).logs == "42\n"
        names = [await kernel.give(tmp_path / "a.txt") for _ in range(2)]
        assert names == ["a.txt", "a (2).txt"]
        outputs = [output async for output in kernel.execute("print(open('a (2).txt').read())")]
        assert outputs[-1] == CellEnded("ok")
        assert "".join(o.text for o in outputs if isinstance(o, Logs)) == "A\n"
        assert (await kernel.written()).paths == ()


@pytest.mark.sandbox
def test_every_package_can_be_used_within_the_default_limits() -> None:
    """Some libraries reserve far more address space than they use."""
    table = (
        "table = pyarrow.table({'a': list(range(1000)), 'b': ['x'] * 1000})\n"
        "pyarrow.parquet.write_table(table, 'table.parquet')\n"
        "print(pandas.read_parquet('table.parquet').a.sum())\n"
        "x = numpy.random.default_rng(0).random((200, 3))\n"
        "print(sklearn.ensemble.RandomForestClassifier(n_jobs=2).fit(x, x[:, 0] > 0.5).score(\n"
        "    x, x[:, 0] > 0.5) > 0.9)\n"
    )
    result = run_code(ALL_PACKAGES + table)
    assert (result.status, result.logs) == ("ok", "499500\nTrue\n")
