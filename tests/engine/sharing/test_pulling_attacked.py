"""A repository by a stranger: what is not what its manifest says is refused, and leaves nothing."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from composer.bundle.jsontext import canonical_json
from composer.bundle.reader import open_bundle
from composer.engine.sharing.places import HubPlace
from composer.engine.sharing.pulling import pull
from composer.errors import ComposerError, TransferError
from tests.bundle.content import change_manifest
from tests.device.graphed import files_of
from tests.hub import Fault, Files, Hub

PLACE = HubPlace(name="me/home")


def place_manifest(files: Files, change: Callable[[Any], object], folder: Path) -> None:
    """Change the manifest among files, its digest made to match."""
    (folder / "manifest.json").write_bytes(files["manifest.json"])
    change_manifest(folder, change)
    files["manifest.json"] = (folder / "manifest.json").read_bytes()


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def _put(name: str, change: Callable[[bytes], bytes | None]) -> Callable[[Files, Path], None]:
    def harm(files: Files, folder: Path) -> None:
        data = change(files[name])
        if data is None:
            del files[name]
        else:
            files[name] = data

    return harm


def _name(listed: str, name: str) -> Callable[[Files, Path], None]:
    def harm(files: Files, folder: Path) -> None:
        def change(values: Any) -> None:
            values["files"][name] = values["files"].pop(listed)

        place_manifest(files, change, folder)
        files[name.lstrip("/")] = files[listed]

    return harm


def _part_file(name: str) -> Callable[[Files, Path], None]:
    def harm(files: Files, folder: Path) -> None:
        def change(values: Any) -> None:
            values["parts"]["intent"]["file"] = name

        place_manifest(files, change, folder)

    return harm


HARMS: dict[str, tuple[Callable[[Files, Path], None], str]] = {
    "a file is missing": (_put("tokenizer.json", lambda data: None), "tokenizer.json is missing"),
    "a file is longer": (
        _put("parts/intent.safetensors", lambda data: data + b"x"),
        "parts/intent.safetensors has 3,22",
    ),
    "a byte differs": (_put("parts/intent.safetensors", flipped), "is damaged (SHA-256"),
    "a link in git": (
        _put("tokenizer.json", lambda data: b"../../passwd\n"),
        "tokenizer.json is damaged (SHA-256",
    ),
    "no manifest": (_put("manifest.json", lambda data: None), "it has no manifest.json"),
    "a manifest of something else": (
        _put("manifest.json", lambda data: b'{"name": "my app", "icons": []}'),
        "format None is unknown",
    ),
    "a manifest that is no JSON": (
        _put("manifest.json", lambda data: b"PK\3\4"),
        "manifest.json: line 1, column 1",
    ),
    "an endless manifest": (
        _put("manifest.json", lambda data: b" " * (8 * 2**20 + 1)),
        "manifest.json has 8,388,609 bytes; at most 8,388,608 are fetched",
    ),
    "a changed manifest": (
        _put("manifest.json", lambda data: data.replace(b"0.75", b"0.99", 1)),
        "its digest does not match",
    ),
    "a name that leads out": (_name("tokenizer.json", "../tokenizer.json"), "tokenizer.json"),
    "a name from the root": (_name("tokenizer.json", "/tmp/tokenizer.json"), "tokenizer.json"),
    "a part that leads out": (_part_file("../../intent.safetensors"), "intent.safetensors"),
    "a file of code": (_name("tokenizer.json", "handler.py"), "handler.py"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_what_is_not_as_the_manifest_says_is_refused_and_leaves_nothing(
    hub: Hub, bundle: Path, tmp_path: Path, harm: str
):
    files = files_of(bundle)
    change, said = HARMS[harm]
    change(files, tmp_path)
    hub.make("me/home", files)
    (tmp_path / "here").mkdir()
    with pytest.raises(ComposerError) as fault:
        pull(PLACE, tmp_path / "here" / "home")
    assert said in str(fault.value)
    assert fault.value.exit_status == 2
    assert ".part" not in str(fault.value)
    assert list((tmp_path / "here").iterdir()) == []
    assert not (tmp_path / "tokenizer.json").exists()


def test_what_is_there_already_stays_when_a_pull_fails(hub: Hub, bundle: Path, tmp_path: Path):
    before = files_of(bundle)
    hub.make("me/home", {**before, "tokenizer.json": b"{}"})
    with pytest.raises(ComposerError):
        pull(PLACE, bundle)
    assert files_of(bundle) == before


def test_files_that_no_manifest_lists_are_not_fetched_and_are_told(
    hub: Hub, bundle: Path, tmp_path: Path
):
    more = {"run.py": b"import os", "README.md": b"# hi", "parts/../x.json": b"{}"}
    hub.make("me/home", {**files_of(bundle), **more})
    pulled = pull(PLACE, tmp_path / "home")
    assert pulled.left == ("parts/../x.json", "run.py")
    assert files_of(tmp_path / "home") == files_of(bundle)
    assert not any("run.py" in path for _, path in hub.asked)


def test_a_size_that_the_hub_tells_and_is_not_so_is_refused(hub: Hub, bundle: Path, tmp_path: Path):
    hub.make("me/home", files_of(bundle))
    hub.sizes["tokenizer.json"] = 10
    with pytest.raises(ComposerError, match="has 10 bytes, its manifest says 13"):
        pull(PLACE, tmp_path / "home" / "deep")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "access was denied; log in with `hf auth login`, or set HF_TOKEN"),
        (403, "access was denied"),
        (429, "too many requests"),
        (500, "the Hub has a fault (status 500); try again later"),
        (503, "the Hub has a fault (status 503)"),
    ],
)
def test_what_the_hub_answers_is_told_in_words(
    hub: Hub, bundle: Path, tmp_path: Path, status: int, said: str
):
    commit = hub.make("me/home", files_of(bundle))
    hub.faults["HEAD", f"/me/home/resolve/{commit}/parts/intent"] = Fault(status, times=100)
    with pytest.raises(TransferError) as fault:
        pull(PLACE, tmp_path / "here")
    assert said in str(fault.value)
    assert hub.url in str(fault.value)
    assert not (tmp_path / "here").exists()


def test_a_server_that_stumbles_once_is_asked_again(hub: Hub, bundle: Path, tmp_path: Path):
    commit = hub.make("me/home", files_of(bundle))
    hub.faults["HEAD", f"/me/home/resolve/{commit}/parts/"] = Fault(503)
    pull(PLACE, tmp_path / "here")
    assert files_of(tmp_path / "here") == files_of(bundle)


@pytest.mark.parametrize("route", ["/lfs/", "/me/home/resolve/"])
def test_a_download_that_is_cut_short_again_and_again_is_refused(
    hub: Hub, bundle: Path, tmp_path: Path, route: str
):
    hub.make("me/home", files_of(bundle))
    hub.faults["GET", route] = Fault(times=1000, cut=5)
    with pytest.raises(TransferError):
        pull(PLACE, tmp_path / "here")
    assert not (tmp_path / "here").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_repository_that_is_not_there_and_a_private_one_look_the_same(
    hub: Hub, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    hub.make("me/secret", files_of(bundle), private=True)
    monkeypatch.setenv("HF_TOKEN", "hf_stranger")
    said = []
    for name in ("me/secret", "me/nothing"):
        with pytest.raises(
            TransferError, match="there is no such repository, or it is private"
        ) as f:
            pull(HubPlace(name=name), tmp_path / "here")
        said.append(str(f.value).replace(name, ""))
    assert said[0] == said[1]
    monkeypatch.setenv("HF_TOKEN", "hf_me")
    assert pull(HubPlace(name="me/secret"), tmp_path / "here").kind == "bundle"


def test_a_branch_a_tag_and_a_commit_are_pulled_and_an_unknown_one_is_refused(
    hub: Hub, bundle: Path, tmp_path: Path
):
    first = hub.make("me/home", files_of(bundle))
    second = hub.make("me/home", {"LICENSE": b"none"})
    for revision in (first, first[:40]):
        pulled = pull(HubPlace(name="me/home", revision=revision), tmp_path / "here")
        assert pulled.commit == first
    with pytest.raises(TransferError, match="it has no manifest.json"):
        pull(HubPlace(name="me/home", revision=second), tmp_path / "there")
    with pytest.raises(TransferError, match="there is no such branch, tag or commit"):
        pull(HubPlace(name="me/home", revision="v9"), tmp_path / "there")


def test_something_else_at_the_target_is_left_alone_before_anything_large_is_fetched(
    hub: Hub, bundle: Path, tmp_path: Path
):
    hub.make("me/home", files_of(bundle))
    target = tmp_path / "here"
    target.mkdir()
    (target / "thesis.txt").write_text("mine")
    with pytest.raises(ComposerError, match="is there, and is no bundle"):
        pull(PLACE, target)
    assert (target / "thesis.txt").read_text() == "mine"
    assert not any("/parts/" in path for _, path in hub.asked)


def test_a_bundle_is_pulled_into_a_zip_as_well(hub: Hub, bundle: Path, tmp_path: Path):
    hub.make("me/home", files_of(bundle))
    pulled = pull(PLACE, tmp_path / "home.zip")
    opened = open_bundle(tmp_path / "home.zip")
    assert opened.manifest.digest == pulled.digest == open_bundle(bundle).manifest.digest


ADAPTER = {
    "adapter.json": b"{}\n",
    "adapter.safetensors": b"\x02\0\0\0\0\0\0\0{}",
    "training.json": b"{}\n",
}


def stored_manifest(kind: str = "language", **changes: object) -> bytes:
    from hashlib import sha256

    files = {name: sha256(data).hexdigest() for name, data in ADAPTER.items()}
    values = {
        "format": 1,
        "key": "0" * 64,
        "kind": kind,
        "stage": {},
        "files": files,
        "sizes": {name: len(data) for name, data in ADAPTER.items()},
        **changes,
    }
    digest = sha256(canonical_json(values)).hexdigest()
    return canonical_json({**values, "digest": digest})


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (stored_manifest(kind="bundle"), "holds a result of kind 'bundle'; adapters are of kind"),
        (stored_manifest(files={"../x": "0" * 64}, sizes={"../x": 1}), "its files must be"),
        (stored_manifest(files={"run.py": "0" * 64}, sizes={"run.py": 1}), "its files must be"),
        (stored_manifest(sizes=dict.fromkeys(ADAPTER, 2**40)), "bytes; at most"),
        (stored_manifest(sizes=dict.fromkeys(ADAPTER, 7)), "its manifest says 7"),
        (json.dumps(json.loads(stored_manifest())).encode(), "its digest is another"),
        (stored_manifest(files=dict.fromkeys(ADAPTER, "0" * 64)), "its SHA-256 is another"),
    ],
)
def test_an_adapter_that_is_not_what_its_manifest_says_is_refused(
    hub: Hub, tmp_path: Path, manifest: bytes, said: str
):
    hub.make("me/de", {**ADAPTER, "manifest.json": manifest})
    with pytest.raises(ComposerError) as fault:
        pull(HubPlace(name="me/de"), tmp_path / "de")
    assert said in str(fault.value)
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_takes_the_place_of_an_adapter_only(hub: Hub, tmp_path: Path):
    hub.make("me/de", {**ADAPTER, "manifest.json": stored_manifest()})
    (tmp_path / "de").mkdir()
    os.symlink(tmp_path / "de", tmp_path / "link")
    for target, said in (("link", "is no folder"), ("de.zip", "an adapter is a folder")):
        with pytest.raises(ComposerError, match=said):
            pull(HubPlace(name="me/de"), tmp_path / target)
    for _ in range(2):
        assert pull(HubPlace(name="me/de"), tmp_path / "de").stage == "language"
    (tmp_path / "de" / "notes.txt").write_text("mine")
    with pytest.raises(ComposerError, match="holds something else"):
        pull(HubPlace(name="me/de"), tmp_path / "de")
