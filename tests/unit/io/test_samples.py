"""The sample sheet: what is tolerated, and every fault with its line and its cure."""

from pathlib import Path

import pytest

from cellseg.errors import ConfigError
from cellseg.io.samples import SampleRow, read_samples, safe_name


def sheet(tmp_path: Path, text: str) -> Path:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "samples.tsv").write_bytes(text.encode())
    return tmp_path / "samples.tsv"


def fault_of(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_samples(path)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(path))
    return str(caught.value)


def test_a_full_sheet(tmp_path: Path) -> None:
    text = (
        "sample\tpath\tmpp\tpatient\tslide\tgroup\tstain\tchannel\n"
        "A\ta.png\t0.25\tP 1\tS 2\treference\tgiemsa\tDAPI\nB.2\tb.png\n"
    )
    first, second = read_samples(sheet(tmp_path, text))
    assert first.model_dump() == {
        "sample": "A", "path": tmp_path / "a.png", "mpp": 0.25, "patient": "P 1", "slide": "S 2",
        "group": "reference", "stain": "giemsa", "channel": "DAPI", "tissue": None,
    }  # fmt: skip
    assert (second.sample, second.mpp, second.group, second.stain, second.channel) == ("B.2", None, "test", "he", None)
    assert (second.patient, second.slide) == (None, None)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffsample\tpath\nA\ta.png\nB\tb.png\n",
        "sample\tpath\r\nA\ta.png\r\nB\tb.png\r\n",
        "# made by hand\n\nsample\tpath\n# healthy\nA\ta.png\n\n   \nB\tb.png",
        "path\tsample\tmpp\na.png\tA\t\nb.png\tB\t\n",
        "sample\tpath\nA\ta.png\t\t\nB\tb.png\n",
    ],
)
def test_what_spreadsheets_do_is_tolerated(tmp_path: Path, text: str) -> None:
    assert [sample.sample for sample in read_samples(sheet(tmp_path, text))] == ["A", "B"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a/b", "leave the results folder"),
        ("a\\b", "leave the results folder"),
        ("..", "starts with a dot"),
        ("a..b", "leave the results folder"),
        (".hidden", "starts with a dot"),
        ("=1+1", "spreadsheet would run"),
        ("+1", "spreadsheet would run"),
        ("-1", "spreadsheet would run"),
        ("@x", "spreadsheet would run"),
        ("a\x07b", "control character"),
        ("a b", "not a letter"),
        ("zelle_ä", "not a letter"),
        ("x" * 101, "101 characters long"),
    ],
)
def test_unsafe_names(tmp_path: Path, name: str, why: str) -> None:
    message = fault_of(sheet(tmp_path, f"sample\tpath\nA\ta.png\n{name}\tb.png\n"))
    assert f"line 3: sample name {name[:120]!r}" in message and why in message
    suggested = message.split("call it '")[1].split("'")[0]
    assert read_samples(sheet(tmp_path, f"sample\tpath\n{suggested}\tb.png\n"))[0].sample == suggested


def test_every_fault_at_once_with_its_line(tmp_path: Path) -> None:
    message = fault_of(
        sheet(
            tmp_path,
            "# comment\nsample\tpath\tmpp\tgroup\tstain\n"
            "A\ta.png\t-1\ttest\the\n"
            "\tb.png\t\t\t\n"
            "C\tnone.png\t0,5\treferense\tgimsa\n"
            "a\tb.png\t1e9\t\t\n"
            "D\n"
            "E\t\t\t\t\n"
            "F\tb.png\tnan\t\t\textra\n",
        )
    )
    for expected in (
        "line 3: mpp '-1' is impossible",
        "line 4: no sample name",
        "line 5: group 'referense' is unknown; did you mean reference?",
        "line 5: stain 'gimsa' is unknown; did you mean giemsa?",
        "line 5: mpp '0,5' is impossible; expected microns per pixel from 0.01 to 100 with a decimal point",
        "line 5: no image 'none.png'",
        "line 6: mpp '1e9'",
        "line 6: sample 'a' is already on line 3",
        "line 7: 1 cells, the header has 5",
        "line 8: no path",
        "line 9: 6 cells, the header has 5",
    ):
        assert expected in message, f"{expected!r} not in {message!r}"


def test_header_faults(tmp_path: Path) -> None:
    message = fault_of(sheet(tmp_path, "sampel\tpath\tmpp\tmpp\tweight\nA\ta.png\n"))
    for expected in (
        "unknown column 'sampel'; did you mean sample?",
        "column mpp is there 2 times",
        "unknown column 'weight'",
    ):
        assert expected in message
    assert "no column sample" in message
    assert "parted by commas" in fault_of(sheet(tmp_path, "sample,path\nA,a.png\n"))


def test_empty_and_missing_sheets(tmp_path: Path) -> None:
    assert "the sheet is empty" in fault_of(sheet(tmp_path, "\n# nothing\n"))
    assert "no samples under the header" in fault_of(sheet(tmp_path, "sample\tpath\n"))
    (tmp_path / "samples.tsv").write_bytes(b"sample\tpath\nA\t\xff.png\n")
    assert "UTF-8" in fault_of(tmp_path / "samples.tsv")
    (tmp_path / "samples.tsv").unlink()
    assert "cellseg init" in fault_of(tmp_path / "samples.tsv")


def test_files_need_not_be_there_when_not_asked(tmp_path: Path) -> None:
    path = sheet(tmp_path, "sample\tpath\nA\tnone.png\n")
    assert read_samples(path, check_files=False)[0].path == tmp_path / "none.png"
    assert "no image 'none.png'" in fault_of(path)


def test_absolute_paths_stay(tmp_path: Path) -> None:
    path = sheet(tmp_path, f"sample\tpath\nA\t{tmp_path / 'a.png'}\n")
    assert read_samples(path)[0].path == tmp_path / "a.png"


def test_a_thousand_samples_are_read_at_once(tmp_path: Path) -> None:
    rows = "".join(f"s{i}\ta.png\t0.5\n" for i in range(1000))
    assert len(read_samples(sheet(tmp_path, f"sample\tpath\tmpp\n{rows}"))) == 1000


@pytest.mark.parametrize("text", ["=cell 1/2", "...", "", "a" * 300, "\u00e4\u00f6", "-x", "a..b", "CMU-1.svs"])
def test_safe_names_are_safe(tmp_path: Path, text: str) -> None:
    name = safe_name(text)
    assert SampleRow(sample=name, path="a.png").sample == name
    assert read_samples(sheet(tmp_path, f"sample\tpath\n{name}\ta.png\n"))[0].sample == name


def test_an_annotation_of_tissues_lies_beside_the_sheet_like_an_image(tmp_path: Path) -> None:
    path = sheet(tmp_path, "sample\tpath\ttissue\nA\ta.png\tb.png\nB\tb.png\t\n")
    assert [sample.tissue for sample in read_samples(path)] == [tmp_path / "b.png", None]
    path = sheet(tmp_path, "sample\tpath\ttissue\nA\ta.png\tc.geojson\n")
    assert "line 2: no annotation of tissues 'c.geojson'" in fault_of(path)
    assert read_samples(path, check_files=False)[0].tissue == tmp_path / "c.geojson"
    path = sheet(tmp_path, "sample\tpath\ttissue\nA\ta.png\tb\x07.png\n")
    assert "control character in tissue" in fault_of(path)


def test_what_a_url_names_is_kept_as_written_and_not_looked_for(tmp_path: Path) -> None:
    row = "a\ts3://bucket/slides/a.tif\ts3://bucket/a.geojson\n"
    (sample,) = read_samples(sheet(tmp_path, f"sample\tpath\ttissue\n{row}"))
    assert (sample.path, sample.tissue) == ("s3://bucket/slides/a.tif", "s3://bucket/a.geojson")


def test_a_url_with_credentials_is_refused_and_not_repeated(tmp_path: Path) -> None:
    fault = fault_of(sheet(tmp_path, "sample\tpath\na\ts3://key:hush@bucket/a.tif\nb\ts3://bucket/a@b.tif\n"))
    assert "line 2: the path is a URL with a name or password" in fault
    assert "line 3" not in fault and "hush" not in fault and "key:" not in fault


def test_an_image_may_be_a_folder_and_an_annotation_not(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "samples.tsv").write_text("sample\tpath\na\ta.zarr\n")
    assert read_samples(tmp_path / "samples.tsv")[0].path == tmp_path / "a.zarr"
    (tmp_path / "samples.tsv").write_text("sample\tpath\ttissue\na\ta.zarr\ta.zarr\n")
    with pytest.raises(ConfigError, match=r"line 2: no annotation of tissues 'a\.zarr'"):
        read_samples(tmp_path / "samples.tsv")
