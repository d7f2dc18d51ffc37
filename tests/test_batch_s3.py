"""``lowbeam batch`` and ``lowbeam report`` with recordings and a dataset in a bucket of a local S3 server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import lowbeam
from lowbeam.errors import OutputError

REASON = "pip install s3fs 'moto[server]' brings an S3 server"
s3fs = pytest.importorskip("s3fs", reason=REASON)
moto = pytest.importorskip("moto.server", reason=REASON)


@pytest.fixture(scope="module")
def bucket(short_clip: Path) -> Iterator[str]:
    """A bucket with a video."""
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in (
            ("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
        ):  # fmt: skip
            environment.setenv(name, value)
        files = s3fs.S3FileSystem()
        files.mkdir("lowbeam")
        files.put(str(short_clip), "lowbeam/videos/a.mp4")
        yield "s3://lowbeam"
    server.stop()


def test_an_archive_in_a_bucket_is_read_once_and_reported(bucket: str, tmp_path: Path) -> None:
    sources, out = [f"{bucket}/videos", f"{bucket}/none.mp4", "s3://nobody/none.mp4"], f"{bucket}/traces"
    read = {one.source: one for one in lowbeam.batch(sources, out, workers=1)}
    assert sorted(one.state for one in read.values()) == ["failed", "failed", "read"]
    assert read[f"{bucket}/videos/a.mp4"].estimates == 50
    assert read[f"{bucket}/none.mp4"].error == f"{bucket}/none.mp4 does not exist"
    assert read[f"{bucket}/none.mp4"].advice == "check the address and your access to it"
    again = {one.source: one.state for one in lowbeam.batch(sources[:1], out, workers=1)}
    assert again == {f"{bucket}/videos/a.mp4": "kept"}
    assert lowbeam.report(out, tmp_path / "report.html") == 1


def test_a_bucket_that_refuses_is_one_clear_line(bucket: str) -> None:
    with pytest.raises(OutputError, match=r"s3://nobody/traces cannot be written: [^\n]*bucket"):
        list(lowbeam.batch(f"{bucket}/videos", "s3://nobody/traces", workers=1))
