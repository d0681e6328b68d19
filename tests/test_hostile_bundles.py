"""Bundles as a bad line, a bad disk or a bad person would have them: all refused, nothing lost.

Nothing of a slot changes before the header has been found right as a whole; what is found later
leaves the other slot marked as not whole. What runs, /slot and the settings stay as they are.
"""

import asyncio
import hashlib
import json
import os
import subprocess

import pytest

import build
import trial
import unpack
from bundle import BundleError, Upload, head, pack, seal, sentence

RUNNING = 50000
FILES = {"pages/x.html": b"<p>" * 20, "plug.mpy": b"M\x06" + bytes(range(120)), "z": b""}
SEQUENCE = RUNNING + 1


@pytest.fixture
def plug(tmp_path, monkeypatch):
    """A plug's file system, slot a running."""
    lay(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("a")
    return tmp_path


def lay(folder):
    for name, text in {
        "a/plug.mpy": "running",
        "a/settings.txt": "running",
        "a/seq": f"{RUNNING}\n",
        "b/old.mpy": "old",
        "b/pages/y.html": "old",
        "b/seq": "40000\n",
        "slot": "a",
        "config.json": '{"ota_key": "k"}',
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def kept(folder, but=()):
    """{name: content} of all files, but for those that begin so."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    return {name: names[name] for name in names if not name.startswith(but)}


def received(data, length=None, piece=512, **given):
    upload = Upload(data, piece, length)
    for name, value in given.items():
        setattr(upload, name, value)
    asyncio.run(unpack.receive(upload, "b"))
    return upload


def refused(data, length=None, piece=512, **given):
    """The sentence with which it is."""
    with pytest.raises(ValueError) as wrong:
        received(data, length, piece, **given)
    said = sentence(*wrong.value.args)
    assert said.endswith(".") and "{" not in said
    return said


def is_half(plug):
    """Whether the other slot is marked as not whole, so that nothing ever starts it."""
    assert not trial._is_whole("b") and trial._is_whole("a")
    return (plug / "b/seq-new").exists() and not (plug / "b/seq").exists()


def rows_of(files):
    return [
        (name.encode() if isinstance(name, str) else name, len(data), digest(data))
        for name, data in files
    ]


def digest(data):
    return hashlib.sha256(data).digest()


def sealed(files, sequence=SEQUENCE, **wrong):
    """A bundle with the right seal of rows in any order: (name, data)."""
    rows = rows_of(files)
    last = (b"seq", len(seal(sequence, b"")), bytes(32))
    before = head(sequence, [*rows, last], **wrong)[:-60]
    text = seal(sequence, before)
    last = (*last[:2], digest(text))
    return head(sequence, [*rows, last], **wrong) + b"".join(d for _, d in files) + text


# --- what is right -------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [1, 7, 128, 512, 100000])
def test_a_good_one_fills_the_other_slot_and_nothing_else(plug, piece):
    before = kept(plug, ("b/",))
    data = pack(FILES, SEQUENCE)
    upload = received(data, piece=piece)
    assert kept(plug, ("b/",)) == before
    there = {name[2:]: text for name, text in kept(plug).items() if name.startswith("b/")}
    assert there.pop("seq-new").split()[0] == b"%d" % SEQUENCE
    assert there == FILES
    assert upload.sum.decode() == hashlib.sha256(data).hexdigest()
    assert (upload.sequence, upload.older) == (SEQUENCE, False)


def test_an_older_one_is_told_from_a_newer_and_the_same(plug):
    older = [received(pack(FILES, RUNNING + n)).older for n in (-1, 0, 1)]
    assert older == [True, False, False]


def test_the_other_slot_need_not_be_there(plug):
    for path in sorted((plug / "b").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (plug / "b").rmdir()
    received(pack(FILES, SEQUENCE))
    assert (plug / "b/seq-new").exists()


def test_others_run_before_each_file_that_goes(plug):
    """Removing one takes its time in the flash; the watchdog bites after 1.6 s."""
    left = []

    class Turning(Upload):
        async def turn(self):
            left.append(len(kept(plug, ("a/", "config", "slot", "bundle"))))

    for n in range(5):
        (plug / f"b/more{n}.mpy").write_text("old")
    upload = Turning(pack(FILES, SEQUENCE))
    asyncio.run(unpack.receive(upload, "b"))
    assert {7, 6, 5, 4, 3, 2, 1} <= set(left)


# --- the header: found wrong before anything changes ---------------------------------------------


def test_every_bit_of_the_header_matters(plug):
    data = pack(FILES, SEQUENCE)
    before = kept(plug)
    for bit in range(8 * (16 + 60 * 4)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError):
            received(flipped)
        assert (plug / "b/seq").exists(), f"bit {bit} was found too late"
    assert kept(plug) == before


def test_every_bit_of_the_files_matters(plug):
    data = pack({"z": b"some"}, SEQUENCE)
    before = kept(plug, ("b/",))
    for bit in range(8 * (16 + 60 * 2), 8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert "damaged: its sha256" in refused(flipped)
        assert is_half(plug)
    assert kept(plug, ("b/",)) == before


def test_cut_off_at_any_length(plug):
    data = pack(FILES, SEQUENCE)
    before = kept(plug)
    for length in range(len(data)):
        assert refused(data[:length])
    assert kept(plug) == before, "a length that does not fit is seen before anything changes"
    before = kept(plug, ("b/",))
    for length in range(len(data)):
        said = refused(data[:length], len(data))
        assert f"{length} of {len(data)} bytes came" in said
    assert kept(plug, ("b/",)) == before and is_half(plug)


def test_something_behind_its_end(plug):
    before = kept(plug)
    data = pack(FILES, SEQUENCE)
    for more in (b"\0", data):
        said = refused(data + more)
        assert f"has {len(data + more)} bytes, but should have {len(data)}" in said
    assert kept(plug) == before


NAMES = {
    "upwards": b"../config.json",
    "upwards in between": b"p/../../boot.py",
    "dots in a name": b"a..b",
    "only dots": b"..",
    "itself": b".",
    "hidden": b".x",
    "absolute": b"/boot.py",
    "a folder": b"pages/",
    "two slashes": b"pages//x",
    "too deep": b"a/b/c",
    "empty": b"",
    "capitals": b"PLUG.mpy",
    "a space": b"a b",
    "backslash": b"..\\boot.py",
    "a zero inside": b"plug\0.mpy",
    "not a letter": b"\xff\xfe",
    "umlaut": "ü".encode(),
    "the mark of a whole slot": b"seq",
    "kept aside": b"seq-new",
    "too long, so it runs on into its size": b"pages/x.html" * 2 + b"\1",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_names(plug, name):
    before = kept(plug)
    said = refused(sealed([(name, b"x")]))
    assert "name of file 1 is not allowed: 1 to 24 of a-z" in said
    assert kept(plug) == before


def test_the_longest_name_is_allowed(plug):
    received(sealed([(b"pages/" + b"a" * 18, b"x")]))
    assert (plug / "b/pages" / ("a" * 18)).read_bytes() == b"x"


def test_a_name_that_is_too_long_is_not_packed():
    with pytest.raises(BundleError, match="26 letters; at most 24"):
        pack({"pages/" + "a" * 20: b""}, SEQUENCE)


@pytest.mark.parametrize("names", [(b"x", b"x"), (b"y", b"x"), (b"x", b"y", b"x")])
def test_names_twice_or_out_of_order(plug, names):
    before = kept(plug)
    assert "in ascending order" in refused(sealed([(name, b"") for name in names]))
    assert kept(plug) == before


def test_a_file_that_would_be_a_folder_as_well(plug):
    with pytest.raises(OSError):
        received(sealed([(b"x", b"1"), (b"x/y", b"2")]))
    assert is_half(plug)


def test_counts(plug):
    before = kept(plug)
    data = pack(FILES, SEQUENCE)
    for count, said in ((0, "it has 0 files; 1 to 80"), (81, "81 files"), (255, "255 files")):
        assert said in refused(data[:6] + bytes([count]) + data[7:])
    most = pack({f"f{n}": b"" for n in range(79)}, SEQUENCE)
    assert kept(plug) == before
    received(most)
    assert "81 files; 1 to 80" in refused(pack({f"f{n}": b"" for n in range(80)}, SEQUENCE))


def test_only_the_seal_is_a_bundle_of_nothing_but_no_harm(plug):
    received(sealed([]))
    assert list(kept(plug / "b")) == ["seq-new"]


@pytest.mark.parametrize("sequence", [0, 0x40000000, 0xFFFFFFFF])
def test_sequence_numbers(plug, sequence):
    before = kept(plug)
    assert f"is {sequence}; it must be 1 to 1073741823" in refused(pack(FILES, sequence))
    assert kept(plug) == before


@pytest.mark.parametrize("change", [-1, 1, 1 << 31, (1 << 32) - 1])
def test_a_size_that_lies(plug, change):
    """The same total, but other parts of it, up to numbers that would flow over."""
    before = kept(plug)
    rows = rows_of(sorted((name, data) for name, data in FILES.items()))
    name, size, sum_ = rows[0]
    rows[0] = (name, (size + change) % (1 << 32), sum_)
    last = (b"seq", len(seal(SEQUENCE, b"")), bytes(32))
    total = sum(len(data) for data in FILES.values()) + last[1]
    first = head(SEQUENCE, [*rows, last], total=total)[:-60]
    text = seal(SEQUENCE, first)
    whole = head(SEQUENCE, [*rows, (*last[:2], digest(text))], total=total)
    said = refused(whole + b"".join(FILES[name] for name in sorted(FILES)) + text)
    assert "does not fit" in said
    assert kept(plug) == before


@pytest.mark.parametrize("total", [0, 0xFFFFFFFF])
def test_a_total_that_lies(plug, total):
    before = kept(plug)
    assert "but should have" in refused(pack(FILES, SEQUENCE, total=total))
    assert kept(plug) == before


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"mark": b"OPO2"}, "does not begin with OPO1"),
        ({"format": 0}, "format 0 with flags 0; this plug takes format 1"),
        ({"format": 2}, "format 2"),
        ({"flags": 1}, "flags 1"),
        ({"mpy": 5}, ".mpy version 5; this plug runs version 6"),
        ({"mpy": 7}, ".mpy version 7"),
    ],
)
def test_other_formats(plug, wrong, said):
    before = kept(plug)
    assert said in refused(pack(FILES, SEQUENCE, **wrong))
    assert kept(plug) == before


def test_bytes_at_random_and_nothing(plug):
    before = kept(plug)
    for seed in range(64):
        junk = hashlib.sha256(b"%d" % seed).digest() * seed
        assert refused(junk)
        assert refused(b"OPO1\1\0" + junk)
    assert kept(plug) == before


# --- the plug: not now, or no room ---------------------------------------------------------------


def test_not_while_what_runs_is_on_trial(plug):
    """The other slot is what it would go back to."""
    (plug / "slot").write_text("a? 2")
    before = kept(plug)
    assert "on trial" in refused(pack(FILES, SEQUENCE))
    assert kept(plug) == before


def free(blocks, size=4096):
    return lambda path: (size, size, 96, blocks, blocks, 0, 0, 0, 0, 255)


def test_no_room_is_told_before_the_other_slot_is_given_up(plug, monkeypatch):
    before = kept(plug)
    data = pack({"large": bytes(9000), "small": bytes(129), "tiny": bytes(128)}, SEQUENCE)
    need = 2 + 3 + 1  # a folder, and what does not fit into it
    monkeypatch.setattr(os, "statvfs", free(need), raising=False)
    assert f"No room: {need} blocks of 4 KB are needed, {need - 1} are free" in refused(data)
    assert kept(plug) == before
    monkeypatch.setattr(os, "statvfs", free(need + 1), raising=False)
    received(data)


def test_what_the_other_slot_takes_will_be_free(plug, monkeypatch):
    (plug / "b/large.mpy").write_bytes(bytes(40000))
    monkeypatch.setattr(os, "statvfs", free(0), raising=False)
    received(pack(FILES, SEQUENCE))


def test_a_file_system_that_fails_leaves_the_slot_marked_as_not_whole(plug, monkeypatch):
    before = kept(plug, ("b/",))
    real = open

    def full(path, *mode):
        if path == b"b/plug.mpy":
            raise OSError(28)
        return real(path, *mode)

    monkeypatch.setattr("builtins.open", full)
    with pytest.raises(OSError):
        received(pack(FILES, SEQUENCE))
    assert kept(plug, ("b/",)) == before
    assert is_half(plug)


# --- the same on the plug's Python ---------------------------------------------------------------

ON_PLUG = """
import json, os, sys
sys.path.insert(0, "a")
import unpack

class Upload:
    inner = None
    def __init__(self, data, length):
        self.rest, self.data, self.length, self.got = b"", data, length, 0
    def ends(self, ms):
        pass
    async def turn(self):
        pass
    async def read_on(self):
        self.rest += self.data[:128]
        n = len(self.data[:128])
        self.data = self.data[128:]
        return n

said = []
for data, length in json.load(open("cases.json")):
    data = bytes.fromhex(data)
    try:
        unpack.receive(Upload(data, length or len(data)), "b").send(None)
    except StopIteration:
        said.append("taken")
    except ValueError as error:
        said.append([a.decode() if isinstance(a, bytes) else a for a in error.args])
print(json.dumps(said))
"""


def test_micropython_judges_alike(micropython, plug, tmp_path):
    data = pack(FILES, SEQUENCE)
    cases = [(data, 0), (data[:-1], 0), (data[:-1], len(data)), (data + b"x", 0), (b"", 0)]
    cases += [(sealed([(name, b"x")]), 0) for name in NAMES.values()]
    cases += [(pack(FILES, sequence), 0) for sequence in (0, 0x40000000, 0xFFFFFFFF)]
    cases += [(pack(FILES, SEQUENCE, **wrong), 0) for wrong in ({"mpy": 5}, {"total": 1 << 31})]
    for bit in range(5, 8 * len(data), 97):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        cases.append((bytes(flipped), 0))
    expected = []
    for case, length in cases:
        try:
            received(case, length or None)
            expected.append("taken")
        except ValueError as wrong:
            args = wrong.args
            expected.append([a.decode() if isinstance(a, bytes) else a for a in args])
    for name in ("taking", "ota", "unpack"):
        build.compile_mpy(build.FIRMWARE / f"{name}.py", tmp_path / f"a/{name}.mpy", 3)
    (tmp_path / "cases.json").write_text(json.dumps([(d.hex(), n) for d, n in cases]))
    done = subprocess.run(
        [str(micropython), "-c", ON_PLUG],
        cwd=tmp_path,
        env=dict(os.environ, MICROPYPATH=".frozen"),
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout or "0") == expected, done.stderr
    assert expected.count("taken") == 1
