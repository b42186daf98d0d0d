"""Traps in the data folder for the host, which reads results from it and puts inputs into it."""

from __future__ import annotations

from localassist.sandbox.abuse import host_reads as reads
from localassist.sandbox.abuse import host_writes as writes
from localassist.sandbox.abuse.case import Ablation, Case, Judge

RULES = "host-side rules"


def _trap(
    name: str, tries: str, code: str, judge: Judge, naive: Judge | None, *, spoils: bool = False
) -> Case:
    ablation = Ablation(judge=naive) if naive else None
    return Case(name, tries, RULES, code, judge=judge, ablation=ablation, spoils=spoils)


CASES: tuple[Case, ...] = (
    _trap(
        "link-as-result",
        "leave a link to a file of the host as a result",
        "os.symlink(BAIT['secret'], '/mnt/data/result.csv')",
        reads.secret_comes_out,
        reads.secret_comes_out_naively,
    ),
    _trap(
        "link-as-folder",
        "leave a link to a folder of the host among the results",
        "os.symlink(os.path.dirname(BAIT['secret']), '/mnt/data/results')",
        reads.secret_comes_out,
        reads.secret_comes_out_naively,
    ),
    _trap(
        "swapped-for-link",
        "swap a result for a link after the host has looked at it",
        "open('/mnt/data/result.csv', 'w').write('harmless')",
        reads.swapped_for_link,
        reads.swapped_for_link_naively,
    ),
    _trap(
        "race",
        "swap files and folders for links all the time while the host reads",
        """
        def put(make, name):
            make('/mnt/data/next')
            os.rename('/mnt/data/next', f'/mnt/data/{name}')
        def file(path):
            with open(path, 'w') as stream:
                stream.write('harmless')
        os.mkdir('/mnt/data/away')
        file('/mnt/data/away/secret.txt')
        os.rename('/mnt/data/away', '/mnt/data/out')
        end = time.monotonic() + 2
        while time.monotonic() < end:
            put(file, 'result.csv')
            put(lambda path: os.symlink(BAIT['secret'], path), 'result.csv')
            os.rename('/mnt/data/out', '/mnt/data/away')
            os.symlink(os.path.dirname(BAIT['secret']), '/mnt/data/out')
            os.unlink('/mnt/data/out')
            os.rename('/mnt/data/away', '/mnt/data/out')
        """,
        reads.race,
        None,
    ),
    _trap(
        "hard-link-as-result",
        "leave a second name of a file of the host",
        "",
        reads.made_by_host(reads.hard_link, reads.secret_comes_out),
        reads.made_by_host(reads.hard_link, reads.secret_comes_out_naively),
    ),
    _trap(
        "pipe-as-result",
        "leave a pipe that nobody writes to",
        "",
        reads.made_by_host(reads.pipe, reads.nothing_hangs),
        reads.made_by_host(reads.pipe, reads.nothing_hangs_naively),
    ),
    _trap(
        "sparse-result",
        "leave a file of 1 TB that takes no room until it is copied",
        "",
        reads.made_by_host(reads.sparse, reads.copies_too_much),
        reads.made_by_host(reads.sparse, reads.copies_too_much_naively),
    ),
    _trap(
        "growing-result",
        "let a file grow while the host reads it",
        "open('/mnt/data/growing.bin', 'wb').write(bytes(3 << 20))",
        reads.growing,
        reads.growing_naively,
    ),
    _trap(
        "odd-names",
        "give files names that are no UTF-8, contain line ends or are very long",
        """
        for name in (b'\\xff\\xfe.csv', b'two\\nlines.txt', b'back\\\\slash', b'x' * 255,
                     b'\\x1b[2J.txt', '\u202egnp.exe'.encode(), b'CON', b'a\\x00'[:1] + b' '):
            with open(b'/mnt/data/' + name, 'w') as stream:
                stream.write('x')
        """,
        writes.odd_names,
        writes.odd_names_naively,
    ),
    _trap(
        "deep-and-many",
        "leave more folders and files than anybody can walk through",
        """
        path = '/mnt/data'
        for number in range(60):
            path += '/deep'
            os.mkdir(path)
        for number in range(400):
            open(f'/mnt/data/many{number}', 'w').close()
        """,
        writes.walk_is_bounded,
        None,
    ),
    _trap(
        "input-over-link",
        "plant links under the names that inputs will get",
        """
        os.symlink(BAIT['secret'], '/mnt/data/input.csv')
        os.symlink(os.path.dirname(BAIT['secret']), '/mnt/data/folder')
        os.makedirs('/mnt/data/taken/inner')
        """,
        writes.input_over_link,
        writes.input_over_link_naively,
    ),
    _trap(
        "input-outside",
        "have an input written beside the folder, by its name",
        "",
        writes.input_outside,
        writes.input_outside_naively,
    ),
    _trap(
        "pickle",
        "leave a pickle that runs code when it is loaded",
        """
        class Planted:
            def __reduce__(self):
                return os.mkdir, (BAIT['folder'] + '/unpickled',)
        with open('/mnt/data/table.pkl', 'wb') as stream:
            pickle.dump(Planted(), stream)
        """,
        writes.is_unpickled,
        writes.is_unpickled_naively,
    ),
)
