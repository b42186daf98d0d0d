"""Files of text: encodings, Markdown, pages, code, tables, records, messages."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.errors import UnreadableFile
from localassist.retrieval.parsers.encoding import decode
from tests.documents import eml
from tests.retrieval.parsers.reads import place_of, read

GERMAN = "Die Müllabfuhr kommt am Donnerstag, schöne Grüße aus Köln."
FRENCH = "Le café où l'été dure — déjà vu, garçon."
RUSSIAN = "Привет, это обычный русский текст о погоде и природе."
GREEK = "Αυτό είναι ένα ελληνικό κείμενο για τον καιρό."
JAPANESE = "これは日本語の文章です。天気がいいですね。"
CHINESE = "这是一个中文句子。今天天气很好，我们去公园。"


@pytest.mark.parametrize(
    "text, encodings",
    [
        (GERMAN, "utf-8 utf-8-sig utf-16 utf-32 utf-16-le utf-16-be latin-1 cp1252"),
        (FRENCH, "utf-8 utf-16-le cp1252"),
        (RUSSIAN, "utf-8 utf-16-le utf-16-be cp1251 koi8-r"),
        (GREEK, "utf-8 utf-16-le cp1253"),
        (JAPANESE, "utf-8 utf-16-le utf-16-be shift_jis euc-jp"),
        (CHINESE, "utf-8 utf-16-le gb18030"),
    ],
    ids=["german", "french", "russian", "greek", "japanese", "chinese"],
)
def test_encodings_are_told(text: str, encodings: str) -> None:
    for encoding in encodings.split():
        assert decode(f"{text}\n{text}\n".encode(encoding)) == f"{text}\n{text}\n", encoding


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_whatever_is_utf8_is_read_as_that(text: str) -> None:
    data = text.encode()
    assert decode(b"\xef\xbb\xbf" + data) == text
    # Without a mark a text of letters from everywhere may pass for UTF-16; one with ASCII does not.
    mixed = f"plain words before {text} and plain words after it"
    assert decode(mixed.encode()) == mixed


def test_a_few_broken_bytes_do_not_change_the_encoding() -> None:
    text = GERMAN * 10
    assert decode(text.encode() + b"\xff!") == f"{text}\ufffd!"


def test_binary_data_in_a_text_file_is_refused() -> None:
    with pytest.raises(UnreadableFile, match="binary data"):
        read(bytes(range(256)) * 20, "a.txt")


def test_line_ends_become_newlines_and_unprintable_characters_go() -> None:
    content = "one\r\ntwo\rthree\u2028four\u200b\x07 five".encode()
    assert read(content, "a.txt").text == "one\ntwo\nthree\nfour five"


def test_form_feeds_separate_pages_of_a_text() -> None:
    document = read(b"First page.\n\fSecond page.\n", "a.txt")
    assert place_of(document, "Second") == "page 2"


def test_markdown_headings_make_a_path_but_not_in_code() -> None:
    text = (
        "---\ntitle: x\n---\n# The *Manual*\nIntro.\n\n## Setup with `pip` ##\nInstall it.\n\n"
        "```sh\n# not a heading\n```\nAfter code.\n\nUse\n===\nRun it.\n\n### Deep\nText.\n"
    )
    document = read(text.encode(), "a.md")
    assert document.text == text.rstrip()
    assert place_of(document, "Intro") == "section The Manual"
    assert place_of(document, "After code") == "section The Manual › Setup with pip"
    assert place_of(document, "Run it") == "section Use"
    assert place_of(document, "Text.") == "section Use › Deep"


def test_headings_of_other_markup() -> None:
    rst = b"Manual\n======\nIntro.\n\nSetup\n-----\nInstall.\n\nUse\n===\nRun it.\n"
    assert place_of(read(rst, "a.rst"), "Install") == "section Manual \u203a Setup"
    assert place_of(read(rst, "a.rst"), "Run") == "section Use"
    adoc = b"= Manual\n\n== Setup\nInstall.\n"
    assert place_of(read(adoc, "a.adoc"), "Install") == "section Manual \u203a Setup"
    assert (
        place_of(read(b"* Tasks\n** One\nText.\n", "a.org"), "Text") == "section Tasks \u203a One"
    )


def test_names_of_places_have_bounds() -> None:
    deep = "".join(f"{' ' * n}class C{n}:\n" for n in range(50))
    for content, filename in (
        (f"<h1>{'word ' * 50_000}</h1>text".encode(), "a.html"),
        (json.dumps({"key " * 50_000: 1}).encode(), "a.json"),
        (deep.encode(), "a.py"),
    ):
        assert all(len(place.label()) < 500 for place in read(content, filename).places)


def test_a_page_is_read_as_it_is_seen() -> None:
    page = (
        "<html><head><title>Handbook</title><style>p {}</style></head><body>"
        "<nav><a href=x>Home</a></nav><script>alert(1)</script>"
        "<h2>Metals</h2><p>Zinc &amp; iron<br>melt&nbsp;early.</p><p hidden>secret</p>"
        "<ul><li>one</li><li>two <b>bold</b></li></ul>"
        "<table><tr><th>Metal</th><th>Point</th></tr><tr><td><p>zinc</p></td><td>420</td></tr>"
        "</table><pre>a\n  b</pre><!-- comment -->Tail.</body></html>"
    )
    document = read(page.encode(), "a.html")
    assert document.text == (
        "Handbook\n\nMetals\n\nZinc & iron\nmelt\xa0early.\n\n- one\n- two bold\n\n"
        "Metal | Point\nzinc | 420\n\na\n  b\n\nTail."
    )
    assert place_of(document, "Tail") == "section Handbook › Metals"


def test_a_page_in_its_declared_encoding() -> None:
    page = f"<meta charset='koi8-r'><p>{RUSSIAN}</p>"
    assert read(page.encode("koi8-r"), "a.html").text == RUSSIAN


@pytest.mark.parametrize(
    "filename, source, text, place",
    [
        ("a.py", "class A:\n    def run(self):\n        return 1\n", "return", "A › run"),
        ("a.js", "export async function load(x) {\n  return x\n}\n", "return", "load"),
        ("a.go", "func (s *Server) Serve(a int) error {\n\treturn nil\n}\n", "return", "Serve"),
        ("a.c", "static int add(int a, int b)\n{\n    return a + b;\n}\n", "return", "add"),
        ("a.java", "public class A {\n  void go() {\n    run();\n  }\n}\n", "run()", "A › go"),
        ("a.rs", "impl Foo {\n    pub fn bar() {\n        baz();\n    }\n}", "baz", "Foo › bar"),
        ("a.sql", "CREATE TABLE IF NOT EXISTS metals (\n  name text\n);", "name", "metals"),
        ("a.tex", "\\section{Metals}\n\\subsection{Zinc}\nIt melts.\n", "It", "Metals › Zinc"),
        ("a.ini", "[metals]\nzinc = 420\n", "zinc", "metals"),
        ("a.py", '"""\nclass of things that are text\n"""\nx = 1\n', "x = 1", ""),
        ("a.c", "int x;\nif (ready)\n{\n  go();\n}\n", "go", ""),
    ],
)
def test_code_says_what_it_defines(filename: str, source: str, text: str, place: str) -> None:
    document = read(source.encode(), filename)
    assert document.text == source.rstrip().replace("\r", "")
    assert place_of(document, text) == (f"section {place}" if place else "")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_rows_of_a_table_with_separators(separator: str) -> None:
    rows = [["Metal", "Price", "Note"], ["zinc", "2.5", '"a\nb"'], ["iron", "", "none"]]
    content = "\n".join(separator.join(row) for row in rows).encode()
    assert read(content, "a.csv").text == (
        "Metal | Price | Note\nMetal: zinc | Price: 2.5 | Note: a b\nMetal: iron | Note: none"
    )


def test_tables_without_headers_stay_as_they_are() -> None:
    assert read(b"1,2,3\n4,5,6\n", "a.csv").text == "1 | 2 | 3\n4 | 5 | 6"


def test_a_very_long_table_names_its_columns_once() -> None:
    content = b"id,name\n" + b"".join(b"%d,n%d\n" % (i, i) for i in range(100))
    text = read(content, "a.csv", max_characters=3000).text
    assert text.startswith("id | name\n0 | n0\n1 | n1\n")


def test_records_are_lines_of_path_and_value() -> None:
    value = {"town": {"name": "Bern", "tags": ["old", 12]}, "metals": [{"a": 1}, {"a": None}]}
    document = read(json.dumps(value).encode(), "a.json")
    assert document.text == "town.name: Bern\ntown.tags: old, 12\nmetals.a: 1\n\nmetals.a: null"
    assert place_of(document, "metals.a") == "section metals"
    lines = b'{"a": {"b": "x"}}\nnot json\n\n[1, 2]\n'
    assert read(lines, "a.jsonl").text == "a.b: x\n\nnot json\n\n1, 2"


def test_what_is_no_valid_json_stays_as_it_is() -> None:
    text = '{"a": 1, // a comment\n}'
    assert read(text.encode(), "a.json").text == text
    assert read(b"[" * 100_000, "a.json").text == "[" * 100_000


def test_messages_with_their_headers() -> None:
    text = read(eml("Prices of zinc", "It is cheap:\n420 a ton."), "a.eml").text
    assert text == (
        "Subject: Prices of zinc\nFrom: ada@example.org\nTo: bob@example.org\n\n"
        "It is cheap:\n420 a ton."
    )
    page = (
        b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nContent-Type: text/html\n\n<p>Hello <b>you</b></p>"
    )
    assert read(page, "a.eml").text == "Subject: Grüße\n\nHello you"
