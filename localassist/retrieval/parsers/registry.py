"""Which parser reads which files, by the extension of their names."""

from __future__ import annotations

import re
from functools import partial

from localassist.retrieval.parsers import (
    code,
    csv_file,
    doc,
    docx,
    email_file,
    epub,
    html_page,
    json_file,
    opendocument,
    pdf,
    plain,
    pptx,
    rtf,
    xlsx,
)
from localassist.retrieval.parsers.base import Parser

CODE = tuple(
    (
        "c cc cpp cxx h hh hpp ino cs java kt kts scala groovy swift m mm go rs zig d dart py pyi "
        "rb pl pm php js jsx mjs cjs ts tsx vue svelte lua r jl ex exs erl hrl hs ml mli clj cljs "
        "lisp el scm f90 f95 pas vb vbs asm s sh bash zsh fish ps1 psm1 bat cmd awk sed sql "
        "graphql gql proto thrift css scss sass less xml xsd xsl xslt svg yaml yml toml ini cfg "
        "conf properties env gradle cmake mk tf hcl tex bib diff patch"
    ).split()
)
TEXT = tuple("txt text log textile srt vtt nfo".split())

PARSERS: dict[str, Parser] = {
    **{suffix: partial(code.parse, suffix=suffix) for suffix in CODE},
    **dict.fromkeys(TEXT, plain.parse_text),
    **dict.fromkeys(("md", "markdown", "mdx", "qmd", "rmd"), plain.parse_markdown),
    "rst": plain.parse_restructured,
    **dict.fromkeys(("adoc", "asciidoc"), partial(plain.parse_marked, mark="=")),
    "org": partial(plain.parse_marked, mark="*"),
    **dict.fromkeys(("html", "htm", "xhtml"), html_page.parse),
    **dict.fromkeys(("csv", "tsv", "tab"), csv_file.parse),
    **dict.fromkeys(("json", "geojson", "webmanifest"), json_file.parse),
    **dict.fromkeys(("jsonl", "ndjson"), json_file.parse_lines),
    **dict.fromkeys(("docx", "docm", "dotx"), docx.parse),
    **dict.fromkeys(("pptx", "pptm", "ppsx"), pptx.parse),
    **dict.fromkeys(("xlsx", "xlsm", "xltx"), xlsx.parse),
    **dict.fromkeys(("odt", "ods", "odp", "ott"), opendocument.parse),
    "pdf": pdf.parse,
    "doc": doc.parse,
    "rtf": rtf.parse,
    "epub": epub.parse,
    "eml": email_file.parse,
}
"""By the extension in lower case, without its dot."""

_SUFFIX = re.compile(r"\.(\w*[a-z]\w*)", re.ASCII)


def suffix_of(filename: str) -> str:
    """The extension in lower case without its dot; empty for ``README``, ``.gitignore``, and
    where what follows the last dot has no letter, as in ``Minutes 2024.11``."""
    name = filename.replace("\\", "/").rpartition("/")[2].strip().lower()
    stem, dot, end = name.rpartition(".")
    found = _SUFFIX.fullmatch(dot + end)
    return found[1] if stem and found else ""


def supported(filename: str) -> bool:
    """Whether a file of this name may be added; without an extension its content decides."""
    suffix = suffix_of(filename)
    return not suffix or suffix in PARSERS
