"""Names and values that are wrong on the command line: each is named, with the nearest."""

import re
from pathlib import Path

import pytest

from tests.cli.projects import COLUMNS, ON_TINY, STORE
from tests.cli.terminal import composer, published

TRAIN = ("train-task", "own", *ON_TINY, "--data", "train.csv", *COLUMNS)
FUSE = ("fuse", "intent", "domain", "--task", "intent", "--name", "mix")
HERE = "command line: "

NAMES = [
    (
        ("fuse", "intnt", "domian", "--task", "inten", "--name", "mix"),
        rf"^{HERE}nothing in \.composer is called 'intnt'; did you mean 'intent'\?\n"
        rf"{HERE}nothing in \.composer is called 'domian'; did you mean 'domain'\?\n"
        rf"{HERE}nothing in \.composer is called 'inten'; did you mean 'intent'\?$",
    ),
    (("evaluate", "fwe"), rf"^{HERE}nothing in \.composer is called 'fwe'; did you mean 'few'\?$"),
    (("export", "fwe", "--to", "box"), "'fwe'; did you mean 'few'"),
    (("predict", "fwe", "x"), r"^SOURCE \(no such file or folder\): .* did you mean 'few'\?$"),
    (("fuse", "intent", "--task", "intent", "--name", "mix"), "fuse of one member, intent"),
    (("fuse", "intent", "intent", "--task", "intent", "--name", "mix"), "intent stands twice"),
    ((*FUSE[:-1], "9 lives"), r"compositions\.'9 lives': must be a name: a letter, then"),
    ((*FUSE[:-1], "none"), "'none' has a meaning in compositions"),
    ((*FUSE[:-1], "intent"), "'intent' is a task too; give one of them another name"),
    ((*TRAIN, "--over", "de"), "nothing in .composer is called 'de'"),
    (("export", "few", "few", "--to", "box"), r"'few' is given twice"),
    (("trian-task",), "Error: no command 'trian-task'; did you mean 'train-task'"),
    (("train-task", "x", "--backbon", "y"), "No such option '--backbon'. Did you mean"),
]

VALUES = [
    ((*TRAIN, "--type", "text-clasification"), "did you mean 'text-classification'"),
    ((*TRAIN, "--adapter", "madaptr"), "did you mean 'madapter'"),
    ((*TRAIN, "--language", "english"), "must be a language tag such as 'de' or 'zh-CN'"),
    ((*TRAIN, "--labels", "on,on"), r"tasks\.own\.labels\[1\]: 'on' is given twice"),
    ((*TRAIN, "--labels", "on"), "a classifier needs two labels, and 'on' is all there is"),
    ((*TRAIN, "--examples", "0"), r"tasks\.own\.examples: must be at least 1, not 0"),
    ((*TRAIN, "--examples", "few"), "'few' is not a valid integer"),
    ((*TRAIN, "--store", "train.csv"), "Directory 'train.csv' is a file"),
    ((*TRAIN, "--tracker", "tensorbord"), r"^--tracker: unknown 'tensorbord'; .*tensorboard"),
    ((*FUSE, "--how", "fusse"), "'fusse' is not one of 'fuse', 'gate', 'average'"),
    (("evaluate", "few", "--split", "tset"), "'tset' is not one of 'train', 'validation', 'test'"),
    (("evaluate", "few", "--language", "e"), "must be a language tag"),
    (("predict", "few", "a", "b", "--pair", "c"), "--pair: 1 for 2 texts; give one for each"),
]

CHANGES = [
    ("adapters.tsk.width=4", r"there is no adapters\.tsk; did you mean 'task'\?"),
    ("adapters.task.widht=4", r"adapters\.task\.widht: unknown key; did you mean 'width'\?"),
    ("training.epoch=1", r"training\.epoch: unknown key; did you mean 'epochs'\?"),
    ("trainin.epochs=1", r"trainin: unknown key; did you mean 'training'\?"),
    ("training.epochs=0", r"training\.epochs: must be at least 1, not 0"),
    ("training.epochs=one", r"training\.epochs: must be a whole number, not 'one'"),
    ("training.epochs=[1", r"is missing"),
    ("training=3", r"training: must be a mapping, not 3"),
    ("training.epochs", r"write key=value, with dots between keys"),
    ("=3", r"write key=value, with dots between keys"),
    ("tasks.own.pooling=men", r"must be 'mean' or 'first', not 'men'; did you mean 'mean'\?"),
    ("adapters.task.width=999", r"adapters\.task\.width: must be at most 32, the backbone's"),
    ("adapters.task.leave_out=[7]", r"the backbone has the layers 0 to 1, and no 7"),
]

BACKBONES = [
    ("folder:tny", r"^composer: backbone\.path: .*tny is not a folder; give the folder that"),
    ("folder:.", r"config\.json"),
    ("sample:multilingual-e5-smal", r"did you mean 'multilingual-e5-small'\?"),
    ("sample:", r"no sample backbone is called ''; known: "),
    ("tiny", r"^--backbone: 'tiny' is no backbone; write sample:NAME, folder:PATH or hub:"),
    ("hub:owner/name", r"backbone\.revision: must be a full commit of 40 hexadecimal digits"),
    ("hub:owner/name@main", r"must be a full commit .* a branch may move, not 'main'"),
]


def refused(folder: Path, fault: str, *arguments: str) -> None:
    before = published(folder / STORE)
    outcome = composer(folder, *arguments)
    assert outcome.status == 2
    assert outcome.out == ""
    assert re.search(fault, outcome.err, re.MULTILINE), outcome.err
    assert published(folder / STORE) == before


# What is refused here is refused before anything is made, so one project serves all.
@pytest.mark.parametrize(("arguments", "fault"), [*NAMES, *VALUES])
def test_what_is_wrong_is_named(trained_project: Path, arguments: tuple[str, ...], fault: str):
    refused(trained_project, fault, *arguments)


@pytest.mark.parametrize(("change", "fault"), CHANGES)
def test_a_change_that_cannot_be_made_is_named(trained_project: Path, change: str, fault: str):
    refused(trained_project, fault, *TRAIN, "--set", change)


@pytest.mark.parametrize("command", [TRAIN, ("predict", "few", "x")], ids=["train", "predict"])
@pytest.mark.parametrize(("backbone", "fault"), BACKBONES)
def test_a_backbone_that_is_not_there_is_named(
    trained_project: Path, command: tuple[str, ...], backbone: str, fault: str
):
    refused(trained_project, fault, *command, "--backbone", backbone)


def test_training_needs_a_backbone(trained_project: Path):
    without = [one for one in TRAIN if one not in ON_TINY]
    refused(trained_project, "give the backbone, for example --backbone sample:", *without)


def test_two_things_of_one_name_must_be_told_apart(project: Path):
    outcome = composer(project, "run", "home.yaml", "--only", "task/intent")
    assert outcome.status == 0, outcome.err
    fault = (
        r"'intent' may mean several things; say which: command-line/task/intent, home/task/intent"
    )
    refused(project, fault, "evaluate", "intent")
    (found,) = composer(project, "evaluate", "home/intent", "--json").json
    assert found["language"] == "en"


def test_an_adapter_of_another_backbone_is_refused(project: Path):
    from tests.tiny import write_tiny_backbone

    write_tiny_backbone(project / "other", seed=1)
    refused(
        project,
        r"^composer: backbone: its fingerprint is \w+ .*, the stored adapters were trained on",
        *FUSE,
        *("--backbone", "folder:other"),
    )


def test_a_stage_that_fails_leaves_nothing_to_be_cleaned_up(project: Path):
    refused(project, "is not a folder", "predict", "few", "x", "--backbone", "folder:tny")
    assert not list((project / STORE / "work").iterdir())
