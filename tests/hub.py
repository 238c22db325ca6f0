"""A stand-in for the Hub: the HTTP that `huggingface_hub` speaks, on 127.0.0.1, in memory.

    with Hub() as hub:                      # hub.url is what HF_ENDPOINT is set to
        hub.tokens["hf_me"] = "me"          # token -> who may write below `me/`
        hub.files("me/home")                # name -> bytes, at the main branch

It knows repositories with branches and commits, private ones, uploads in the commit and by git
LFS, files by revision with an etag. What is asked is kept in `asked`. A fault is put in its way
with `hub.faults`: (method, beginning of the path) -> what is answered instead, and how often.
"""

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import huggingface_hub.utils
import pytest

LFS_BYTES = 2000  # files of more bytes, and all safetensors, are stored by git LFS
BODY_LIMIT = 64 * 2**20
_SECONDS = 20

Files = dict[str, bytes]


@dataclass
class Repo:
    """A repository: its commits, and where its branches point."""

    private: bool
    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)

    def add(self, files: Files, *, branch: str = "main", message: str = "") -> str:
        """Make a commit of all files that there are now."""
        before = self.branches.get(branch, "")
        parts = [
            f"{name}:{hashlib.sha256(data).hexdigest()}" for name, data in sorted(files.items())
        ]
        commit = hashlib.sha1("\n".join([before, message, *parts]).encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.branches[branch] = commit
        self.messages[commit] = message
        return commit

    def at(self, revision: str) -> str | None:
        """Give the commit that a branch or the digits mean."""
        found = self.branches.get(revision, revision)
        return found if found in self.commits else None


@dataclass
class Fault:
    """What is answered instead, the next `times` times."""

    status: int = 500
    times: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None  # answer as always, and break off after so many bytes of the body


class Hub:
    """The server; asks for no more than it has to, and stops with its `with`."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.tokens: dict[str, str] = {}
        self.objects: Files = {}
        self.asked: list[tuple[str, str]] = []
        self.headers: list[Mapping[str, str]] = []
        self.faults: dict[tuple[str, str], Fault] = {}
        self.sizes: dict[str, int] = {}  # name of a file -> bytes that are told, whatever it has
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def store(self) -> str:
        """Where large files lie: under another host's name, as those of the Hub do."""
        return f"http://localhost:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_SECONDS)

    def make(self, name: str, files: Files | None = None, *, private: bool = False) -> str:
        """Put a repository there, as its owner would have; give the commit."""
        repo = self.repos.setdefault(name, Repo(private))
        return repo.add({".gitattributes": b"*.safetensors lfs\n", **(files or {})})

    def files(self, name: str, revision: str = "main") -> Files:
        """Give what a repository holds, without what the Hub puts in itself."""
        repo = self.repos[name]
        held = repo.commits[repo.branches.get(revision, revision)]
        return {one: data for one, data in held.items() if one != ".gitattributes"}

    def wrote(self) -> list[str]:
        """List the paths of all requests that could change something."""
        return [path for method, path in self.asked if method in ("POST", "PUT", "DELETE")]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    timeout = _SECONDS

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_LIMIT:
            self.close_connection = True
            return self._send(413, b"")
        self.body = self.rfile.read(length)
        self.path_, self.query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        self.hub.asked.append((method, self.path_))
        self.hub.headers.append(dict(self.headers))
        self.cut: int | None = None
        for (wanted, begins), fault in self.hub.faults.items():
            if wanted == method and self.path_.startswith(begins) and fault.times > 0:
                fault.times -= 1
                if fault.cut is None:
                    return self._send(fault.status, b"{}", fault.headers)
                self.cut = fault.cut
        for wanted, pattern, answer in _ROUTES:
            if wanted == method and (found := re.fullmatch(pattern, self.path_)):
                return answer(self, *map(unquote, found.groups()))
        self._send(404, b"{}")

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.cut is not None:
            self.wfile.write(body[: self.cut])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self.wfile.write(body)

    def _json(self, value: object, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode())

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b'{"error": "no"}', {"X-Error-Code": code, "X-Error-Message": code})

    @property
    def user(self) -> str | None:
        given = self.headers.get("authorization", "").removeprefix("Bearer ")
        return self.hub.tokens.get(given)

    def _repo(self, name: str) -> Repo | None:
        """Find a repository that this user may see; others are told that there is none."""
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and self.user != name.split("/")[0]):
            self._refuse(401 if self.user is None else 404, "RepoNotFound")
            return None
        return repo

    def _own(self, name: str) -> Repo | None:
        """Find a repository that this user may write to."""
        repo = self._repo(name)
        if repo is not None and self.user != name.split("/")[0]:
            self._send(401 if self.user is None else 403, b"{}")
            return None
        return repo

    def create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        if self.user is None:
            return self._send(401, b'{"error": "Invalid username or password."}')
        if self.user != asked["organization"]:
            return self._send(403, b"{}")
        if name in self.hub.repos:
            return self._json({"url": f"{self.hub.url}/{name}"}, 409)
        private = asked.get("private") or asked.get("visibility") == "private"
        self.hub.make(name, private=bool(private))
        self._json({"url": f"{self.hub.url}/{name}"})

    def validate(self) -> None:
        ok = json.loads(self.body)["content"].startswith("---\n")
        self._json(
            {"errors": [] if ok else [{"message": "no YAML"}], "warnings": []}, 200 if ok else 400
        )

    def info(self, name: str, revision: str = "main") -> None:
        repo = self._repo(name)
        if repo is None:
            return
        commit = repo.at(revision)
        if commit is None:
            return self._refuse(404, "RevisionNotFound")
        siblings = [self._sibling(one, data) for one, data in sorted(repo.commits[commit].items())]
        self._json({"id": name, "sha": commit, "private": repo.private, "siblings": siblings})

    def _sibling(self, name: str, data: bytes) -> dict[str, object]:
        size = self.hub.sizes.get(name, len(data))
        digest = hashlib.sha256(data).hexdigest()
        lfs = {"size": size, "sha256": digest, "pointerSize": 134} if _is_lfs(name, data) else None
        return {
            "rfilename": name,
            "size": size,
            "blobId": _oid(data),
            **({"lfs": lfs} if lfs else {}),
        }

    def branch(self, name: str, branch: str) -> None:
        repo = self._own(name)
        if repo is None:
            return
        if branch in repo.branches:
            return self._send(409, b"{}")
        repo.branches[branch] = repo.branches["main"]
        self._json({})

    def preupload(self, name: str, revision: str) -> None:
        repo = self._own(name)
        if repo is None:
            return
        held = repo.commits[repo.at(revision) or repo.branches["main"]]
        ignored = held.get(".gitignore", b"").decode().split()
        files = []
        for one in json.loads(self.body)["files"]:
            path, sample = one["path"], base64.b64decode(one["sample"])
            lfs = path.endswith(".safetensors") or one["size"] > LFS_BYTES
            known = held.get(path)
            oid = (
                None
                if known is None
                else (hashlib.sha256(known).hexdigest() if lfs else _oid(known))
            )
            assert len(sample) <= 512
            files.append({"path": path, "uploadMode": "lfs" if lfs else "regular",
                          "shouldIgnore": path in ignored, "oid": oid})  # fmt: skip
        self._json({"files": files})

    def batch(self, name: str) -> None:
        if self._own(name) is None:
            return
        objects = []
        for one in json.loads(self.body)["objects"]:
            oid = one["oid"]
            actions = {
                "upload": {"href": f"{self.hub.url}/lfs/{oid}?signature=s3cret"},
                "verify": {"href": f"{self.hub.url}/lfs-verify"},
            }
            known = {} if oid in self.hub.objects else {"actions": actions}
            objects.append({"oid": oid, "size": one["size"], **known})
        self._json({"transfer": "basic", "objects": objects})

    def upload(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self._send(400, b"{}")
        self.hub.objects[oid] = self.body
        self._send(200, b"")

    def verify(self) -> None:
        asked = json.loads(self.body)
        held = self.hub.objects.get(asked["oid"], b"")
        self._send(200 if len(held) == asked["size"] else 404, b"{}")

    def commit(self, name: str, revision: str) -> None:
        repo = self._own(name)
        if repo is None:
            return
        lines = [json.loads(line) for line in self.body.splitlines()]
        header = lines[0]["value"]
        if header.get("parentCommit", repo.branches[revision]) != repo.branches[revision]:
            return self._send(412, b"{}")
        files = dict(repo.commits[repo.branches[revision]])
        for line in lines[1:]:
            kind, value = line["key"], line["value"]
            if kind == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif kind == "deletedFile":
                del files[value["path"]]
            else:
                return self._send(400, b"{}")
        commit = repo.add(files, branch=revision, message=header["summary"])
        url = f"{self.hub.url}/{name}/commit/{commit}"
        self._json({"success": True, "commitOid": commit, "commitUrl": url})

    def resolve(self, name: str, revision: str, path: str) -> None:
        repo = self._repo(name)
        if repo is None:
            return
        commit = repo.at(revision)
        if commit is None:
            return self._refuse(404, "RevisionNotFound")
        data = repo.commits[commit].get(path)
        if data is None:
            return self._refuse(404, "EntryNotFound")
        digest = hashlib.sha256(data).hexdigest()
        headers = {"X-Repo-Commit": commit, "ETag": f'"{_oid(data)}"'}
        if _is_lfs(path, data):
            self.hub.objects[digest] = data
            headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data)),
                        "Location": f"{self.hub.store}/lfs/{digest}"}  # fmt: skip
            return self._send(302, b"", headers)
        self._send(200, data, headers)

    def download(self, oid: str) -> None:
        data = self.hub.objects.get(oid)
        if data is None:
            return self._send(404, b"{}")
        first = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(first[1]) if first else 0
        more = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if first else {}
        self._send(206 if first else 200, data[start:], {"ETag": f'"{oid}"', **more})


def _is_lfs(name: str, data: bytes) -> bool:
    return name.endswith(".safetensors") or len(data) > LFS_BYTES


def _oid(data: bytes) -> str:
    """Name a file as git does."""
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


@contextmanager
def hub_here() -> Iterator[Hub]:
    """Run a Hub that this process takes for the one that there is; `hf_me` is the token of `me`."""
    with Hub() as hub, pytest.MonkeyPatch.context() as patch:
        hub.tokens["hf_me"] = "me"
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        patch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
        for module in ("constants", "file_download"):  # the second before release 1 alone
            name = f"huggingface_hub.{module}.HUGGINGFACE_CO_URL_TEMPLATE"
            patch.setattr(name, template, raising=False)
        for module in ("utils._http", "file_download"):
            patch.setattr(f"huggingface_hub.{module}.time", _NoWaiting())
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # tests.conftest sets it
        patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # it speaks git LFS
        patch.setenv("HF_TOKEN", "hf_me")
        end_sessions()
        yield hub
    end_sessions()


def end_sessions() -> None:
    """Let the library look at its settings again; releases before 1 have another name for it."""
    utils = huggingface_hub.utils
    end = utils.close_session if hasattr(utils, "close_session") else utils.reset_sessions
    end()


class _NoWaiting:
    """The module `time`, for who waits between tries."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        pass


_NAME = "([^/]+/[^/]+)"
_ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", "/api/validate-yaml", _Handler.validate),
    ("GET", f"/api/models/{_NAME}", _Handler.info),
    ("GET", f"/api/models/{_NAME}/revision/([^/]+)", _Handler.info),
    ("POST", f"/api/models/{_NAME}/branch/([^/]+)", _Handler.branch),
    ("POST", f"/api/models/{_NAME}/preupload/([^/]+)", _Handler.preupload),
    ("POST", f"/{_NAME}.git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", "/lfs/([0-9a-f]{64})", _Handler.upload),
    ("GET", "/lfs/([0-9a-f]{64})", _Handler.download),
    ("HEAD", "/lfs/([0-9a-f]{64})", _Handler.download),
    ("POST", "/lfs-verify", _Handler.verify),
    ("POST", f"/api/models/{_NAME}/commit/([^/]+)", _Handler.commit),
    ("GET", f"/{_NAME}/resolve/([^/]+)/(.+)", _Handler.resolve),
    ("HEAD", f"/{_NAME}/resolve/([^/]+)/(.+)", _Handler.resolve),
]
