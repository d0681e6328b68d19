"""Whenever the power goes during an update, the plug starts the old or the new version, whole."""

import json
import subprocess
from pathlib import Path

import pytest

import build
import bundle

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def cut(micropython, flash, tmp_path_factory):
    """What came of an update to the real firmware's files, each a little longer than before, that
    is received, tried and confirmed, and of another that is given up."""
    paths = [path for path in (flash / "a").iterdir() if path.name != "seq"]
    files = {path.name: path.read_bytes() + b"newer" for path in paths}
    sent = tmp_path_factory.mktemp("cut") / "bundle"
    sent.write_bytes(bundle.pack(files, 50001))
    command = [micropython, "-X", "heapsize=16m", HERE / "cut_on_plug.py"]
    command += [build.FIRMWARE, flash, sent]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr + done.stdout[-500:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["files"] == len(files) + 1
    return seen


@pytest.mark.real
def test_an_update_that_is_cut_anywhere_leaves_a_whole_version_and_the_settings(cut):
    """At every write and every erase; what comes of the stream in between is not on the flash."""
    assert cut["steps"] == ["updated", "b", "b", "b!", "b", "a", "a!"]
    assert sum(cut["chosen"].values()) > 1000
    assert cut["chosen"]["b"] > 20 and cut["chosen"]["a"] > 500


@pytest.mark.real
def test_a_stream_that_breaks_anywhere_leaves_the_plug_as_it_was(cut):
    assert cut["broken"] > 100


@pytest.mark.real
def test_two_slots_and_all_that_a_plug_writes_leave_four_blocks(cut):
    assert cut["free"] >= 4


@pytest.mark.real
def test_a_slot_takes_no_more_than_forty_blocks(flash):
    sizes = [path.stat().st_size for path in (flash / "a").iterdir()]
    assert 2 + sum(-(-size // 4080) for size in sizes) <= 40
