"""Wheels with next to nothing in them, so that an environment can be built without a network."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

PACKAGES = {
    "ipykernel": {"ipykernel/__init__.py": "", "ipykernel/tests/test_it.py": ""},
    "matplotlib": {
        "matplotlib/__init__.py": "",
        "matplotlib/pyplot.py": (
            "import os\n"
            "with open(os.environ['MPLCONFIGDIR'] + '/fontlist.json', 'w') as file:\n"
            "    file.write(os.environ['HOME'])\n"
        ),
    },
    "numpy": {"numpy/__init__.py": "", "numpy/core/tests/part_of_it.py": ""},
    "pandas": {"pandas/__init__.py": ""},
}


def make_wheel(folder: Path, name: str, files: Mapping[str, str], version: str = "1.0") -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)
        wheel.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "".join(f"{file},,\n" for file in files))
    return path


def pinned(wheel: Path) -> str:
    """A wheel as a line of a lock file."""
    name, version = wheel.name.split("-")[:2]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"{name}=={version} \\\n    --hash=sha256:{digest}\n"
