"""The door to the Hub's library: what it raises is told without secrets, and nobody is overrun."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from composer.engine.sharing.hub import NotThereError, Repository
from composer.engine.sharing.places import HubPlace
from composer.engine.sharing.pushing import bundle_parcel, push
from composer.errors import TransferError
from tests.hub import Hub


def raising(fault: Exception) -> Callable[..., Any]:
    def ask(*arguments: object, **named: object) -> None:
        raise fault

    return ask


def test_what_the_library_says_is_shown_without_the_token(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
):
    fault = ValueError("Invalid header value b'Bearer hf_me'\x1b[2J\nand more")
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", raising(fault))
    with pytest.raises(TransferError) as told:
        Repository("me/home").snapshot()
    assert str(told.value) == rf"{hub.url}/me/home: Invalid header value b'Bearer ***'\x1b[2J"


def test_signed_urls_are_not_shown(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    fault = ConnectionError("Max retries exceeded with url: /lfs/0?signature=s3cret")
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", raising(fault))
    with pytest.raises(TransferError, match="cannot be reached") as told:
        Repository("me/home").snapshot()
    assert "s3cret" not in str(told.value)


def test_a_repository_that_is_not_there_is_told_by_class(hub: Hub):
    hub.make("me/home")
    for name, revision in (("me/nothing", None), ("me/home", "v9")):
        with pytest.raises(NotThereError):
            Repository(name).snapshot(revision)


def test_a_push_upon_what_somebody_else_pushed_meanwhile_is_refused(
    hub: Hub, bundle: Path, monkeypatch: pytest.MonkeyPatch
):
    before = Repository.commit

    def late(self: Repository, *arguments: Any, **named: Any) -> str:
        hub.make("me/home", {"LICENSE": b"MIT"})
        return before(self, *arguments, **named)

    hub.make("me/home")
    monkeypatch.setattr(Repository, "commit", late)
    with bundle_parcel(bundle) as parcel, pytest.raises(TransferError, match="pushed meanwhile"):
        push(parcel, HubPlace(name="me/home"), card=b"---\n---\n", message="Mine")
    assert hub.files("me/home") == {"LICENSE": b"MIT"}
