from __future__ import annotations

import pytest

from localassist.tools.code_interpreter.base import CodeFile, Execution
from localassist.tools.code_interpreter.repair import mended, missing_module

SALES = CodeFile("sales data.csv", "file-1", 40, "region,unit_price\nNorth,3\nSouth,4\n")


@pytest.mark.parametrize(
    ("code", "error", "changed"),
    [
        ("np.sqrt(4)\n", "NameError: name 'np' is not defined", "import numpy as np\nnp.sqrt(4)\n"),
        ("sqrt(4)\n", "NameError: name 'sqrt' is not defined", "from math import sqrt\nsqrt(4)\n"),
        (
            "json.dumps(1)\n",
            "NameError: name 'json' is not defined",
            "import json\njson.dumps(1)\n",
        ),
        (
            "total = 1\nprint(totl)\n",
            "NameError: name 'totl' is not defined",
            "total = 1\nprint(total)\n",
        ),
        ('df["price"]\n', "KeyError: 'price'", 'df["unit_price"]\n'),
        ("df['Region']\n", "KeyError: 'Region'", 'df["region"]\n'),
        (
            'pd.read_csv("sales.csv")\n',
            "FileNotFoundError: [Errno 2] No such file or directory: 'sales.csv'",
            'pd.read_csv("/mnt/data/sales data.csv")\n',
        ),
        (
            '"a".uper()\n',
            "AttributeError: 'str' object has no attribute 'uper'. Did you mean: 'upper'?",
            '"a".upper()\n',
        ),
        (
            'pd.read_csv("/mnt/data/a.csv")\n',
            "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xe4",
            'pd.read_csv("/mnt/data/a.csv", encoding="latin-1")\n',
        ),
        (
            'pd.read_csv("/mnt/data/a.csv")\n',
            "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0",
            'pd.read_csv("/mnt/data/a.csv", encoding="utf-16")\n',
        ),
    ],
)
def test_tracebacks_are_read(code: str, error: str, changed: str) -> None:
    logs = f"Traceback (most recent call last):\n  …\n{error}\n"
    found = mended(Execution(code, "error", logs), [SALES])
    assert found is not None
    assert found[0] == changed


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("import nosuch\n", "ModuleNotFoundError: No module named 'nosuch'"),
        ("zzz\n", "NameError: name 'zzz' is not defined"),
        ('df["qqq"]\n', "KeyError: 'qqq'"),
        ("", ""),
    ],
)
def test_what_is_not_understood_is_left_alone(code: str, error: str) -> None:
    assert mended(Execution(code, "error", error), [SALES]) is None


def test_a_missing_package_is_known() -> None:
    logs = "ModuleNotFoundError: No module named 'nosuch'"
    assert missing_module(Execution("import nosuch", "error", logs)) == "nosuch"
