"""An S3 that runs in this process, on 127.0.0.1, for stores of tests."""

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import fsspec
import pytest

SECRET = "never-to-be-seen-anywhere"


@contextmanager
def s3_server() -> Iterator[str]:
    """Serve an empty S3; give its address."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def s3_bucket(address: str) -> Iterator[str]:
    """Point this process and its children at a server; give the URL of a new bucket's folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        bucket = f"bucket-{secrets.token_hex(4)}"
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir(bucket)
        yield f"s3://{bucket}/team"
