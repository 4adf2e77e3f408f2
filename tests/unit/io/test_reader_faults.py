"""What libraries say is passed on in their words; what may be the file's is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellseg.io.reader_faults import what_it_said


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder"
    (folder / "slide").mkdir(parents=True)
    for name in ("slide.mrxs", "slide/Data0000.dat"):
        (folder / name).touch()
    return folder / "slide.mrxs"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Can't validate JPEG for directory 0: Bogus Huffman table definition",) * 2,
        ("'utf-8' codec can't decode byte 0x87 in position 47: invalid start byte",) * 2,
        ("Expecting ',' delimiter: line 23 column 6 (char 400)",) * 2,
        ("could not convert string to float: 'Roe\"O'Neil'", "could not convert string to float: …"),
        ("Key file contains line “Roe ”x” 4711” which is not a key", "Key file contains line … which is not a key"),
        ("Invalid value 'a name that was cut o", "Invalid value …"),
        ("Invalid group name: Roe^Jane", "Invalid group …"),
        ("Specimen 4711 exceeds 12 characters", "… exceeds … characters"),
        ("Unrecognized image format: jsmith", "Unrecognized image format: …"),
        ("two\nlines\tof data", "… of data"),
        ("'Roe'", "ValueError"),
        ("", "ValueError"),
    ],
)
def test_own_words_stay_and_what_may_be_quoted_goes(message: str, shown: str, path: Path) -> None:
    assert what_it_said(ValueError(message), path) == shown


def test_files_of_the_slide_are_named_without_their_folder(path: Path) -> None:
    said = f"Short read of file {path.parent}/slide/Data0000.dat: 2470 < 4096"
    assert what_it_said(OSError(said), path) == "Short read of file slide/Data0000.dat: 2470 < 4096"
    said = f"Couldn't open {path.parent}/Roe.dat"
    assert what_it_said(OSError(said), path) == "Couldn't open …"
