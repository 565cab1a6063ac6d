"""Whatever a stranger's file holds, it is refused in one line, within a second and 256 MB, and nothing of it runs."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from attacks.hostile_corpus import CANARY, CORPUS, QUICK, write_corpus
from attacks.hostile_readers import READERS

from concepts.errors import DermaxisError
from concepts.reading import MOST_DEPTH, RefusedContentError, check_json, check_zip, parse_json, read_bytes, table_text

TESTS = Path(__file__).parents[1]
MOST_BYTES, MOST_SECONDS = 256 << 20, 1.0
HARMLESS = {
    *(("json/empty", "judgements"),),
    *((f"csv/{name}", reader) for name in ("empty", "blank", "no_header") for reader in ("cases", "candidates")),
    ("csv/no_header", "judgements"),
    *((f"json/{name}", "side_file") for name in ("not_a_number", "repeated_keys", "surrogate")),
}
"""Tables of no row, and objects that only a stricter reader refuses: they say nothing and are read as that."""


@pytest.mark.parametrize(("kind", "reader"), [(kind, name) for kind in QUICK for name in READERS[kind]])
def test_a_hostile_file_is_refused_in_one_line(tmp_path, kind, reader):
    write_corpus(tmp_path, {kind: QUICK[kind]})
    for path in sorted((tmp_path / kind).iterdir()):
        if (f"{kind}/{path.name}", reader) in HARMLESS:
            continue
        begin = time.process_time()
        with pytest.raises(DermaxisError) as refusal:
            READERS[kind][reader](path)
        assert time.process_time() - begin < MOST_SECONDS, path.name
        assert len(str(refusal.value)) < 2000, path.name


def test_json_that_is_cheap_is_read_and_brackets_in_text_do_not_count():
    text = json.dumps({"a": ["[" * 1000, '\\"[[[[', {"b": None}]})
    assert parse_json(text) == json.loads(text)
    assert parse_json("[" * MOST_DEPTH + "]" * MOST_DEPTH)
    with pytest.raises(RefusedContentError, match="65 brackets"):
        check_json("[" * (MOST_DEPTH + 1))


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_refused_unread(tmp_path, make):
    make(tmp_path / "a")
    with pytest.raises((RefusedContentError, IsADirectoryError)):
        read_bytes(tmp_path / "a")


def test_a_table_is_refused_by_what_it_would_take(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n" * 1000)
    assert table_text(path)
    with pytest.raises(RefusedContentError, match="MB of memory"):
        table_text(path, most_memory=100_000)


def test_zip_files_that_unpack_to_more_or_elsewhere_are_refused(tmp_path):
    for name in ("bomb", "out_of_the_folder"):
        path = tmp_path / name
        content = CORPUS["weights"][name]
        content(path) if callable(content) else path.write_bytes(content)
        with pytest.raises(RefusedContentError):
            check_zip(path)


@pytest.mark.slow
def test_the_corpus_is_refused_within_a_second_and_256_megabytes(tmp_path):
    write_corpus(tmp_path, CORPUS)
    for seed in range(10):
        mutate(tmp_path, random.Random(seed), seed)
    endings = try_all(tmp_path)
    assert len(endings) > 400
    odd = [
        ending
        for ending in endings
        if (ending["file"], ending["reader"]) not in HARMLESS
        and "mutated" not in ending["file"]
        and (ending["outcome"] != "refused" or ending["bytes"] > MOST_BYTES or ending["seconds"] > MOST_SECONDS)
    ]
    # A mutation may leave a file that is in order.
    odd += [
        ending for ending in endings if "mutated" in ending["file"] and ending["outcome"] not in ("refused", "read")
    ]
    assert odd == []
    assert not list(tmp_path.rglob(CANARY))


def mutate(folder: Path, generator: random.Random, number: int) -> None:
    """Add a file of each kind in which bytes are exchanged, left out or repeated."""
    for kind in CORPUS:
        small = [path for path in (folder / kind).iterdir() if path.stat().st_size < 100_000]
        content = bytearray(generator.choice(sorted(small)).read_bytes())
        for _ in range(generator.randint(1, 8)):
            begin = generator.randrange(len(content) + 1)
            content[begin : begin + generator.randint(0, 4)] = generator.randbytes(generator.randint(0, 4))
        (folder / kind / f"mutated_{number}").write_bytes(content)


def try_all(folder: Path) -> list[dict[str, object]]:
    command = [sys.executable, "-W", "ignore", str(TESTS / "attacks" / "hostile_readers.py"), str(folder)]
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]
