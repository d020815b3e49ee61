"""Growing files of JSON: acknowledged records are on disk, whatever happens to a later one."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from palate.core.errors import ArtefactError
from palate.core.json_lines import append_json_line, read_json_lines

WRITER = """
import sys
from palate.core.json_lines import append_json_line
for n in range(10**6):
    append_json_line(sys.argv[1], {"n": n, "text": "x" * 200})
    print(n, flush=True)
"""


def test_records_are_read_as_they_were_written(tmp_path):
    file = tmp_path / "new" / "log.jsonl"
    assert read_json_lines(file) == []
    records = [{"a": "ä\n\u2028", "b": [1.5, None]}, [], "text"]
    for record in records:
        append_json_line(file, record)
    assert read_json_lines(file) == list(enumerate(records, 1))
    assert not [name for name in os.listdir(file.parent) if name != "log.jsonl"], "the lock is gone"


def test_a_torn_line_is_left_out_and_the_next_record_is_whole(tmp_path):
    file = tmp_path / "log.jsonl"
    append_json_line(file, {"n": 0})
    with open(file, "ab") as torn:
        torn.write(b'{"n": 1, "te')
    assert read_json_lines(file) == [(1, {"n": 0})]
    append_json_line(file, {"n": 2})
    assert read_json_lines(file) == [(1, {"n": 0}), (3, {"n": 2})]
    with open(file, "ab") as torn:
        torn.write('{"text": "ä'.encode()[:-1])
    assert read_json_lines(file) == [(1, {"n": 0}), (3, {"n": 2})]
    append_json_line(file, {"n": 4})
    assert read_json_lines(file)[-1] == (5, {"n": 4})


def test_writers_do_not_mix_their_lines(tmp_path):
    file = tmp_path / "log.jsonl"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: append_json_line(file, {"n": n, "text": "y" * 3000}), range(40)))
    assert sorted(record["n"] for _, record in read_json_lines(file)) == list(range(40))


def test_what_was_acknowledged_survives_a_kill(tmp_path):
    file = tmp_path / "log.jsonl"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True)
    seen = int(process.stdout.readline())
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        seen = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    found = [record["n"] for _, record in read_json_lines(file)]
    assert found[: seen + 1] == list(range(seen + 1)) and len(found) <= seen + 3


def test_a_file_that_is_no_text_is_named(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ArtefactError, match="cannot be read"):
        read_json_lines(file)
    file.write_text(json.dumps({"a": 1}))
    assert read_json_lines(file) == [(1, {"a": 1})]
