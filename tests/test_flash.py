"""tools/flash.sh puts the firmware on a plug, with the real esptool, mpremote and mpy-cross.

The plug is the one of pty_device.py: a flash of 1 MB, a boot loader, and 32-bit MicroPython with
littlefs on that flash. What a person does with button and 3.3 V is done when the text that asks
for it is read.
"""

import asyncio
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

import build
import fetch
import flash as tool
import plug_config
import plug_image
import plug_port
import pty_device
from simulator.runner import Runner, Shims

ROOT = tool.ROOT
CYCLE = "Take the plug's 3.3 V away"
CONFIG = '{"wifi_ssid": "house", "wifi_password": "long enough",\n "hot_above_c": 180}'


@pytest.fixture(scope="session")
def parts(micropython, tmp_path_factory):
    """What a plug is made of: MicroPython, the simulator's chip, built files, an image."""
    folder = tmp_path_factory.mktemp("parts")
    shims = folder / "shims"
    shims.mkdir()
    Shims(shims)
    files = folder / "flash"
    build.build(files)
    image = folder / "image.bin"
    image.write_bytes(pty_device.image())
    return SimpleNamespace(micropython=micropython, shims=shims, files=files, image=image)


@pytest.fixture
def make(parts, tmp_path):
    """Makes a plug, with nothing of ours on it."""
    made = []

    def new(**more):
        folder = tmp_path / f"plug{len(made)}"
        folder.mkdir()
        made.append(pty_device.Plug(folder, parts.micropython, parts.shims, **more))
        return made[-1]

    yield new
    for plug in made:
        plug.close()


@pytest.fixture
def plug(make):
    """A plug with MicroPython on it, waiting in the REPL."""
    made = make()
    made.write_image(pty_device.image())
    made.power()
    return made


@pytest.fixture
def flash(parts, tmp_path, monkeypatch, capsys):
    """`flash(plug, *words)` installs built files of this session; returns (exit code, text).

    The person at the plug starts it anew when asked to, unless `flash.alone` is set.
    """
    files = tmp_path / "flash"
    shutil.copytree(parts.files, files)
    monkeypatch.setattr(build, "build", lambda: None)
    monkeypatch.setattr(build, "FLASH", files)
    monkeypatch.setattr(tool, "BACKUPS", tmp_path / "backup")
    monkeypatch.setattr(plug_port, "LISTEN_S", 1.5)
    monkeypatch.setattr(plug_port, "SILENCE_S", 4)

    def run(plug, *words):
        def tell(text=""):
            print(text)
            if CYCLE in text and not run.alone:
                plug.power()

        monkeypatch.setattr(tool, "tell", tell)
        code = tool.main(["--port", plug.port, *map(str, words)])
        said = capsys.readouterr()
        return code, said.out + said.err

    run.files, run.alone = files, False
    return run


def to_repl(plug):
    plug.power()
    plug_port.wait_for_repl(plug.port, lambda text: plug.power())


def on_plug(plug):
    """{path: sha256} of what is on it; it is in the REPL afterwards."""
    to_repl(plug)
    return plug_port.listing(plug.port)[1]


def firmware_on(plug):
    """Of these what is ours: not the settings and notes that the firmware makes for itself."""
    there = on_plug(plug)
    return {
        name: there[name]
        for name in there
        if re.match(r"a/|boot|main|trial|recovery|.*\.new", name)
    }


def built(files):
    found = [path for path in files.rglob("*") if path.is_file()]
    return {path.relative_to(files).as_posix(): fetch.digest(path.read_bytes()) for path in found}


def run_on(plug, code):
    to_repl(plug)
    return plug_port.mpremote(plug.port, ["exec", code])


def copied(said):
    return re.findall(r"^  \d+/\d+ (\S+)$", said, re.MULTILINE)


def shell(plug, words, reactions):
    """The real tools/flash.sh; a person reacts once to each text that it says."""
    process = subprocess.Popen(
        [ROOT / "tools/flash.sh", "--port", plug.port, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    timer = threading.Timer(240, process.kill)
    timer.start()
    said, reactions = "", dict(reactions)
    for line in process.stdout:
        said += line
        for text in [text for text in reactions if text in line]:
            reactions.pop(text)()
    timer.cancel()
    return process.wait(), said


# --- from the box to running firmware ------------------------------------------------------------


@pytest.mark.parametrize(("megabytes", "kind"), [(1, "ESP module (1M)"), (2, "ESP module")])
def test_a_plug_from_its_box_runs_the_firmware_after_one_command_and_can_be_set_back(
    make, parts, tmp_path, monkeypatch, megabytes, kind
):
    size = megabytes << 20
    plug = make(size=size)
    image = parts.image
    if megabytes > 1:
        image = tmp_path / "larger.bin"
        image.write_bytes(pty_device.image(board=f"{kind} with ESP8266", code=700_000))
    mac = bytes((0x02, *os.urandom(5)))  # one that no real plug has: backups are kept by it
    monkeypatch.setattr(pty_device.Loader.__init__, "__defaults__", (mac,))
    backup = tool.BACKUPS / f"{mac.hex()}.bin"
    box = b"\xe9" + os.urandom(size - 1)
    plug.flash[:] = box
    config = tmp_path / "mine.json"
    config.write_text(CONFIG)
    words = ["--image", image, "--config", config]
    reactions = {"Waiting on": lambda: plug.power(button=True), CYCLE: plug.power}
    try:
        code, said = shell(plug, words, reactions)
        assert code == 0, said
        assert "NEVER with mains connected" in said
        assert "Hold the button down" in said
        assert backup.read_bytes() == box
        assert plug.flash[2:4] == pty_device.KINDS[size][0]
        assert plug.flash[4 : image.stat().st_size] == image.read_bytes()[4:]
        there = on_plug(plug)
        assert {"main.py", "boot.py", "a/plug.mpy", "a/asyncio.mpy"} <= set(there)
        settings = run_on(plug, "print(open('config.json').read())")
        assert '{\n"wifi_ssid": "house",\n"wifi_password": "long enough",' in settings
        assert "it runs" in said
        code, said = shell(plug, ["--restore", backup], reactions)
        assert code == 0, said
        assert plug.flash[:] == box
    finally:
        backup.unlink(missing_ok=True)


def test_the_firmware_that_was_started_drives_the_relay_and_ends_the_serial_line(plug, flash):
    code, said = flash(plug, "--files")
    assert code == 0, said
    deadline = time.monotonic() + 20
    while plug.keys.read_bytes() != b"0" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert plug.keys.read_bytes() == b"0"  # plug.py has switched Ctrl-C off: its loop runs
    assert plug.started[-1] == "soft"


def test_everything_is_copied_once_and_then_nothing(plug, flash):
    code, said = flash(plug, "--files")
    assert code == 0, said
    assert sorted(copied(said)) == sorted(built(flash.files))
    assert copied(said)[-1] == "main.py"
    plug.power()
    code, said = flash(plug, "--files")
    assert code == 0, said
    assert copied(said) == []
    assert "are right already" in said
    assert firmware_on(plug) == built(flash.files)


def test_only_what_differs_is_copied_and_what_is_left_over_goes(plug, flash):
    assert flash(plug, "--files")[0] == 0
    run_on(plug, "import os; open('a/old.mpy', 'w').write('x'); open('mine.txt', 'w').write('y')")
    (flash.files / "a/plug.mpy").write_bytes((flash.files / "a/plug.mpy").read_bytes() + b"\0")
    plug.power()
    code, said = flash(plug, "--files")
    assert copied(said) == ["a/plug.mpy"]
    assert "removed a/old.mpy" in said
    assert "mine.txt" in on_plug(plug)
    assert firmware_on(plug) == built(flash.files)


def test_settings_on_the_plug_stay_unless_others_are_given(plug, flash, tmp_path):
    assert flash(plug, "--files")[0] == 0
    run_on(
        plug,
        "with open('config.json', 'w') as file: file.write('{\\n\"wifi_ssid\": \"mine\"\\n}\\n')",
    )
    before = on_plug(plug)["config.json"]
    plug.power()
    assert flash(plug, "--files")[0] == 0
    assert on_plug(plug)["config.json"] == before
    config = tmp_path / "config.json"
    config.write_text(CONFIG)
    plug.power()
    code, said = flash(plug, "--files", "--config", config)
    assert (code, copied(said)) == (0, ["config.json"])
    settings = json.loads(run_on(plug, "print(open('config.json').read())"))
    assert {key: settings[key] for key in json.loads(CONFIG)} == json.loads(CONFIG)


def test_a_password_is_made_once_and_told_each_time(plug, flash, tmp_path):
    config = tmp_path / "config.json"
    config.write_text(CONFIG)
    code, said = flash(plug, "--files", "--config", config)
    assert code == 0, said
    password = re.search("password of its pages: (.+)", said)[1]
    assert re.fullmatch("[a-z2-9]{8}", password)
    settings = json.loads(run_on(plug, "print(open('config.json').read())"))
    assert settings["portal_password"] == password
    plug.power()
    code, said = flash(plug, "--files", "--config", config)
    assert copied(said) == []
    assert f"password of its pages: {password}" in said


def test_what_the_file_says_goes_before_what_the_plug_has_and_nonsense_there_is_not_kept():
    given = {"portal_password": "chosen by me", "ota_key": ""}
    theirs = '{"portal_password": "of the plug", "ota_key": "another one", "wifi_ssid": "x"}'
    assert plug_config.complete(given, theirs) == given
    kept = plug_config.complete({"ota_key": ""}, theirs)
    assert kept == {"ota_key": "", "portal_password": "of the plug"}
    for wrong in ("", "{", "[]", '{"portal_password": 7}', '{"portal_password": "short"}'):
        assert len(plug_config.complete({}, wrong)["portal_password"]) == 8


def test_the_other_slot_is_no_longer_chosen(plug, flash):
    assert flash(plug, "--files")[0] == 0
    run_on(plug, "open('slot', 'w').write('b')")
    plug.power()
    assert flash(plug, "--files")[0] == 0
    assert "slot" not in on_plug(plug)


# --- what goes wrong on the way ------------------------------------------------------------------


def test_a_plug_that_loses_power_halfway_waits_for_the_next_try(plug, flash):
    plug.cut_at = b"a/settings.mpy.new"
    code, said = flash(plug, "--files")
    assert code == 1
    assert "run this again" in said
    plug.power()
    there = on_plug(plug)
    assert "main.py" not in there
    assert {name: there[name] for name in there if name[:2] == "a/" and name[-4:] == ".mpy"}
    code, said = flash(plug, "--files")
    assert code == 0, said
    assert set(copied(said)) < set(built(flash.files))
    assert firmware_on(plug) == built(flash.files)


def test_an_update_that_loses_power_takes_its_main_py_up_again(plug, flash):
    assert flash(plug, "--files")[0] == 0
    (flash.files / "a/plug.mpy").write_bytes((flash.files / "a/plug.mpy").read_bytes() + b"\0")
    plug.cut_at = b"a/plug.mpy.new"
    plug.power()
    assert flash(plug, "--files")[0] == 1
    there = on_plug(plug)
    assert "main.py" not in there
    assert there["main.off"] == built(flash.files)["main.py"]
    code, said = flash(plug, "--files")
    assert (code, copied(said)) == (0, ["a/plug.mpy"])
    assert firmware_on(plug) == built(flash.files)


def test_an_adapter_that_is_pulled_out_is_told(plug, flash):
    plug.cut_at, plug.cut = b"a/settings.mpy.new", plug.pull
    code, said = flash(plug, "--files")
    assert code == 1
    assert "unplugged in the middle" in said


def test_a_broken_file_system_is_told_with_the_way_out(plug, flash):
    plug.off()  # or its first start may still be writing there
    plug.flash[0x99000:0x9C000] = os.urandom(0x3000)
    plug.power()
    code, said = flash(plug, "--files")
    assert code == 1
    assert "file system is broken. Run tools/flash.sh without --files" in said


def test_a_full_file_system_is_told_and_an_older_file_is_not_lost(plug, flash):
    assert flash(plug, "--files")[0] == 0
    before = on_plug(plug)
    run_on(
        plug,
        "import os\nfree = os.statvfs('/')\nf = open('mine', 'wb')\n"
        "for _ in range(free[3] - 4): f.write(bytes(free[0] - 64))\nf.close()",
    )
    large = flash.files / "a/plug.mpy"
    large.write_bytes(large.read_bytes() + os.urandom(40000))
    plug.power()
    code, said = flash(plug, "--files")
    assert code == 1
    assert "file system is full" in said
    run_on(plug, "import os; os.remove('mine')")
    assert on_plug(plug)["a/plug.mpy"] == before["a/plug.mpy"]
    code, said = flash(plug, "--files")
    assert code == 0, said
    assert firmware_on(plug) == built(flash.files)


def test_nothing_more_is_written_once_something_was_read_back_wrong(plug, flash):
    plug.spoil = b"RTC", b"RTX"
    code, said = flash(plug, "--files")
    assert code == 1
    found = re.search(r"(\S+)\.new: what was read back is not what was sent", said)
    there = on_plug(plug)
    assert there.get(found[1]) != built(flash.files)[found[1]]  # MicroPython makes a boot.py
    assert f"{found[1]}.new" in there
    assert "main.py" not in there
    assert flash(plug, "--files")[0] == 0
    assert firmware_on(plug) == built(flash.files)


@pytest.mark.parametrize(("version", "mpy"), [("1.19.1", 0x0206), ("1.25.0", 0x0005)])
def test_a_plug_with_another_micropython_is_left_alone(make, flash, version, mpy):
    plug = make(version=version, mpy=mpy)
    plug.write_image(pty_device.image())
    plug.power()
    plug_port.wait_for_repl(plug.port)  # it has made its file system
    before = bytes(plug.flash)
    code, said = flash(plug, "--files")
    assert code == 1
    assert f"The plug runs MicroPython {version}" in said
    assert "without --files" in said
    assert plug.flash[:] == before


def test_a_plug_whose_serial_line_is_closed_is_to_be_started_anew(plug, flash, monkeypatch):
    assert flash(plug, "--files")[0] == 0
    monkeypatch.setattr(plug_port, "REPL_S", 5)
    flash.alone = True
    deadline = time.monotonic() + 20
    while plug.keys.read_bytes() != b"0" and time.monotonic() < deadline:
        time.sleep(0.1)
    code, said = flash(plug, "--files")
    assert code == 1
    assert "in its first three seconds only" in said
    assert f"{CYCLE} for a second and give it back" in said
    assert "run this again within the first seconds" in said
    monkeypatch.setattr(plug_port, "REPL_S", 60)
    flash.alone = False
    code, said = flash(plug, "--files")
    assert code == 0, said
    assert "in its first three seconds only" in said


def test_firmware_that_does_not_run_is_a_failure(plug, flash, monkeypatch):
    monkeypatch.setattr(plug_port, "LISTEN_S", 30)  # ends at the prompt
    (flash.files / "main.py").write_text("print('portal password: abcd2345')\n1 / 0\n")
    code, said = flash(plug, "--files")
    assert code == 1
    assert "does not run" in said
    assert "ZeroDivisionError" in said


def test_what_the_firmware_says_at_its_start_is_passed_on(plug, flash, monkeypatch):
    monkeypatch.setattr(plug_port, "LISTEN_S", 5)
    text = "import time\nprint('portal password: abcd2345')\nwhile True: time.sleep(1)\n"
    (flash.files / "main.py").write_text(text)
    code, said = flash(plug, "--files")
    assert code == 0
    assert "the plug says: portal password: abcd2345" in said


# --- the boot loader -----------------------------------------------------------------------------


@pytest.fixture
def bare(make):
    """A plug in its boot loader, with the maker's firmware."""
    plug = make()
    plug.flash[:] = (
        b"\xe9"
        + bytes(range(255)) * (pty_device.SIZE // 255)
        + bytes(pty_device.SIZE - 1 - 255 * (pty_device.SIZE // 255))
    )
    plug.power(button=True)
    return plug


def test_a_backup_is_never_written_over(bare, flash, tmp_path):
    mine = tmp_path / "box.bin"
    code, said = flash(bare, "--backup", mine)
    assert code == 0, said
    assert mine.read_bytes() == bare.flash[:]
    assert mine.stat().st_mode & 0o77 == 0
    code, said = flash(bare, "--backup", mine)
    assert code == 1
    assert "is there already" in said


def test_the_first_backup_is_kept_when_the_installation_is_run_again(bare, flash, parts):
    kept = tool.BACKUPS / "5ccf7fab128a.bin"
    kept.parent.mkdir()
    kept.write_bytes(b"the maker's")
    code, said = flash(bare, "--image", parts.image)
    assert code == 0, said
    assert kept.read_bytes() == b"the maker's"
    assert "stays as it is" in said


READ, WRITE = b"\xc0\x00\xd2", b"\xc0\x00\x11"  # how these commands begin on the line


@pytest.mark.parametrize(
    ("cut_at", "word"), [(READ, "could not be read"), (WRITE, "could not be written")]
)
def test_a_plug_pulled_out_of_its_boot_loader_is_told_and_no_half_backup_left(
    bare, flash, parts, cut_at, word
):
    bare.cut_at, bare.cut = cut_at, bare.pull
    code, said = flash(bare, "--image", parts.image)
    assert code == 1
    assert word in said
    assert "with the button held, and start again" in said
    kept = [path.stat().st_size for path in tool.BACKUPS.iterdir()]
    assert kept == ([] if cut_at == READ else [pty_device.SIZE])


def test_a_flash_that_does_not_hold_what_was_written_is_a_failure(bare, flash, parts):
    bare.loader.worn = 0x200
    code, said = flash(bare, "--image", parts.image)
    assert code == 1
    assert "could not be written" in said
    assert "[4/5]" not in said


def test_an_image_for_a_larger_flash_does_not_erase_the_plug(bare, flash, tmp_path):
    large = tmp_path / "large.bin"
    large.write_bytes(pty_device.image(board="ESP module with ESP8266", code=700_000))
    before = bytes(bare.flash)
    code, said = flash(bare, "--image", large)
    assert code == 1
    assert "for 2 MB or more; this plug has 1MB" in said
    assert bare.flash[:] == before


def test_a_boot_loader_that_does_not_answer_is_asked_for_the_button(
    make, flash, parts, monkeypatch
):
    monkeypatch.setattr(plug_port, "LOADER_S", 1)
    code, said = flash(make(), "--image", parts.image)
    assert code == 1
    assert "Hold the button while the 3.3 V come on" in said


def test_a_fresh_micropython_is_not_disturbed_until_its_prompt_comes(bare, monkeypatch):
    monkeypatch.setattr(plug_port, "REPL_S", 2)
    with pytest.raises(plug_port.PortError, match="No MicroPython answered"):
        plug_port.wait_for_repl(bare.port, fresh=True)
    assert bare.heard == b""
    bare.write_image(pty_device.image())
    bare.flash[0x99000:] = b"\xff" * (pty_device.SIZE - 0x99000)
    bare.power()
    plug_port.wait_for_repl(bare.port, fresh=True)
    assert b"\x03" in bare.heard


def test_a_restored_file_must_be_a_whole_flash(bare, flash, tmp_path):
    short = tmp_path / "short.bin"
    short.write_bytes(b"\xe9" * 4096)
    code, said = flash(bare, "--restore", short)
    assert code == 1
    assert "no backup of a whole flash: it has 4096 bytes" in said
    assert bare.heard == b""


def test_esptool_is_started_with_exactly_these_words(monkeypatch, tmp_path):
    started = []

    def run(command, on_line=None, silence_s=None):
        started.append(" ".join(map(str, command)))
        path.write_bytes(bytes(1 << 20))
        return 0, "MAC: 5c:cf:7f:00:00:01\nDetected flash size: 1MB\nHash of data verified."

    path = tmp_path / "all.bin"
    monkeypatch.setattr(plug_port, "run", run)
    chip = plug_port.wait_for_loader("P")
    plug_port.read_flash("P", chip.flash_bytes, path)
    plug_port.write_flash("P", "image.bin", "dout", "1MB")
    plug_port.write_flash("P", "backup.bin", "keep", "keep")
    always = (
        f"{sys.executable} -m esptool --chip esp8266 --port P --baud 115200 --before no-reset "
        "--after no-reset --connect-attempts 5 "
    )
    write = "write-flash --erase-all --flash-mode"
    assert started == [
        f"{always}flash-id",
        f"{always}read-flash 0 0x100000 {path}",
        f"{always}{write} dout --flash-size 1MB 0x0 image.bin",
        f"{always}{write} keep --flash-size keep 0x0 backup.bin",
    ]


def test_a_new_file_takes_the_old_ones_place_whole_and_main_py_comes_last():
    files = {"a/portal.pack": "W", "boot.py": "B", "main.py": "M"}
    sums = {"a/portal.pack": "1", "boot.py": "2", "main.py": "3"}
    plan = tool._plan(files, sums, ["a/portal.pack", "main.py"], ["a/old.mpy"])
    assert [" ".join(words) for words in plan] == [
        "resume exec hold()",
        "exec remove('a/old.mpy')",
        "exec folder('a')",
        "fs cp -f W :a/portal.pack.new",
        "exec check('a/portal.pack.new', '1'); turn('a/portal.pack')",
        "exec remove('slot'); remove('slot.why')",
        "fs cp -f M :main.py.new",
        "exec check('main.py.new', '3'); turn('main.py')",
        "exec remove('main.off')",
    ]


# --- images --------------------------------------------------------------------------------------


def test_esptool_says_dout_and_1_mb_in_the_image_and_leaves_its_checksum_right(parts, tmp_path):
    merged = tmp_path / "merged.bin"
    words = ["merge-bin", "-o", merged, "--flash-mode", "dout", "--flash-size", "1MB", "0x0"]
    command = [sys.executable, "-m", "esptool", "--chip", "esp8266", *words, parts.image]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    assert merged.read_bytes()[2:4] == pty_device.DOUT_1MB
    assert parts.image.read_bytes()[2:4] != pty_device.DOUT_1MB
    assert plug_image.look(merged).version == "1.25.0"


def test_an_image_for_larger_flashes_is_written_with_the_size_that_is_found(tmp_path):
    path = tmp_path / "large.bin"
    path.write_bytes(pty_device.image(board="ESP module with ESP8266", code=700_000))
    image = plug_image.look(path)
    assert (image.flash_size, image.needs) == ("detect", 2 << 20)


def flipped(data, at):
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda data: b"", "does not begin with 0xE9"),
        (lambda data: b"PK" + data, "does not begin with 0xE9"),
        (lambda data: data[:20000], "too short"),
        (lambda data: data[:-1], "it says that it has"),
        (lambda data: data + b"\0", "it says that it has"),
        (lambda data: flipped(data, 100), "own checksum does not fit"),
        (lambda data: flipped(data, 100_000), "own checksum does not fit"),
        (lambda data: pty_device.image(version="1.19.1"), "is MicroPython 1.19.1; 1.25 or newer"),
        (lambda data: pty_device.image(board="RP2040"), "not MicroPython for an ESP8266"),
        (lambda data: pty_device.image(board="ESP module (512K) with ESP8266"), "not MicroPython"),
        (lambda data: pty_device.image(code=600_000), "file system begins at 626688"),
    ],
)
def test_an_image_that_is_not_right_is_refused_with_the_reason(parts, tmp_path, change, word):
    path = tmp_path / "image.bin"
    path.write_bytes(change(parts.image.read_bytes()))
    with pytest.raises(plug_image.ImageError, match=re.escape(word)):
        plug_image.look(path)


def test_the_official_image_is_downloaded_once_and_must_stay_the_same(
    parts, tmp_path, monkeypatch
):
    asked = []

    def download(url):
        asked.append(url)
        return data

    data = parts.image.read_bytes()
    monkeypatch.setattr(plug_image, "FOLDER", tmp_path)
    monkeypatch.setattr(plug_image, "_download", download)
    told = []
    assert plug_image.official(told.append).version == "1.25.0"
    assert asked[0].startswith("https://micropython.org/")
    assert fetch.digest(data) in told[-1]
    path = plug_image.official(told.append).path
    assert len(asked) == 1
    path.write_bytes(data[:-1])  # a disk that forgets: had again, and compared
    assert plug_image.official(told.append).path.read_bytes() == data
    path.unlink()
    data = pty_device.image(code=150_000)
    with pytest.raises(plug_image.ImageError, match="is not what it was: its sha256 was"):
        plug_image.official(told.append)
    assert not path.exists()


@pytest.mark.parametrize(
    ("url", "size", "word"),
    [
        ("http://elsewhere/image.bin", 10, "is not HTTPS"),
        ("https://micropython.org/image.bin", (1 << 20) + 1, "larger than the plug's flash"),
    ],
)
def test_a_download_must_be_https_to_its_end_and_not_too_large(monkeypatch, url, size, word):
    class Answer(io.BytesIO):
        pass

    answer = Answer(bytes(size))
    answer.url = url
    monkeypatch.setattr(plug_image.urllib.request, "urlopen", lambda url, timeout: answer)
    with pytest.raises(plug_image.ImageError, match=word):
        plug_image._download("https://micropython.org/image.bin")


def test_without_a_way_to_the_image_the_plug_is_not_touched(bare, flash, tmp_path, monkeypatch):
    monkeypatch.setattr(plug_image, "FOLDER", tmp_path)
    monkeypatch.setattr(fetch, "config", lambda: {"image": {"version": "1", "url": "https://0/i"}})
    code, said = flash(bare)
    assert code == 1
    assert "https://0/i could not be downloaded" in said
    assert "--image FILE" in said
    assert bare.heard == b""


# --- what is given -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"hot_above_c": 5000}', ["hot_above_c", "350"]),
        ('{"octoprint_port": 0}', ["octoprint_port", "1"]),
        ('{"wifi_password": "short"}', ["wifi_password", "8"]),
        ('{"wifi_pasword": "long enough"}', ["wifi_pasword", "is it wifi_password?"]),
        ('{"wifi_ssid": "a",}', ["is not JSON", "line 1"]),
        ("[]", ["must be one JSON object"]),
    ],
)
def test_a_wrong_setting_is_named_with_its_limits_before_the_plug_is_touched(
    plug, flash, tmp_path, text, words
):
    config = tmp_path / "config.json"
    config.write_text(text)
    code, said = flash(plug, "--files", "--config", config)
    assert code == 1
    assert all(word in said for word in words), said
    assert plug.heard == b""


def test_the_example_settings_may_be_given(tmp_path):
    assert plug_config.read(ROOT / "firmware/config.json.example")


def ports(monkeypatch, *names):
    import serial.tools.list_ports

    found = [SimpleNamespace(device=name, description="CP2102", vid=0x10C4) for name in names]
    found = [
        type("Port", (), {**vars(p), "__lt__": lambda a, b: a.device < b.device})() for p in found
    ]
    found.append(SimpleNamespace(device="/dev/ttyS0", description="n/a", vid=None))
    monkeypatch.setattr(serial.tools.list_ports, "comports", lambda: found)


def test_the_only_usb_adapter_is_found(monkeypatch):
    ports(monkeypatch, "/dev/ttyUSB0")
    assert plug_port.find() == "/dev/ttyUSB0"


def test_without_an_adapter_it_says_what_to_connect(monkeypatch):
    ports(monkeypatch)
    with pytest.raises(plug_port.PortError, match="No USB serial adapter was found"):
        plug_port.find()


def test_two_adapters_are_listed_as_they_can_be_given(monkeypatch):
    ports(monkeypatch, "/dev/ttyUSB1", "/dev/ttyUSB0")
    with pytest.raises(plug_port.PortError) as wrong:
        plug_port.find()
    assert "--port /dev/ttyUSB0    CP2102\n  --port /dev/ttyUSB1" in str(wrong.value)


def test_a_port_that_is_not_there_or_taken_is_told(plug, tmp_path):
    with pytest.raises(plug_port.PortError, match="There is no port"):
        plug_port.opened(str(tmp_path / "ttyUSB0"))
    with plug_port.opened(plug.port), pytest.raises(plug_port.PortError, match="in use"):
        plug_port.opened(plug.port)


def test_what_the_plug_says_is_shown_and_nothing_typed_until_it_is_unplugged(
    plug, monkeypatch, capsys
):
    shown = []
    monkeypatch.setattr("builtins.print", lambda text="", **more: shown.append(str(text)))
    threading.Timer(2, plug.power).start()
    threading.Timer(4, plug.pull).start()
    assert tool.main(["--monitor", "--port", plug.port]) == 1
    assert plug.heard == b""
    assert "MicroPython v1.25.0 on" in "".join(shown)
    assert "was unplugged" in shown[-1]


def test_every_option_is_explained_and_no_other():
    text = (ROOT / "docs/flash.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(--[a-z]+)", text, re.MULTILINE))
    usage = subprocess.run(
        [sys.executable, ROOT / "tools/flash.py", "--help"], capture_output=True, text=True
    )
    assert rows == set(re.findall(r"^  (--[a-z]+)", usage.stdout, re.MULTILINE))


@pytest.mark.parametrize("more", [["--files"], ["--port", "x"], ["--monitor"]])
def test_over_the_air_needs_no_port(more, capsys):
    with pytest.raises(SystemExit) as left:
        tool.main(["--ota", "octoplugout", *more])
    assert left.value.code == 2
    assert "--ota" in capsys.readouterr().err


# --- frozen --------------------------------------------------------------------------------------


def test_the_manifest_freezes_the_ports_start_files_and_every_module_of_the_slot():
    path = ROOT / "tools/manifest.py"
    frozen = []
    exec(path.read_text(), {"freeze": frozen.append, "freeze_mpy": frozen.append})
    assert frozen == ["$(PORT_DIR)/modules", "../build/flash/a"]
    assert (path.parent / frozen[1]).resolve() == (ROOT / "build/flash/a").resolve()


def test_modules_that_the_image_has_are_not_copied(plug, flash):
    code, said = flash(plug, "--files", "--frozen")
    there = copied(said)
    assert not [name for name in there if tool.is_module(name)]
    assert {"main.py", "trial.mpy", "a/settings.txt", "a/portal.pack"} <= set(there)
    # This plug's image has none of them, and that is told
    assert code == 1 and "the firmware does not run" in said


@pytest.mark.real
async def test_a_plug_with_frozen_modules_runs_and_opens_its_portal(parts, tmp_path, monkeypatch):
    """Imported from a folder after the slot, as what is frozen comes after it."""
    frozen, folder = tmp_path / "frozen", tmp_path / "plug"
    shutil.copytree(parts.files, folder)
    frozen.mkdir()
    for path in (folder / "a").glob("*.mpy"):
        path.rename(frozen / path.name)
    where = {**os.environ, "MICROPYPATH": f"{parts.shims}:{frozen}:.frozen"}
    monkeypatch.setattr(Shims, "environment", where)
    runner = Runner(folder, "micropython", 36 * 1024)
    await runner.start()
    try:
        async with asyncio.timeout(40):
            while not runner.serves("tcp", 80):
                await asyncio.sleep(0.05)
        assert runner.state == "Waiting_for_print_activity"
        assert not [line for line in runner.serial if "Error" in line]
    finally:
        await runner.stop()
