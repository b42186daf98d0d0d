"""What is in a file: for questions about files that no other form fits, so that the answer shows
what is there instead of making it up."""

from __future__ import annotations

import re

from localassist.tools.code_interpreter.base import DATA_FOLDER, CodeFile
from localassist.tools.code_interpreter.tables import extension
from localassist.tools.code_interpreter.wording import FUNCTION, PLOTTING, has_any, measure_of
from localassist.tools.code_interpreter.worked.base import Asked, Worked, cell, literal

_ABOUT_FILES = re.compile(
    r"\b(?:files?|documents?|images?|pictures?|photos?|pixels?|attach\w+|uploads?|data|data ?sets?"
    r"|sheets?|spreadsheets?|tables?|csv|excel|xlsx|json|pdf|text|datei(?:en)?|bild(?:er)?|tabelle"
    r"|daten|summari[sz]e|describe)\b",
    re.IGNORECASE,
)
_COLOUR = re.compile(r"\bcolou?rs?\b|\bsize\b|\bresolution\b|\bfarben?\b", re.IGNORECASE)
# Whoever asks so wants to know about such things, not about the file at hand.
_GENERAL = re.compile(
    r"^\W*(?:what (?:is|are) an?\b|who |why |explain |how (?:do|does|can|should) )", re.IGNORECASE
)
_GRAY = re.compile(r"\bgr[ae]y\s?-?(?:scale)?\b|\bblack and white\b|\bgraustufen\b", re.IGNORECASE)
_IMAGES = ("png", "jpg", "jpeg", "gif", "bmp", "webp", "tif", "tiff")
_BOOKS = ("xlsx", "xlsm", "xls")
_SHOWN_CHARACTERS = 2000


def is_about_files(asked: Asked) -> bool:
    """The question speaks of files, or asks something of data whose names only code can tell."""
    if not asked.files or _GENERAL.search(asked.text):
        return False
    has_images = any(extension(file.name) in _IMAGES for file in asked.files)
    forms = [_ABOUT_FILES, *([_COLOUR, _GRAY] if has_images else [])]
    return has_any(asked.text, forms) or asked.named_file is not None or _is_untold(asked)


def contents(asked: Asked) -> Worked | None:
    """The beginning of the file that is meant, or of the first."""
    if not is_about_files(asked) or FUNCTION.search(asked.text):
        return None
    file = asked.named_file or asked.files[0]
    kind = extension(file.name)
    path = literal(f"{DATA_FOLDER}/{file.name}")
    if kind in _IMAGES:
        lines = _gray(file, path) if _GRAY.search(asked.text) else _image(path)
    elif kind in _BOOKS:
        lines = _book(path, is_drawn=PLOTTING.search(asked.text) is not None)
    elif kind == "json":
        lines = _json(path)
    else:
        lines = _text(path)
    return Worked(cell(f"What is in {file.name}", *lines), f"no form fits: {file.name} is shown")


def _is_untold(asked: Asked) -> bool:
    """There are data whose names only code can tell, and something is asked of data."""
    has_columns = any(table.columns for table in asked.tables)
    has_data = any(extension(file.name) in (*_BOOKS, "json") for file in asked.files)
    is_asking = measure_of(asked.text) is not None or PLOTTING.search(asked.text) is not None
    return has_data and not has_columns and is_asking


def _image(path: str) -> list[str]:
    return [
        "from PIL import Image",
        "",
        f"image = Image.open({path})",
        'print(f"{image.format} image, {image.width} x {image.height} pixels, {image.mode}")',
        'red, green, blue = image.convert("RGB").resize((1, 1)).getpixel((0, 0))',
        'print(f"Its average colour is #{red:02x}{green:02x}{blue:02x}")',
    ]


def _gray(file: CodeFile, path: str) -> list[str]:
    name = f"{file.name.rpartition('.')[0]}_gray.png"
    return [
        "from PIL import Image",
        "",
        f'image = Image.open({path}).convert("L")',
        f"image.save({literal(f'{DATA_FOLDER}/{name}')})",
        'print(f"{image.width} x {image.height} pixels in shades of gray")',
    ]


def _book(path: str, *, is_drawn: bool) -> list[str]:
    figure = [
        '    numbers = sheet.set_index(sheet.columns[0]).select_dtypes("number")',
        "    if not numbers.empty:",
        "        numbers.head(30).plot.bar(figsize=(9, 5), subplots=True, legend=False)",
        "        plt.tight_layout()",
        "        plt.show()",
    ]
    return [
        *(["import matplotlib.pyplot as plt"] if is_drawn else []),
        "import pandas as pd",
        "",
        f"for name, sheet in pd.read_excel({path}, sheet_name=None).items():",
        '    print(f"Sheet {name}: {len(sheet)} rows, {len(sheet.columns)} columns")',
        "    print(sheet.head(20).to_string(index=False))",
        '    print(sheet.describe().round(4).to_string() if len(sheet) else "")',
        *(figure if is_drawn else []),
    ]


def _json(path: str) -> list[str]:
    return [
        "import json",
        "",
        f'with open({path}, encoding="utf-8-sig") as file:',
        "    found = json.load(file)",
        'print(type(found).__name__, "with", len(found) if hasattr(found, "__len__") else 1, '
        '"entries")',
        f"print(json.dumps(found, indent=2, ensure_ascii=False)[:{_SHOWN_CHARACTERS}])",
    ]


def _text(path: str) -> list[str]:
    return [
        f'with open({path}, "rb") as file:',
        "    data = file.read()",
        'if b"\\0" in data[:4096] and data[:2] not in (b"\\xff\\xfe", b"\\xfe\\xff"):',
        '    print(f"{len(data)} bytes that are no text")',
        "else:",
        '    encoding = "utf-16" if data[:2] in (b"\\xff\\xfe", b"\\xfe\\xff") else "utf-8"',
        '    text = data.decode(encoding, "replace")',
        '    print(f"{len(text.splitlines())} lines, {len(text.split())} words. It begins:")',
        f"    print(text[:{_SHOWN_CHARACTERS}])",
    ]
