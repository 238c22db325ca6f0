"""Bundles and adapters from servers, buckets and folders; what breaks off leaves nothing."""

import contextlib
import functools
import http.server
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from composer.bundle.writer import pack_bundle
from composer.engine.sharing.places import Address, Place
from composer.engine.sharing.pulling import Pulled, pull
from composer.engine.sharing.pushing import bundle_parcel, checked_destination, push
from composer.errors import ComposerError, TransferError
from tests.bundle.content import content, make_bundle
from tests.device.graphed import files_of
from tests.engine.s3 import s3_bucket, s3_server

Answer = Callable[["_Handler"], None]


class _Handler(http.server.SimpleHTTPRequestHandler):
    answers: dict[str, Answer]

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        answer = self.answers.get(self.path.partition("?")[0])
        if answer is None:
            return super().do_GET()
        answer(self)


class Server:
    """Serves a folder, but for some paths that have answers of their own."""

    def __init__(self, folder: Path) -> None:
        self.answers: dict[str, Answer] = {}
        kind = type("Handler", (_Handler,), {"answers": self.answers})
        made = functools.partial(kind, directory=str(folder))
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), made)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"


@pytest.fixture
def server(bundle: Path) -> Iterator[Server]:
    pack_bundle(bundle, bundle.parent / "home.zip")
    server = Server(bundle.parent)
    thread = threading.Thread(target=server.http.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


@pytest.fixture
def bucket() -> Iterator[str]:
    yield "memory://team"
    fsspec.filesystem("memory").rm("/team", recursive=True)


def put(folder: Path, url: str) -> None:
    files = fsspec.filesystem("memory")
    for name, data in files_of(folder).items():
        files.pipe_file(f"{url.removeprefix('memory:/')}/{name}", data)


@pytest.mark.parametrize("name", ["home", "home/", "home.zip", "home.zip?signature=s3cret"])
def test_a_bundle_comes_from_a_server(server: Server, bundle: Path, tmp_path: Path, name: str):
    pulled = pull(Address(f"{server.url}/{name}"), tmp_path / "here")
    assert files_of(tmp_path / "here") == files_of(bundle)
    assert (pulled.commit, pulled.files) == (None, len(files_of(bundle)))


def test_a_bundle_comes_from_a_bucket_and_from_a_folder(bundle: Path, bucket: str, tmp_path: Path):
    put(bundle, f"{bucket}/home")
    pack_bundle(bundle, tmp_path / "zipped.zip")
    put(bundle.parent, f"{bucket}/made")
    (tmp_path / "link").symlink_to(bundle)
    places: list[Place] = [
        Address(f"{bucket}/home"),
        Address(f"{bucket}/made/home/"),
        Address(f"file://{bundle}"),
        Address(f"file://{tmp_path}/zipped.zip"),
        bundle,
        tmp_path / "link",
    ]
    for number, place in enumerate(places):
        pull(place, tmp_path / f"here{number}")
        assert files_of(tmp_path / f"here{number}") == files_of(bundle)


def _cut(handler: _Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"PK\3\4 and no more")


def _endless(handler: _Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(ConnectionError):  # who pulls has seen enough
        for _ in range(40):
            handler.wfile.write(b" " * 2**18)


def _status(status: int) -> Answer:
    return lambda handler: handler.send_error(status)


def _moved(url: str) -> Answer:
    def answer(handler: _Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", url)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


@pytest.mark.parametrize(
    ("name", "path", "answer", "said"),
    [
        ("home.zip", "/home.zip", _cut, "was cut short after 16 of 1,000 bytes"),
        ("home", "/home/manifest.json", _endless, "more than the 8,388,608 bytes"),
        ("home", "/home/tokenizer.json", _cut, "has 1,000 bytes; at most 13 are fetched"),
        ("home", "/home/tokenizer.json", _endless, "more than the 13 bytes"),
        ("home", "/home/tokenizer.json", _status(404), "home/tokenizer.json is missing"),
        ("home", "/home/tokenizer.json", _status(500), "the server refuses it (status 500)"),
        ("home.zip", "/home.zip", _status(403), "the server refuses it (status 403)"),
        ("home.zip", "/home.zip", _status(404), "there is no such file"),
        (
            "home.zip",
            "/home.zip",
            _moved("file:///etc/passwd"),
            "leads nowhere with it (status 302)",
        ),
        ("home.zip", "/home.zip", _moved("ftp://127.0.0.1/x"), "to another protocol"),
        ("home.zip", "/home.zip", _moved("/nothing.zip"), "there is no such file"),
        ("nothing", "/", None, "it has no manifest.json"),
    ],
)
def test_what_a_server_does_wrong_is_told_and_leaves_nothing(
    server: Server, tmp_path: Path, name: str, path: str, answer: Answer | None, said: str
):
    if answer:
        server.answers[path] = answer
    query = "?s3cret" if name.endswith(".zip") else ""
    with pytest.raises(TransferError) as fault:
        pull(Address(f"{server.url}/{name}{query}"), tmp_path / "x")
    assert said in str(fault.value)
    assert "s3cret" not in str(fault.value)
    assert [one.name for one in tmp_path.iterdir()] == ["made"]


def test_a_damaged_zip_is_named_as_it_is_there(server: Server, bundle: Path, tmp_path: Path):
    path = bundle.parent / "home.zip"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ComposerError) as fault:
        pull(Address(f"{server.url}/home.zip"), tmp_path / "here")
    assert str(fault.value).startswith(f"{server.url}/home.zip: no zip, or cut short")


def test_a_server_that_refuses_a_signature_is_asked_for_none_unless_one_is_demanded(
    server: Server, tmp_path: Path
):
    server.answers["/home.sig"] = _status(403)  # as buckets do where nothing may be listed
    pull(Address(f"{server.url}/home.zip"), tmp_path / "here")
    with pytest.raises(TransferError, match=r"home\.sig: the server refuses it"):
        pull(Address(f"{server.url}/home.zip"), tmp_path / "x", public_key=tmp_path / "who.pem")


def test_nobody_there_is_told_with_the_host(tmp_path: Path):
    with pytest.raises(TransferError, match=r"127\.0\.0\.1:9 cannot be reached, or broke off"):
        pull(Address("http://127.0.0.1:9/home.zip"), tmp_path / "here")
    assert list(tmp_path.iterdir()) == []


def test_what_comes_open_on_the_wire_must_be_signed(tmp_path: Path):
    with pytest.raises(TransferError, match="can be changed on its way; use https"):
        pull(Address("http://192.0.2.1/home.zip"), tmp_path / "here")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://192.0.2.1/home.tar.gz", "a bundle in one file is a .zip"),
        ("https://192.0.2.1/", "give the folder, or the .zip"),
        ("https://192.0.2.1/home?x=1", "the URL of a folder has no ?"),
        ("file://host/home", "write file:///FOLDER"),
        ("s3://home", "write s3://BUCKET/FOLDER"),
    ],
)
def test_a_url_that_is_of_no_bundle_is_refused(tmp_path: Path, url: str, said: str):
    with pytest.raises(ComposerError) as fault:
        pull(Address(url), tmp_path / "here")
    assert said in str(fault.value)


def sent(bundle: Path, url: str) -> None:
    with bundle_parcel(bundle) as parcel:
        push(parcel, checked_destination(Address(url)), card=b"", message="")


def pulled(url: str, target: Path) -> Pulled:
    shutil.rmtree(target, ignore_errors=True)
    return pull(Address(url), target)


def test_a_bundle_goes_to_a_bucket_and_takes_the_earlier_ones_place(
    bundle: Path, bucket: str, tmp_path: Path
):
    for name in ("home", "home.zip"):
        sent(bundle, f"{bucket}/{name}")
        pulled(f"{bucket}/{name}", tmp_path / "here")
        assert files_of(tmp_path / "here") == files_of(bundle)
    values = content()
    parts = {"intent": values["parts"]["intent"], "intent.head": values["parts"]["intent.head"]}  # type: ignore[index]
    only = {"intent": values["compositions"]["intent"]}  # type: ignore[index]
    make_bundle(tmp_path / "small", parts=parts, compositions=only)
    sent(tmp_path / "small", f"{bucket}/home")
    pulled(f"{bucket}/home", tmp_path / "here")
    assert files_of(tmp_path / "here") == files_of(tmp_path / "small")
    files = fsspec.filesystem("memory")
    assert len(files.find("/team/home")) == len(files_of(tmp_path / "small"))


def test_a_folder_of_a_bucket_with_something_else_in_it_is_left_alone(bundle: Path, bucket: str):
    files = fsspec.filesystem("memory")
    files.pipe_file("/team/home/thesis.txt", b"mine")
    with pytest.raises(TransferError, match=r"holds 'thesis.txt', which no push of composer"):
        sent(bundle, f"{bucket}/home")
    assert files.find("/team") == ["/team/home/thesis.txt"]


@pytest.mark.parametrize("place", [Address("https://host/home"), Path("home")])
def test_where_nothing_can_be_pushed_is_said_before_anything_is_done(place: Place):
    with pytest.raises(TransferError, match="nothing can be pushed there; give owner/name"):
        checked_destination(place)


@pytest.mark.slow
def test_a_bundle_goes_to_s3_and_comes_from_it(bundle: Path, tmp_path: Path):
    with s3_server() as address, s3_bucket(address) as url:
        for name in ("home", "home.zip", "home"):
            sent(bundle, f"{url}/{name}")
            pulled(f"{url}/{name}", tmp_path / "here")
            assert files_of(tmp_path / "here") == files_of(bundle)
        with pytest.raises(TransferError, match="it has no manifest.json"):
            pulled(f"{url}/nothing", tmp_path / "there")
        with pytest.raises(ComposerError, match="there is no such bucket"):
            pulled("s3://no-such-bucket-here/home", tmp_path / "there")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["here", "made"]
