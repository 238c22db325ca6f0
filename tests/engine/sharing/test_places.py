from pathlib import Path

import pytest

from composer.engine.sharing.places import Address, HubPlace, read_place
from composer.errors import TransferError

HUB = "https://huggingface.co"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("me/home", HubPlace(name="me/home")),
        ("me/home@v2", HubPlace(name="me/home", revision="v2")),
        ("hf://me/home-1.0", HubPlace(name="me/home-1.0")),
        ("hf://me/home@refs/pr/1", HubPlace(name="me/home", revision="refs/pr/1")),
        (f"{HUB}/me/home", HubPlace(name="me/home")),
        (f"{HUB}/me/home/tree/v2", HubPlace(name="me/home", revision="v2")),
        ("https://other.org/me/home", Address("https://other.org/me/home")),
        ("S3://bucket/home.zip", Address("S3://bucket/home.zip")),
        ("./me/home", Path("me/home")),
        ("me/home.zip", Path("me/home.zip")),
        ("home", Path("home")),
        ("/me/home", Path("/me/home")),
        ("a/b/c", Path("a/b/c")),
    ],
)
def test_a_name_means_one_place(text: str, meant: object):
    assert read_place(text, endpoint=HUB) == meant


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("htps://other.org/home", "htps:// is unknown; did you mean 'https'"),
        ("hf://home", "is no repository on the Hub; write owner/name"),
        ("hf://me/../home", "is no repository on the Hub"),
        ("hf://me/home@a/../b", "is no branch, tag or commit"),
        ("hf://me/home@-x", "is no branch, tag or commit"),
        (f"{HUB}/me/home/blob/main/x", "is a page of a repository; write hf://me/home"),
        ("https://me:hunter2@other.org/home", "a password in a URL ends up in logs"),
    ],
)
def test_what_means_nothing_is_refused(text: str, said: str):
    with pytest.raises(TransferError) as fault:
        read_place(text, endpoint=HUB)
    assert said in str(fault.value)
    assert "hunter2" not in str(fault.value)


def test_what_may_be_a_folder_or_a_repository_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "me" / "home").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TransferError, match=r"write \./me/home or hf://me/home"):
        read_place("me/home", endpoint=HUB)
    assert read_place("./me/home", endpoint=HUB) == Path("me/home")


def test_a_revision_is_of_a_repository_only_and_said_once():
    assert read_place("me/home", endpoint=HUB, revision="v2") == HubPlace(
        name="me/home", revision="v2"
    )
    with pytest.raises(TransferError, match="only repositories on the Hub do"):
        read_place("s3://bucket/home", endpoint=HUB, revision="v2")
    with pytest.raises(TransferError, match="v2 is asked for, and v1 by me/home@v1"):
        read_place("me/home@v1", endpoint=HUB, revision="v2")


def test_what_is_behind_a_question_mark_is_not_shown():
    assert str(Address("https://host/home.zip?signature=s3cret")) == "https://host/home.zip"
