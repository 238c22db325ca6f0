"""`composer bundle`: bundles are verified, looked at, compared and changed by commands."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from composer.bundle.reader import open_bundle
from composer.bundle.writer import pack_bundle
from composer.device.bundle import Bundle
from tests.bundle.content import change_manifest
from tests.bundle.content import make_bundle as make_foreign
from tests.bundle.test_signing import write_keys
from tests.cli.projects import well
from tests.cli.terminal import ROOT, composer
from tests.device.graphed import ALL, files_of, write_parts, write_some

HOME = ("fused", "one", "spans")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """Bundles that are not to be changed."""
    folder = tmp_path_factory.mktemp("shelf")
    whole = open_bundle(write_parts(folder / "whole", tiny_folder))
    for name, precision in (("exact", "float32"), ("small", "int8")):
        write_some(folder / name, whole, HOME, tiny_folder, graph_for=ALL, precision=precision)
    write_some(folder / "narrow", whole, ("one",), tiny_folder, graph_for=("one",))
    write_some(folder / "more", whole, ("mean", "stacked"), tiny_folder)
    pack_bundle(folder / "more", folder / "more.zip")
    return folder


@pytest.fixture
def desk(shelf: Path, tmp_path: Path) -> Path:
    """The same bundles, to be changed."""
    return shutil.copytree(shelf, tmp_path / "desk")


def test_a_bundle_is_verified_with_figures(desk: Path):
    lines = well(desk, "bundle", "verify", "exact").out.splitlines()
    assert lines[0].endswith("s)")
    assert "every byte checked" in lines[0]
    assert lines[1].startswith("self-test: 3 cases in float32, largest difference ")
    assert "allowed 1e-04" in lines[1]
    assert lines[2] == "exact: pass"
    pack_bundle(desk / "small", desk / "small.zip")
    found = well(desk, "bundle", "verify", "small.zip", "--json").json
    assert found["passed"]
    assert found["self_test"]["largest_difference"] == 0.0
    assert (found["self_test"]["cases"], found["self_test"]["allowed"]) == (3, 0.05)
    assert found["bytes"] == sum(len(data) for data in files_of(desk / "small").values())
    found = well(desk, "bundle", "verify", "more", "--json").json
    assert (found["passed"], found["self_test"]) == (True, None)


def test_a_bundle_that_answers_something_else_fails(desk: Path):
    def change(values: dict[str, object]) -> None:
        values["self_test"]["cases"][0]["expected"][0][0] += 0.5  # type: ignore[index]

    change_manifest(desk / "exact", change)
    outcome = composer(desk, "bundle", "verify", "exact")
    assert outcome.status == 2
    assert "fused: self-test: 'turn on the lamp' is off by" in outcome.err
    assert outcome.out == ""
    outcome = composer(desk, "bundle", "verify", "exact", "--json")
    assert (outcome.status, outcome.json["passed"]) == (2, False)
    assert "allowed is 1e-04" in outcome.json["fault"]


@pytest.mark.filterwarnings("ignore")  # model-signing's
def test_the_password_of_a_key_comes_from_the_environment_and_is_never_shown(
    desk: Path, monkeypatch: pytest.MonkeyPatch
):
    write_keys(desk, "locked", password="correct horse")
    sign = ("bundle", "sign", "exact", "--key", "locked.pem")
    outcome = composer(desk, *sign)
    assert outcome.status == 2
    assert "locked.pem is encrypted" in outcome.err
    assert "set COMPOSER_KEY_PASSWORD" in outcome.err
    for password, status in (("wrong horse", 2), ("correct horse", 0)):
        monkeypatch.setenv("COMPOSER_KEY_PASSWORD", password)
        outcome = composer(desk, *sign)
        assert outcome.status == status
        assert "horse" not in outcome.out + outcome.err
    assert well(desk, "bundle", "verify", "exact", "--public-key", "locked.pub.pem").out


def test_a_link_is_read_through_and_never_written_through(desk: Path):
    (desk / "current").symlink_to("exact")
    assert "pass" in well(desk, "bundle", "verify", "current").out
    outcome = composer(desk, "bundle", "remove", "current", "one")
    assert outcome.status == 2
    assert "current is a symbolic link; change the bundle that it leads to" in outcome.err
    assert (desk / "current").is_symlink()


def test_a_damaged_bundle_fails(desk: Path):
    part = desk / "exact" / "parts" / "one.head.safetensors"
    part.write_bytes(part.read_bytes()[:-1] + b"\x7f")
    outcome = composer(desk, "bundle", "verify", "exact")
    assert outcome.status == 2
    assert "one.head.safetensors is damaged" in outcome.err


@pytest.mark.filterwarnings("ignore")  # model-signing's
def test_a_bundle_is_signed_and_then_verified_by_its_key(desk: Path):
    write_keys(desk, "who")
    write_keys(desk, "other")
    verify = ("bundle", "verify", "exact", "--public-key")
    outcome = composer(desk, *verify, "who.pub.pem")
    assert outcome.status == 2
    assert "a signature was asked for" in outcome.err
    told = well(desk, "bundle", "sign", "exact", "--key", "who.pem").out
    assert "signed by who.pub.pem" in well(desk, *verify, "who.pub.pem").out
    assert composer(desk, *verify, "other.pub.pem").status == 2
    command = told.splitlines()[-1].replace("PUBLIC.pem", "who.pub.pem").split()
    assert command[:3] == ["model_signing", "verify", "key"]
    run = subprocess.run([sys.executable, "-m", *command], cwd=desk, capture_output=True)
    assert run.returncode == 0
    assert Bundle.open(desk / "exact", public_key=desk / "who.pub.pem").compositions == HOME
    warned = well(desk, "bundle", "remove", "exact", "one").err
    assert "exact.sig is of the bundle as it was; sign it again" in warned
    assert composer(desk, *verify, "who.pub.pem").status == 2


def test_all_that_a_bundle_says_is_told(desk: Path):
    found = well(desk, "bundle", "inspect", "small", "--json").json
    assert set(found["compositions"]) == set(HOME)
    assert found["graphs"]["graph"]["precision"] == "int8"
    assert found["parts"]["relu"]["used_by"] == ["fused", "one"]
    tokens = found["frozen"]["token embeddings"]
    assert tokens["float32_bytes"] == 4 * tokens["parameters"]
    # A byte a number, and a scale of four bytes a row of 32.
    assert tokens["bytes"] == tokens["parameters"] * (1 + 4 / 32)
    assert found["frozen"]["backbone"]["bytes"] == (desk / "small/graph.safetensors").stat().st_size
    assert found["licences"]["part/relu"] == "MIT"
    lines = well(desk, "bundle", "inspect", "small").out.splitlines()
    for name in (*HOME, "relu", "token embeddings", "fuse(relu, mid2, none)", "part/relu"):
        assert any(name in line for line in lines), name
    assert "graphs" in well(desk, "bundle", "inspect", "more.zip").out


def test_a_score_of_the_graph_stands_beside_that_of_float32(desk: Path):
    def change(values: dict[str, list[dict[str, object]]]) -> None:
        first = next(one for one in values["scores"] if one["composition"] == "one")
        values["scores"].append({**first, "value": 0.48, "precision": "int8"})

    change_manifest(desk / "small", change)
    table = well(desk, "bundle", "inspect", "small").rows
    head = next(row for row in table if row and row[0] == "scores")
    assert [cell.strip() for cell in head[-3:]] == ["float32", "int8", "points"]
    row = next(row for row in table if len(row) == len(head) and row[0] == "one")
    assert [cell.strip() for cell in row[-3:]] == ["0.500", "0.480", "-2.0"]


def test_bundles_are_compared_and_the_status_says_whether_they_differ(desk: Path):
    outcome = composer(desk, "bundle", "diff", "more", "more.zip")
    assert (outcome.status, outcome.out) == (0, "more and more.zip are the same\n")
    assert composer(desk, "bundle", "diff", "more", "more.zip", "--json").json["equal"]
    outcome = composer(desk, "bundle", "diff", "exact", "small")
    assert outcome.status == 1
    assert "precision: float32 -> int8" in outcome.out
    found = composer(desk, "bundle", "diff", "exact", "more", "--json")
    assert found.status == 1
    told = {(one["section"], one["name"]): one["what"] for one in found.json["changes"]}
    assert told["composition", "mean"] == "added"
    assert told["composition", "one"] == "removed"
    assert told["graph", "graph"] == "removed"
    assert composer(desk, "bundle", "diff", "exact", "nothing").status == 2


@pytest.mark.parametrize("zipped", [False, True])
def test_compositions_come_without_the_backbone_and_go_again(desk: Path, zipped: bool):
    target = "exact"
    if zipped:
        target = "exact.zip"
        pack_bundle(desk / "exact", desk / target)
    before = (desk / target).read_bytes() if zipped else files_of(desk / target)
    outcome = well(desk, "bundle", "add", target, "more.zip")
    assert outcome.out.startswith(f"{target}: added mean, stacked (+")
    assert "mean: self-test within" in outcome.out
    bundle = Bundle.open(desk / target)
    assert bundle.compositions == tuple(sorted(ALL))
    assert bundle.self_test() < 1e-5
    assert bundle.manifest.compositions["mean"].graph == "graph"
    found = well(desk, "bundle", "remove", target, "mean", "stacked", "--json").json
    assert set(found["removed"]) >= {"mean", "stacked", "mean.head", "low"}
    assert ((desk / target).read_bytes() if zipped else files_of(desk / target)) == before


def test_what_is_added_to_an_int8_bundle_is_taken_down_as_its_graph_answers(desk: Path):
    outcome = well(desk, "bundle", "add", "small", "more", "--composition", "mean")
    assert "warning: mean was not scored in int8; its scores are float32's" in outcome.err
    bundle = Bundle.open(desk / "small")
    (case,) = [one for one in bundle.manifest.self_test.cases if one.composition == "mean"]
    assert case.by_graph is not None
    assert case.by_graph != case.expected
    assert bundle.self_test() == 0.0
    assert "stacked" not in bundle.compositions


def test_parts_are_added_to_parts(desk: Path):
    well(desk, "bundle", "add", "more", "whole")
    assert set(open_bundle(desk / "more").manifest.compositions) == set(ALL)


def test_adding_again_changes_nothing(desk: Path):
    well(desk, "bundle", "add", "exact", "more")
    before = files_of(desk / "exact")
    outcome = well(desk, "bundle", "add", "exact", "more")
    assert outcome.out == "exact: holds all of it already; nothing was changed\n"
    assert files_of(desk / "exact") == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "narrow", "more"), "no graph of it can run"),
        (("add", "exact", "more", "--composition", "men"), "did you mean 'mean'"),
        (("add", "exact", "foreign"), "was made for another backbone"),
        (("add", "exact", "lying"), "nothing was added"),
        (("add", "exact", "nothing"), "does not exist"),
        (("remove", "exact", "on"), "no composition 'on'; did you mean 'one'"),
        (("remove", "exact", *HOME), "would leave nothing to ask for"),
        (("unpack", "more", "--to", "assets"), "holds parts only"),
        (("unpack", "exact", "--to", "more"), "is there; give a name that is free"),
        (("sign", "exact", "--key", "nobody.pem"), "nobody.pem cannot be read"),
    ],
)
def test_what_cannot_be_done_changes_nothing(desk: Path, arguments: tuple[str, ...], message: str):
    make_foreign(desk / "foreign")
    shutil.copytree(desk / "more", desk / "lying")

    def change(values: dict[str, object]) -> None:
        values["self_test"]["cases"][0]["expected"][0][0] += 1  # type: ignore[index]

    change_manifest(desk / "lying", change)
    before = files_of(desk)
    outcome = composer(desk, "bundle", *arguments)
    assert outcome.status == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    assert files_of(desk) == before


def test_a_bundle_is_unpacked(desk: Path):
    found = well(desk, "bundle", "unpack", "exact", "--to", "app/assets", "--json").json
    assert found["files"] == sorted(files_of(desk / "app" / "assets"))
    assert {"graph.onnx", "graph.safetensors", "tokenizer.json"} < set(found["files"])
    for name in HOME:
        assert {f"{name}.onnx_adapter", f"{name}.safetensors"} < set(found["files"])
        about = json.loads((desk / "app" / "assets" / f"{name}.json").read_text())
        assert about["graph"] == "graph.onnx"


def test_none_of_it_imports_torch(desk: Path):
    code = (
        "import sys\nfrom composer.cli.main import main\n"
        "for words in ('verify exact', 'inspect exact', 'diff exact more', 'add exact more',\n"
        "              'remove exact mean', 'unpack exact --to assets'):\n"
        "    try:\n"
        "        main(['bundle', *words.split()])\n"
        "    except SystemExit as done:\n"
        "        assert done.code == (words.startswith('diff')), words\n"
        "heavy = {'torch', 'transformers', 'adapters', 'datasets', 'onnx', 'sklearn', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=desk,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", ["verify", "inspect", "diff", "add", "remove", "sign", "unpack"])
def test_the_help_of_each_shows_a_command(name: str):
    lines = composer(ROOT, "bundle", name, "--help").out.splitlines()
    assert any(line.strip().startswith(f"composer bundle {name} ") for line in lines)
