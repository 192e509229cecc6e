"""Which names are URLs, which of them runs can be stored at, and where their working copies lie."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from rltune.errors import BadInput, MachineError
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.runs.remote import location


@pytest.mark.parametrize(
    ("word", "url"),
    [
        ("s3://b/runs", "s3://b/runs"),
        ("S3://b/runs/", "s3://b/runs"),
        ("s3a://b", "s3://b"),
        ("gcs://b/x/y", "gs://b/x/y"),
        ("az://b/x", "abfs://b/x"),
        (Path("s3://b/runs"), "s3://b/runs"),  # which has lost a slash
    ],
)
def test_a_url_and_its_working_copy_name_each_other(
    word: str | Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(location.VARIABLE, str(tmp_path))
    assert location.is_url(word)
    assert location.storage(word) == url
    assert location.url_of(location.local(word)) == url
    assert location.local(word).is_relative_to(tmp_path)


def test_paths_stay_paths(tmp_path: Path) -> None:
    for word in ("runs", "./a:b", "C:/runs", str(tmp_path)):
        assert not location.is_url(word)
        assert location.local(word) == Path(word)
        assert location.url_of(Path(word).absolute()) is None
    assert location.storage(f"file://{tmp_path}") == str(tmp_path)
    assert make_spec("dqn", "cartpole", storage=f"file://{tmp_path}").storage == str(tmp_path)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("memory://runs", "gone when the process ends"),
        ("s4://b/runs", "Did you mean .s3://"),
        ("hdfs://name/runs", "s3://, gs://"),
        ("s3://key:sesame@b/runs", r"s3://\*\*\*@b/runs"),
        ("s3://sesame/x@b/runs", "credentials"),
        ("s3://", "name a bucket"),
        ("s3:///runs", "name a bucket"),
        ("s3://b/../c", "plainly"),
        ("s3://b//c", "plainly"),
        ("s3://b/a?versionId=3", "plainly"),
        ("s3://b/*", "plainly"),
        ("file://runs", "three slashes"),
    ],
)
def test_other_urls_are_refused_before_anything_starts(word: str, told: str) -> None:
    with pytest.raises(BadInput, match=told) as caught:
        make_spec("dqn", "cartpole", storage=word)
    assert "sesame" not in str(caught.value)
    with pytest.raises(BadInput, match=told):
        RunFolder.open(word)


@pytest.mark.skipif(find_spec("gcsfs") is not None, reason="the package is installed")
def test_a_missing_package_is_named_with_its_extra() -> None:
    with pytest.raises(BadInput, match=r"pip install 'rltune\[gs\]'"):
        RunFolder.open("gs://bucket/runs/a")


def test_a_missing_bucket_and_missing_credentials_are_told(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from object_store import forget_connections

    spec = make_spec("dqn", "cartpole", storage="s3://no-such-bucket/runs", name="a")
    with pytest.raises(BadInput, match="there is no bucket no-such-bucket"):
        RunFolder.check_free(spec)
    spec = make_spec("dqn", "cartpole", storage=bucket, name="a")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    forget_connections()
    for check in (RunFolder.check_free, RunFolder.create):
        with pytest.raises(MachineError, match="no credentials") as caught:
            check(spec)
        assert "secret" not in str(caught.value)
    assert not list((tmp_path / "here").rglob("run.json"))


@pytest.mark.by_hand
def test_an_endpoint_that_does_not_answer_is_told(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from object_store import forget_connections

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    forget_connections()
    with pytest.raises(MachineError, match="does not answer"):
        RunFolder.open(f"{bucket}/a")
