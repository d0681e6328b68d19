"""docs/portal.md shows the portal's pages as they were made by a command, small enough to load."""

import re
from pathlib import Path

import make_portal_docs as made

DOCUMENT = Path(made.ROOT / "docs/portal.md").read_text(encoding="utf-8")


def test_every_picture_is_shown_described_and_made():
    shown = re.findall(r"!\[([^\]]+)\]\(portal/([\w-]+)\.png\)", DOCUMENT)
    source = Path(made.__file__).read_text(encoding="utf-8")
    taken = re.findall(r'shoot\(page, folder, "([\w-]+)"\)', source)
    assert sorted(name for _, name in shown) == sorted(taken)
    assert {path.stem for path in made.FOLDER.iterdir()} == set(taken)


def test_every_picture_is_a_small_png():
    for path in made.FOLDER.iterdir():
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n", path.name
        assert path.stat().st_size <= made.LARGEST, path.name
