"""A real S3 server on loopback, which counts what it is asked for and can be taken away."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any
from unittest import mock

import boto3
import fsspec
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

BUCKET = "bucket"


class _Quiet(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        """Says nothing."""


class ObjectStore:
    """Serves S3.

    Attributes:
        requests: of each HTTP method so far.
        sent: bytes that were written so far.
    """

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self.requests: Counter[str] = Counter()
        self.sent = 0
        self._server: BaseWSGIServer | None = None
        self._port = 0

    def start(self) -> None:
        """Answers, at the same port as before."""
        self._server = make_server(
            "127.0.0.1", self._port, self._answer, threaded=True, request_handler=_Quiet
        )
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Answers no more; what it holds is kept."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _answer(self, about: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.requests[about["REQUEST_METHOD"]] += 1
        self.sent += int(about.get("CONTENT_LENGTH") or 0)
        answer: Iterable[bytes] = self._app(about, start)
        return answer

    @property
    def variables(self) -> Mapping[str, str]:
        """With which a process finds it."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}",
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-tests",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        """An independent client, not rltune's."""
        with mock.patch.dict(os.environ, self.variables):
            return boto3.client("s3")

    def objects(self, prefix: str = "") -> dict[str, int]:
        """Sizes of objects, by their keys."""
        pages = (
            self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        )
        return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", ())}

    def make_bucket(self) -> None:
        """Makes the bucket, which is not there yet."""
        self.client().create_bucket(Bucket=BUCKET)


def forget_connections() -> None:
    """Lets the next store connect again, with the variables as they are then."""
    with suppress(ImportError):
        fsspec.get_filesystem_class("s3").clear_instance_cache()
