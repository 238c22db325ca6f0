"""`composer push` and `composer pull` against a stand-in for the Hub that runs here."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from composer.bundle.reader import open_bundle
from tests.bundle.content import change_manifest, content, make_bundle
from tests.bundle.test_signing import write_keys
from tests.cli.projects import well
from tests.cli.terminal import ROOT, composer
from tests.cli.test_adopting import OTHER, result
from tests.device.graphed import files_of, write_parts, write_some
from tests.hub import Fault, Hub, end_sessions, hub_here


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_here() as hub:
        yield hub


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "home")
    return tmp_path


def test_what_is_pushed_is_pulled_to_the_byte(hub: Hub, desk: Path):
    pushed = well(desk, "push", "home", "me/home", "--message", "German added")
    commit = hub.repos["me/home"].branches["main"]
    assert f"pushed to {hub.url}/me/home at commit {commit} (a new repository)" in pushed.out
    assert hub.repos["me/home"].messages[commit] == "German added"
    assert set(hub.files("me/home")) == {*files_of(desk / "home"), "README.md"}
    again = well(desk, "pull", "me/home", "--to", "got")
    assert again.out.splitlines()[0] == f"hf://me/home at commit {commit}"
    assert "every byte checked" in again.out
    assert files_of(desk / "got") == files_of(desk / "home")
    values = well(desk, "pull", "me/home", "--to", "got.zip", "--json").json
    assert (values["commit"], values["kind"], values["not_fetched"]) == (commit, "bundle", [])
    assert "holds all of it already" in well(desk, "push", "got.zip", "me/home").out
    assert hub.repos["me/home"].branches["main"] == commit


def test_a_dry_run_shows_what_would_go_and_asks_nothing(hub: Hub, desk: Path):
    shown = well(desk, "push", "home", "me/home", "--dry-run")
    for name in (*files_of(desk / "home"), "README.md"):
        assert name in shown.out
    assert f"to hf://me/home on {hub.url}" in shown.out
    assert "nothing was sent" in shown.out
    assert "library_name: " in shown.out
    values = well(desk, "push", "home", "me/home", "--dry-run", "--json").json
    assert values["sent"] is False
    assert values["bytes"] == sum(values["files"].values())
    assert hub.asked == []


def test_a_bundle_that_does_not_verify_is_not_sent(hub: Hub, desk: Path):
    part = desk / "home" / "parts" / "intent.safetensors"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    outcome = composer(desk, "push", "home", "me/home")
    assert outcome.status == 2
    assert "is damaged" in outcome.err
    assert hub.asked == []


def test_a_second_push_takes_away_what_it_does_not_bring_and_nothing_else(hub: Hub, desk: Path):
    well(desk, "push", "home", "me/home")
    hub.make("me/home", {**hub.files("me/home"), "LICENSE": b"MIT", "figure.png": b"png"})
    values = content()
    parts = {name: values["parts"][name] for name in ("intent", "intent.head")}  # type: ignore[index]
    make_bundle(
        desk / "small",
        parts=parts,
        compositions={"intent": values["compositions"]["intent"]},  # type: ignore[index]
    )
    outcome = well(desk, "push", "small", "me/home")
    assert "removed parts/domain.safetensors, of an earlier push" in outcome.out
    there = {*files_of(desk / "small"), "README.md", "LICENSE", "figure.png"}
    assert set(hub.files("me/home")) == there
    pulled = well(desk, "pull", "me/home", "--to", "got")
    assert "not fetched, as the manifest does not list it: figure.png" in pulled.out
    assert files_of(desk / "got") == files_of(desk / "small")


def test_a_card_that_somebody_edited_stays_until_it_is_said_otherwise(hub: Hub, desk: Path):
    well(desk, "push", "home", "me/home")
    generated = hub.files("me/home")["README.md"]
    edited = generated + b"Thanks to all!\n"
    hub.make("me/home", {**hub.files("me/home"), "README.md": edited})
    outcome = well(desk, "push", "home", "me/home")
    assert "README.md was edited there and is left as it is" in outcome.err
    assert hub.files("me/home")["README.md"] == edited
    well(desk, "push", "home", "me/home", "--replace-card", "--licence", "MIT")
    assert b'license: "mit"' in hub.files("me/home")["README.md"]


def test_a_repository_of_something_else_is_left_alone(hub: Hub, desk: Path):
    for files in ({"model.safetensors": b"x"}, {"manifest.json": b'{"icons": []}'}):
        before = hub.make("me/model", files)
        outcome = composer(desk, "push", "home", "me/model")
        assert outcome.status == 2
        assert "which no push of composer brought" in outcome.err
        assert hub.repos["me/model"].branches["main"] == before
    assert hub.wrote() == []


def test_a_file_that_the_repository_ignores_is_missed(hub: Hub, desk: Path):
    hub.make("me/home", {".gitignore": b"tokenizer.json\n"})
    outcome = composer(desk, "push", "home", "me/home")
    assert outcome.status == 2
    assert "tokenizer.json did not arrive; look at the repository's .gitignore" in outcome.err


def test_private_and_a_branch(hub: Hub, desk: Path, monkeypatch: pytest.MonkeyPatch):
    well(desk, "push", "home", "me/home", "--private", "--revision", "v2")
    assert hub.repos["me/home"].private
    assert list(hub.files("me/home")) == []
    assert "README.md" in hub.files("me/home", "v2")
    well(desk, "pull", "me/home@v2", "--to", "got")
    outcome = composer(desk, "pull", "me/home", "--revision", "v3")
    assert "there is no such branch, tag or commit" in outcome.err
    commit = hub.repos["me/home"].branches["v2"]
    outcome = composer(desk, "push", "home", "me/home", "--revision", commit)
    assert "is a commit; push to a branch" in outcome.err
    hub.make("me/open")
    outcome = composer(desk, "push", "home", "me/open", "--private")
    assert "is there, and everybody may read it" in outcome.err
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(desk / "no-token"))
    outcome = composer(desk, "pull", "me/home@v2", "--to", "more")
    assert (outcome.status, (desk / "more").exists()) == (2, False)
    assert "or it is private" in outcome.err


FAULTS = {
    ("POST", "/api/repos/create"): {
        401: "log in with `hf auth login`, or set HF_TOKEN",
        403: "the token may not do that there",
        409: "the name is taken",
        500: "the Hub has a fault (status 500)",
    },
    ("POST", "/api/models/me/home/preupload"): {403: "may not do that there", 503: "has a fault"},
    ("POST", "/me/home.git/info/lfs"): {401: "access was denied", 500: "has a fault"},
    ("PUT", "/lfs/"): {403: "access was denied", 500: "the Hub has a fault (status 500)"},
    ("POST", "/api/models/me/home/commit"): {
        412: "somebody else has pushed meanwhile",
        409: "somebody else is at work there",
        502: "has a fault",
    },
}


@pytest.mark.parametrize(
    ("where", "status"), [(where, status) for where, all_ in FAULTS.items() for status in all_]
)
def test_a_push_that_fails_says_why_and_changes_nothing(
    hub: Hub, desk: Path, where: tuple[str, str], status: int
):
    hub.faults[where] = Fault(status, times=100)
    outcome = composer(desk, "push", "home", "me/home")
    assert outcome.status == 2
    assert FAULTS[where][status] in outcome.err
    assert hub.url in outcome.err
    for secret in ("hf_me", "s3cret"):
        assert secret not in outcome.out + outcome.err
    if "me/home" in hub.repos:
        assert hub.files("me/home") == {}


def test_the_token_is_sent_and_never_shown(hub: Hub, desk: Path, monkeypatch: pytest.MonkeyPatch):
    hub.tokens["hf_never_to_be_seen"] = "me"
    monkeypatch.setenv("HF_TOKEN", "hf_never_to_be_seen")
    said = [well(desk, "push", "home", "me/home", "--private", "--json")]
    said.append(well(desk, "pull", "me/home", "--to", "got"))
    assert any("hf_never_to_be_seen" in one.get("authorization", "") for one in hub.headers)
    monkeypatch.setenv("HF_TOKEN", "hf_never_to_be_seen\u20ac")  # no header can hold it
    said.append(composer(desk, "pull", "me/home", "--to", "got"))
    assert said[-1].status == 2
    assert not any("hf_never" in one.out + one.err for one in said)
    stored = b"".join([*files_of(desk).values(), *hub.files("me/home").values()])
    assert b"hf_never" not in stored


def test_without_a_network_the_endpoint_is_named(
    hub: Hub, desk: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    for command in (("pull", "me/home", "--to", "got"), ("push", "home", "me/home")):
        outcome = composer(desk, *command)
        assert outcome.status == 2
        assert "http://127.0.0.1:9 cannot be reached" in outcome.err
        assert "check the network, the proxy and HF_ENDPOINT" in outcome.err
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    end_sessions()
    assert "HF_HUB_OFFLINE is set" in composer(desk, "pull", "me/home", "--to", "got").err


def test_a_bundle_that_answers_something_else_is_neither_pushed_nor_pulled(
    hub: Hub, tmp_path: Path, tiny_folder: Path
):
    def change(values: dict[str, Any]) -> None:
        values["self_test"]["cases"][0]["expected"][0][0] += 0.5

    home, whole = tmp_path / "home", open_bundle(write_parts(tmp_path / "whole", tiny_folder))
    write_some(home, whole, ("one",), tiny_folder, graph_for=("one",))
    well(tmp_path, "push", home, "me/home")
    assert '- "onnx"' in hub.files("me/home")["README.md"].decode()
    assert "self-test: 1 case in float32" in well(tmp_path, "pull", "me/home", "--to", "got").out
    change_manifest(home, change)
    asked = len(hub.asked)
    outcome = composer(tmp_path, "push", home, "me/home")
    assert (outcome.status, len(hub.asked)) == (2, asked)
    assert "self-test: 'turn on the lamp' is off by" in outcome.err
    hub.make("me/home", files_of(home))
    outcome = composer(tmp_path, "pull", "me/home", "--to", "wrong")
    assert (outcome.status, (tmp_path / "wrong").exists()) == (2, False)
    assert f"{hub.url}/me/home: one: self-test: " in outcome.err


@pytest.mark.filterwarnings("ignore")  # model-signing's
def test_a_signature_goes_along_and_is_demanded(hub: Hub, desk: Path):
    write_keys(desk, "who")
    write_keys(desk, "other")
    well(desk, "push", "home", "me/unsigned")
    well(desk, "bundle", "sign", "home", "--key", "who.pem")
    well(desk, "push", "home", "me/home", "--public-key", "who.pub.pem")
    assert "bundle.sig" in hub.files("me/home")
    pull = ("pull", "me/home", "--to", "got", "--public-key")
    outcome = composer(desk, *pull, "other.pub.pem")
    assert outcome.status == 2
    assert "is no signature of it by other.pub.pem" in outcome.err
    assert not (desk / "got").exists()
    assert not (desk / "got.sig").exists()
    assert "signed by who.pub.pem" in well(desk, *pull, "who.pub.pem").out
    well(desk, "bundle", "verify", "got", "--public-key", "who.pub.pem")
    outcome = composer(desk, "pull", "me/unsigned", "--to", "x", "--public-key", "who.pub.pem")
    assert "a signature was asked for, and there is none beside it" in outcome.err
    told = well(desk, "pull", "me/home", "--to", "y.zip").out
    assert "y.sig came with it; whose it is was not asked" in told
    make_bundle(desk / "home", licences={"backbone": "Apache-2.0"})
    asked = len(hub.asked)
    outcome = composer(desk, "push", "home", "me/home")
    assert "home.sig is of another bundle than home; sign it again" in outcome.err
    assert len(hub.asked) == asked
    (desk / "home.sig").unlink()
    assert "removed bundle.sig" in well(desk, "push", "home", "me/home").out
    assert "is not of this bundle" in well(desk, "pull", "me/home", "--to", "got").err


def test_an_adapter_is_pushed_pulled_and_adopted(hub: Hub, ran: Path):
    pushed = well(ran, "push", "task/intent", "me/intent", "--licence", "Apache-2.0")
    assert "pushed to" in pushed.out
    card = hub.files("me/intent")["README.md"].decode()
    assert 'license: "apache-2.0"' in card
    assert "composer adopt RECIPE.yaml task/NAME intent" in card
    theirs = files_of(result(ran, "intent"))
    pulled = well(ran, "pull", "me/intent", "--to", "pulled")
    assert "composer adopt RECIPE.yaml task/NAME pulled" in pulled.out
    assert files_of(ran / "pulled") == theirs
    adopted = well(ran, "adopt", "home.yaml", "task/intent", "pulled", *OTHER)
    assert "other when it was made: settings.training.learning_rate" in adopted.out


def test_no_folder_of_this_machine_goes_with_an_adapter(hub: Hub, ran: Path):
    backbone = f"backbone.path={ran / 'tiny'}"
    well(ran, "run", "home.yaml", "--only", "task/intent", "--set", backbone, *OTHER)
    assert str(ran).encode() in (result(ran, "intent") / "manifest.json").read_bytes()
    well(ran, "push", "task/intent", "me/intent")
    sent = hub.files("me/intent")
    assert str(ran).encode() not in b"".join(sent.values())
    assert b'"path": "tiny"' in sent["manifest.json"]
    well(ran, "pull", "me/intent", "--to", "pulled")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("push", "few-shot", "me/few"), "composer export few-shot --to few-shot"),
        (("push", "nothing", "me/few"), "is called 'nothing'"),
        (("push", "bundle/home", "https://host/x"), "nothing can be pushed there"),
        (("push", "bundle/home", "s3://b/x", "--private"), "--private: s3://b/x has no such thing"),
        (("push", "intent", "me/x", "--public-key", "k"), "only bundles are signed"),
        (("pull", "./home"), "home does not exist; a repository on the Hub is owner/name"),
        (("pull", "tiny"), "say where to: --to PATH"),
        (("pull", "me/home", "--signature", "x"), "without the public key of whom"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_asked(
    hub: Hub, run_project: Path, arguments: tuple[str, ...], said: str
):
    outcome = composer(run_project, *arguments)
    assert outcome.status == 2
    assert said in outcome.err
    assert hub.asked == []


def test_a_bundle_of_the_store_is_pushed_by_its_name(hub: Hub, run_project: Path, tmp_path: Path):
    well(run_project, "push", "bundle/home", "me/home")
    well(tmp_path, "pull", "me/home")
    assert files_of(tmp_path / "home") == files_of(result(run_project, "home", "bundle") / "bundle")


def test_the_endpoint_and_the_token_come_from_the_environment(hub: Hub, desk: Path):
    code = "from composer.cli.main import main; main(['push', 'home', 'me/home', '--json'])"
    environment = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_me", "HF_HOME": str(desk / "hf"),
                   "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(ROOT), "PATH": ""}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=desk, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert set(hub.files("me/home")) == {*files_of(desk / "home"), "README.md"}
    assert done.stderr == ""


def test_an_adapter_is_pulled_into_a_store_and_used_by_its_name(hub: Hub, ran: Path):
    well(ran, "push", "task/intent", "me/intent")
    other = ("--store", "other")
    outcome = well(ran, "pull", "me/intent", "--name", "polite", *other)
    assert "task/polite is in the store; use it by its name" in outcome.out
    assert not (ran / "intent").exists()
    said = well(ran, "predict", "polite", "kitchen lamp on", *other, "--json").json
    own = well(ran, "predict", "task/intent", "kitchen lamp on", "--json").json
    assert said == own
    shown = well(ran, "show", "polite", *other, "--json").json
    assert shown["key"] != result(ran, "intent").name  # no recipe's stage finds it unasked
    plan = well(ran, "plan", "home.yaml", *other, "--json").json
    assert not any(one["state"] == "done" for one in plan["stages"])
    outcome = composer(ran, "pull", "me/intent", "--name", "no name", *other)
    assert "'no name' can be no name here" in outcome.err
    well(ran, "push", "bundle/home", "me/home")
    outcome = composer(ran, "pull", "me/home", "--name", "x", *other)
    assert (outcome.status, "is of kind bundle, and not of kind adapter" in outcome.err) == (
        2,
        True,
    )
