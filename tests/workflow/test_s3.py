"""Images in S3, by the example of docs/workflow.md: bytes as on disk, a missing object fails alone, no secret told."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer
from run_crates import assert_profile, read_crate
from workflow.project import REPOSITORY, Project, files_of

KEY, SECRET = "planted-access-key", "planted-secret-key"
DOCS = (REPOSITORY / "docs" / "workflow.md").read_text(encoding="utf-8")
SHEET, EXAMPLE = (re.search(rf"```{kind}\n(sample\t.*?|export .*?)```", DOCS, re.S)[1] for kind in ("tsv", "bash"))
STAGES = {"preprocess", "segment", "measure", "classify", "tables", "overlay", "polygons", "integrity"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A local S3 server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class Stored(Project):
    """A project whose images lie in a bucket."""

    endpoint: str

    def client(self):
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the workflow with the variables that the documented example sets."""
        values = {"ENDPOINT_URL": self.endpoint, "ACCESS_KEY": KEY, "SECRET_KEY": SECRET}
        names = re.findall(r"^export (SNAKEMAKE_STORAGE_S3_(\w+))=", EXAMPLE, re.M)
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
            env=os.environ | {"COLUMNS": "200"} | {name: values[of] for name, of in names},
        )


@pytest.fixture(scope="module")
def projects(endpoint: str, tmp_path_factory: pytest.TempPathFactory):
    """The same image on disk and in a bucket, beside an object that is not there; both after their run."""
    folder = tmp_path_factory.mktemp("s3")
    disk, stored = Project(folder / "on disk"), Stored(folder / "in s3")
    stored.endpoint = endpoint
    image = disk.image("slide_1", seed=1)
    disk.sheet({"slide_1": "test"})
    stored.client().create_bucket(Bucket="lab-slides")
    stored.client().upload_file(str(image), "lab-slides", "slides/slide_1.tif")
    (stored.folder / "samples.tsv").write_text(SHEET)
    done = disk.snakemake()
    assert done.returncode == 0, done.stdout
    return disk, stored, stored.snakemake()


def test_results_are_those_of_the_same_image_on_disk(projects) -> None:
    disk, stored, done = projects
    assert stored.ledger().get("slide_1", {}).get("outcome") == "done", done.stdout
    assert files_of(stored.sample("slide_1")) == files_of(disk.sample("slide_1"))


def test_crate_names_objects_by_url_with_the_sha256_of_their_bytes(projects) -> None:
    disk, stored, _ = projects
    crate, known = assert_profile(stored.folder / "results"), read_crate(disk.folder / "results")
    image = crate["#input/images/slide_1/image"]
    assert image["name"] == image["contentUrl"] == "s3://lab-slides/slides/slide_1.tif"
    assert image["sha256"] == known["#input/images/slide_1/image"]["sha256"]
    assert "sha256" not in crate["#input/images/slide_2/image"]


def test_missing_object_fails_its_sample_and_not_the_batch(projects) -> None:
    _, stored, done = projects
    row = stored.ledger()["slide_2"]
    assert (row["outcome"], row["stage"]) == ("failed", "preprocess")
    assert "lab-slides/slides/slide_2.tif" in row["reason"]
    assert row["path"] == "s3://lab-slides/slides/slide_2.tif"
    assert done.returncode != 0 and "Traceback" not in done.stdout


def test_object_that_comes_later_is_the_only_one_redone(projects) -> None:
    disk, stored, _ = projects
    stored.client().upload_file(str(disk.folder / "images" / "slide_1.tif"), "lab-slides", "slides/slide_2.tif")
    planned = stored.planned()
    assert planned == dict.fromkeys([*STAGES, "summary", "provenance", "check"], 1)


def test_credentials_reach_no_file(projects) -> None:
    _, stored, done = projects
    written = files_of(stored.folder) | {"stdout": done.stdout.encode()}
    assert [name for name, content in written.items() if SECRET.encode() in content or KEY.encode() in content] == []


def test_storage_that_does_not_answer_stops_the_run_and_is_named(projects, tmp_path) -> None:
    project = Stored(tmp_path / "nobody there")
    project.endpoint = "http://127.0.0.1:9"
    (project.folder / "samples.tsv").write_text(SHEET)
    done = project.snakemake("-n")
    assert done.returncode != 0 and SECRET not in done.stdout
    assert "s3://lab-slides/slides/slide_1.tif: the storage does not answer" in done.stdout
