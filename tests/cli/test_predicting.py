"""What `predict` and `export` refuse, and how other types of task are written."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bundle.content import change_manifest, put_part
from tests.cli.projects import ON_TINY, SHORT, STORE, well
from tests.cli.terminal import Outcome, composer
from tests.tiny import write_tiny_backbone

TEXT = "turn on the lamp"
PREDICT = ("predict", "box", *ON_TINY)


@pytest.fixture(scope="module")
def boxed_project(trained_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a bundle, as a folder and as a zip; not to be changed."""
    folder = shutil.copytree(trained_project, tmp_path_factory.mktemp("boxed") / "project")
    well(folder, "export", "few", "--to", "box")
    well(folder, "export", "few", "--to", "few.zip")
    return folder


@pytest.fixture
def boxed(boxed_project: Path, tmp_path: Path) -> Path:
    """A project with a bundle, as a folder and as a zip."""
    return shutil.copytree(boxed_project, tmp_path / "project")


def refused(outcome: Outcome, fault: str) -> None:
    assert outcome.status == 2
    assert outcome.out == ""
    assert re.search(fault, outcome.err, re.MULTILINE), outcome.err


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def own_files(project: Path) -> dict[Path, bytes]:
    """Give every file of a project but those of its store."""
    files = [path for path in project.rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in files if STORE not in path.parts}


@pytest.mark.parametrize("source", ["box", "few.zip"])
def test_another_backbone_of_the_same_shapes_is_refused_by_its_first_tensor(
    boxed: Path, source: str
):
    write_tiny_backbone(boxed / "other", seed=1)
    outcome = composer(boxed, "predict", source, "--backbone", "folder:other", TEXT)
    refused(
        outcome,
        rf"^composer: {source} was made for another backbone \(tiny, folder, body \w+\): "
        r"the tensor 'embeddings\.LayerNorm\.bias' differs$",
    )


def test_a_bundle_for_a_backbone_in_a_folder_asks_where_it_is(boxed: Path):
    fault = r"^--backbone: box was made for the backbone 'tiny', .* --backbone folder:PATH$"
    refused(composer(boxed, "predict", "box", TEXT), fault)


@pytest.mark.parametrize("at", [-1, 40])
@pytest.mark.parametrize(
    "file", ["manifest.json", "backbone.json", "tokenizer.json", "parts/few.safetensors"]
)
def test_a_changed_byte_in_a_folder_is_found(boxed: Path, file: str, at: int):
    flip(boxed / "box" / file, at)
    refused(composer(boxed, *PREDICT, TEXT), r"^composer: box.*")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_a_changed_byte_in_a_zip_is_found(boxed: Path, share: float):
    path = boxed / "few.zip"
    flip(path, int(share * path.stat().st_size))
    refused(composer(boxed, "predict", "few.zip", *ON_TINY, TEXT), r"^composer: few\.zip")


def no_traceback(outcome: Outcome) -> None:
    assert "Traceback" not in outcome.err
    assert outcome.err.replace("\n", "").isprintable()


RESEALED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "width": (
        lambda values: values["parts"]["intent"]["config"].update(width=5),
        r"box: manifest\.json: parts\.intent: config: tensor '0\.attention\.down' has the shape",
    ),
    "members": (
        lambda values: values["compositions"]["few"].update(
            expression="fuse(intent, domain, none)"
        ),
        "the mixers fuse of 3, its parts of the kind fusion have fuse of 2",
    ),
    "path": (
        lambda values: values["parts"]["intent"].update(file="../train.csv"),
        r"its file must be 'parts/intent\.safetensors', not '\.\./train\.csv'",
    ),
    "label": (
        lambda values: values["compositions"]["few"]["labels"].append("\x1b[2J"),
        "4 labels of a text-classification need a head of 4 rows, not 3",
    ),
    "key": (lambda values: values.update({"\x1b[2J" * 100: 1}), r"\\x1b\[2J.*Extra inputs are not"),
    "tokens": (
        lambda values: values["backbone"].update(max_tokens=2**20),
        "max_tokens 1048576: the backbone takes at most 64",
    ),
    "layers": (lambda values: values["backbone"].update(layers=3), "'2.attention.down' is missing"),
    "name": (
        lambda values: values["backbone"].update(source="hub", name="../x", revision="0" * 40),
        r"backbone\.name: '\.\./x' is not a name",
    ),
    "future": (
        lambda values: values.update(format=4),
        "format 4 was made by a later composer; this one reads format 3: upgrade",
    ),
}


@pytest.mark.parametrize(("change", "fault"), RESEALED.values(), ids=RESEALED)
def test_a_bundle_that_was_changed_and_sealed_again_is_refused(
    boxed: Path, change: Callable[[dict[str, Any]], object], fault: str
):
    change_manifest(boxed / "box", change)
    before = own_files(boxed)
    outcome = composer(boxed, *PREDICT, TEXT)
    refused(outcome, fault)
    no_traceback(outcome)
    assert own_files(boxed) == before


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_an_answer_that_is_no_number_is_refused(boxed: Path, form: tuple[str, ...]):
    path = boxed / "box" / "parts" / "few.head.safetensors"
    data = path.read_bytes()
    length = 8 + int.from_bytes(data[:8], "little")
    count = (len(data) - length) // 4
    put_part(boxed / "box", "few.head", data[:length] + np.full(count, 3e38, "<f4").tobytes())
    outcome = composer(boxed, *PREDICT, TEXT, *form)
    refused(outcome, r"^composer: box: few: its answer is nan, no number; its weights are finite")
    no_traceback(outcome)


def test_what_is_no_folder_and_no_file_is_refused(boxed: Path):
    os.mkfifo(boxed / "pipe.zip")
    outcome = composer(boxed, "predict", "pipe.zip", *ON_TINY, TEXT)
    refused(outcome, r"^composer: pipe\.zip is not a file")
    no_traceback(outcome)


@pytest.mark.parametrize(("link", "bundle"), [("current", "box"), ("current.zip", "few.zip")])
def test_a_link_to_a_bundle_is_followed(boxed: Path, link: str, bundle: str):
    (boxed / link).symlink_to(boxed / bundle)
    linked = composer(boxed, "predict", link, *ON_TINY, TEXT)
    assert linked == composer(boxed, "predict", bundle, *ON_TINY, TEXT)
    assert linked.status == 0


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        ("parts/few.head.safetensors", "'parts/few.head.safetensors' is missing"),
        ("manifest.json", "box is no bundle: it has no manifest.json"),
    ],
)
def test_a_missing_file_is_named(boxed: Path, file: str, fault: str):
    (boxed / "box" / file).unlink()
    refused(composer(boxed, *PREDICT, TEXT), fault)


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("nothing.zip", r"nothing\.zip does not exist, or cannot be read"),
        ("train.csv", r"train\.csv: no zip"),
        ("tiny", r"tiny is no bundle: it has no manifest\.json"),
        ("nothing", r"^SOURCE \(no such file or folder\): nothing in \.composer is called"),
    ],
)
def test_what_is_no_bundle_is_named(trained_project: Path, source: str, fault: str):
    refused(composer(trained_project, "predict", source, TEXT), fault)


@pytest.mark.parametrize(
    ("texts", "stdin", "fault"),
    [
        ((), b"", r"^TEXTS: no texts; give them on the command line, or one a line on standard"),
        (("",), b"", r"^text 1: the text is empty$"),
        ((TEXT, " "), b"", r"^text 2: the text is empty$"),
        ((), b"a\n\nb\n", r"^standard input:2: the text is empty$"),
        (
            (),
            b"a\nb \xff\nc\n\xc3\n",
            r"^standard input:2: byte 0xff is not UTF-8; give the texts as UTF-8\n"
            r"standard input:4: byte 0xc3 is not UTF-8",
        ),
        (("lamp " * 80,), b"", r"^text 1: 82 tokens, and the backbone takes 64"),
        ((), b"a\n" + b"lamp " * 80, r"^standard input:2: 82 tokens"),
    ],
)
def test_texts_that_cannot_be_read_are_named(
    boxed: Path, texts: tuple[str, ...], stdin: bytes, fault: str
):
    refused(composer(boxed, *PREDICT, *texts, stdin=stdin), fault)


def test_a_text_that_is_too_long_is_cut_where_that_is_asked_for(boxed: Path):
    (found,) = well(boxed, *PREDICT, "--truncate", "lamp " * 80, "--json").json
    assert found["prediction"] in ("on", "off", "up")


def test_a_bundle_of_several_asks_which(project: Path):
    well(project, "export", "few", "intent", "--to", "box")
    fault = "^--composition: the bundle holds few, intent; say which$"
    refused(composer(project, *PREDICT, TEXT), fault)
    fault = "box: no composition 'fwe'; did you mean 'few'"
    refused(composer(project, *PREDICT, TEXT, "--composition", "fwe"), fault)


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        ("tiny", r"tiny is there, and is no bundle: .* it has no manifest\.json"),
        ("train.csv", r"train\.csv is there, and is no folder; give another name"),
        ("some.zip", r"some\.zip is there, and is no zipped bundle"),
        ("full", r"full is there, and is no bundle"),
    ],
)
def test_an_export_replaces_nothing_but_a_bundle(project: Path, target: str, fault: str):
    (project / "some.zip").write_bytes(b"mine")
    (project / "full").mkdir()
    (project / "full" / "manifest.json").write_text("{}")
    before = own_files(project)
    refused(composer(project, "export", "few", "--to", target), fault)
    assert own_files(project) == before


def test_an_export_replaces_a_bundle_even_a_damaged_one(boxed: Path):
    before = (boxed / "box" / "parts" / "few.safetensors").read_bytes()
    flip(boxed / "box" / "parts" / "few.safetensors", -1)
    well(boxed, "export", "few", "--to", "box")
    assert (boxed / "box" / "parts" / "few.safetensors").read_bytes() == before
    well(boxed, "export", "intent", "--to", "box")
    assert {path.name for path in (boxed / "box" / "parts").iterdir()} == {
        "intent.head.safetensors",
        "intent.safetensors",
    }


def test_spans_numbers_and_pairs_are_predicted(fresh: Path):
    spans, numbers, pairs = [], ["text,label"], ["first,second,same"]
    for number in range(40):
        room = ("kitchen", "bedroom")[number % 2]
        text = f"turn on the lamp in the {room} {number}"
        start = text.index(room)
        span = {"start": start, "end": start + len(room), "label": "area"}
        spans.append(json.dumps({"text": text, "spans": [span]}))
        numbers.append(f"{text},{number % 7}.5")
        pairs.append(f"{text},kitchen,{'yes' if number % 2 else 'no'}")
    (fresh / "slots.jsonl").write_text("\n".join(spans) + "\n")
    (fresh / "warmth.csv").write_text("\n".join(numbers) + "\n")
    (fresh / "pairs.csv").write_text("\n".join(pairs) + "\n")
    train = (*ON_TINY, *SHORT, "--set", "training.epochs=1")
    longer = [
        one
        for change in ("epochs=30", "batch_tokens=64", "learning_rate=1e-2", "dropout=false")
        for one in ("--set", f"training.{change}")
    ]
    well(fresh, "train-task", "slots", "--type", "token-classification",
         "--data", "slots.jsonl", *train, *longer)  # fmt: skip
    well(fresh, "train-task", "warmth", "--type", "regression", "--data", "warmth.csv", *train)
    well(fresh, "train-task", "pairs", "--data", "pairs.csv", "--text", "first",
         "--pair", "second", "--label", "same", *train)  # fmt: skip

    text = "turn on the lamp in the kitchen 3"
    (found,) = well(fresh, "predict", "slots", text, "--json").json
    (span,) = found["prediction"]
    assert (span["label"], text[span["start"] : span["end"]]) == ("area", "kitchen")
    assert well(fresh, "predict", "slots", text).rows[1][0] == "area='kitchen'"

    (found,) = well(fresh, "predict", "warmth", text, "--json").json
    assert isinstance(found["prediction"], float)
    assert found["confidence"] is None

    (found,) = well(fresh, "predict", "pairs", text, "--pair", "kitchen", "--json").json
    assert found["prediction"] in ("yes", "no")
    (scored,) = well(fresh, "evaluate", "pairs", "--data", "pairs.csv", "--text", "first",
                     "--pair", "second", "--label", "same", "--json").json  # fmt: skip
    assert scored["n"] == 40


def test_a_task_over_a_language_is_bound_to_it(fresh: Path):
    (fresh / "de.txt").write_text("".join(f"turn it on in room {n}\n" for n in range(40)))
    train = (*ON_TINY, *SHORT, "--set", "training.epochs=1")
    told = well(fresh, "train-language", "de", "--data", "de.txt", *train).out
    assert "held-out loss " in told
    well(fresh, "train-task", "intent", "--over", "de", "--language", "de", "--data", "de.csv",
         "--text", "utterance", "--label", "intent", *train)  # fmt: skip
    fault = r"intent holds \$language; add what it is bound to, .* or --language"
    refused(composer(fresh, "predict", "intent", TEXT), fault)
    assert well(fresh, "predict", "intent", TEXT, "--language", "de", "--json").json
    (scored,) = well(fresh, "evaluate", "intent", "--json").json
    assert scored["language"] == "de"
    well(fresh, "export", "intent", "--to", "box", "--language", "de")
    assert well(fresh, *PREDICT, TEXT, "--composition", "de > intent", "--json").json
