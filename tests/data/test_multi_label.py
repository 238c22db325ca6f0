"""Several labels a text: how files write them, what is refused, and one of them alone."""

from pathlib import Path

import numpy as np
import pytest

from composer.data.encode import Encoded
from composer.data.examples import Example
from composer.data.predictions import plain_value, read_logits, value_of
from composer.data.sources import read_examples
from composer.data.tasks import check_examples, choose_examples, label_set
from composer.errors import DataError
from composer.recipe.grammar.data import FileData, SampleData, Split
from composer.recipe.grammar.tasks import TaskType
from tests.data.files import faults_of, read, write, write_parquet

SEVERAL: TaskType = "multi-label-classification"


def labels_in(folder: Path, name: str) -> list[object]:
    return [example.label for example in read(folder, name, type=SEVERAL)]


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("area|name", ("area", "name")),
        ("name | area", ("area", "name")),
        ("area", ("area",)),
        ("", ()),
        ("  ", ()),
        ('"[""name"", ""area""]"', ("area", "name")),
        ("[]", ()),
        ('"[""a|b""]"', ("a|b",)),
        ("007|1.0", ("007", "1.0")),
    ],
)
def test_a_cell_of_text_has_a_bar_between_labels_or_is_json(
    tmp_path: Path, cell: str, labels: tuple[str, ...]
):
    write(tmp_path, "a.csv", f"text,label\nhi,{cell}\n")
    assert labels_in(tmp_path, "a.csv") == [labels]


def test_json_lines_have_lists(tmp_path: Path):
    lines = ['{"text": "a", "label": ["y", "x"]}', '{"text": "b", "label": [7, true]}']
    write(tmp_path, "a.jsonl", "\n".join([*lines, '{"text": "c", "label": []}']))
    assert labels_in(tmp_path, "a.jsonl") == [("x", "y"), ("7", "true"), ()]


def test_parquet_has_lists(tmp_path: Path):
    write_parquet(tmp_path, text=["a", "b"], label=[["y", "x"], []])
    assert labels_in(tmp_path, "a.parquet") == [("x", "y"), ()]


def test_classes_stored_as_numbers_come_back_by_name(tmp_path: Path):
    import datasets

    classes = datasets.List(datasets.ClassLabel(names=["no", "go"]))
    features = {"text": datasets.Value("string"), "label": classes}
    write_parquet(tmp_path, features, text=["a", "b"], label=[[1, 0], []])
    assert labels_in(tmp_path, "a.parquet") == [("go", "no"), ()]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ('{"text": "a", "label": null}', "the labels are missing"),
        ('{"text": "a"}', "the labels are missing"),
        (
            '{"text": "a", "label": 7}',
            '\'label\' must be a list of labels like ["a", "b"] or a|b, not 7',
        ),
        (
            '{"text": "a", "label": [["x"]]}',
            '\'label\' must be a list of labels like ["a", "b"] or a|b, not "[[\'x\']]"',
        ),
        ('{"text": "a", "label": ["x", "x"]}', "the label 'x' is there twice"),
        ('{"text": "a", "label": ["x", " "]}', "the label is missing"),
        ('{"text": "a", "label": "x||y"}', "the label is missing"),
        ('{"text": "a", "label": "[x]"}', "'label' must be a list of labels"),
    ],
)
def test_what_is_no_list_of_labels_is_refused_with_its_row(tmp_path: Path, row: str, fault: str):
    write(tmp_path, "a.jsonl", '{"text": "good", "label": ["x"]}\n' + row)
    (found,) = faults_of(lambda: read(tmp_path, "a.jsonl", type=SEVERAL))
    assert found.startswith(f"a.jsonl:2: {fault}")


def several(*labels: str) -> Example:
    return Example(text="hi", label=labels, place="a.csv:7")


def test_the_label_set_is_of_all_labels():
    assert label_set([several("b", "a"), several(), several("c")], type=SEVERAL) == ("a", "b", "c")


@pytest.mark.parametrize(
    ("example", "fault"),
    [
        (several("nme"), "training never saw the label 'nme'; did you mean 'name'?"),
        (Example(text="hi", place="a.csv:7"), "the labels are missing"),
        (Example(text="hi", label="name", place="a.csv:7"), "'name' is no list of labels"),
    ],
)
def test_labels_that_cannot_be_scored_are_refused(example: Example, fault: str):
    def check() -> None:
        check_examples([example], type=SEVERAL, labels=("area", "name"), split="test")

    assert faults_of(check) == [f"a.csv:7: {fault}"]


@pytest.mark.parametrize(
    ("logits", "value", "confidence"),
    [
        ([0.01, -0.01, 5.0], ("area", "name"), 0.5025),
        ([-3.0, -2.0, -4.0], (), 0.8808),
        ([0.0, 3.0, -3.0], ("floor",), 0.5),
    ],
)
def test_what_is_likelier_than_not_is_predicted(
    logits: list[float], value: tuple[str, ...], confidence: float
):
    example, row = Example(text="hi"), Encoded(ids=[1], type_ids=[0], special=[0], offsets=[])
    labels = ("area", "floor", "name")
    found = read_logits(np.array(logits), example, row, type=SEVERAL, labels=labels)
    assert found.value == value
    assert found.confidence == pytest.approx(confidence, abs=1e-4)
    assert value_of(plain_value(found.value)) == found.value


def test_no_label_at_all_is_a_fair_example():
    check_examples([several(), several("a")], type=SEVERAL, labels=("a",), split="train")


@pytest.mark.parametrize(
    ("examples", "said"), [([several("a"), several("a")], "'a'"), ([several()], "none")]
)
def test_training_must_teach_something(examples: list[Example], said: str):
    with pytest.raises(DataError, match=f"every example has the same labels, {said}; there is"):
        check_examples(examples, type=SEVERAL, labels=("a",), split="train")


def test_a_few_examples_have_every_label():
    examples = [
        Example(text=f"text {number}", label=("a", "b", "rare")[number == 99 : 2 + (number == 99)])
        for number in range(100)
    ]
    chosen = choose_examples(examples, 3, seed=1)
    assert {label for at in chosen for label in examples[at].label or ()} == {"a", "b", "rare"}  # type: ignore[union-attr]


def one_label(folder: Path, label: str, split: Split = "train") -> list[Example]:
    source = FileData(source="files", path="a.csv", label=label)
    return read_examples(
        source, type="text-classification", language="en", split=split, folder=folder
    )


@pytest.fixture
def many(tmp_path: Path) -> Path:
    rows = [f"text {number},{['area|name', 'name', ''][number % 3]}\n" for number in range(300)]
    write(tmp_path, "a.csv", "text,label\n" + "".join(rows))
    return tmp_path


def test_one_label_is_yes_or_no(many: Path):
    for example in one_label(many, "area"):
        expected = "yes" if int(example.text.split()[1]) % 3 == 0 else "no"
        assert example.label == expected


def test_each_label_alone_has_the_splits_of_all_labels_together(many: Path):
    splits: tuple[Split, ...] = ("train", "validation", "test")
    whole = FileData(source="files", path="a.csv")
    for split in splits:
        texts = [one.text for one in one_label(many, "area", split)]
        assert texts == [one.text for one in one_label(many, "name", split)]
        together = read_examples(whole, type=SEVERAL, language="en", split=split, folder=many)
        assert texts == [one.text for one in together]


def test_a_label_that_no_example_has_is_refused(many: Path):
    with pytest.raises(DataError, match=r"a\.csv: no example has the label 'aera'; did you mean"):
        one_label(many, "aera")


@pytest.mark.parametrize(("name", "label"), [("entities", "area"), ("intent", "HassTurnOn")])
def test_one_label_of_sample_data_is_a_task(name: str, label: str):
    source = SampleData(source="sample", name=f"assistant/{name}", label=label)
    examples = read_examples(
        source, type="text-classification", language="en", split="test", folder=Path()
    )
    assert {one.label for one in examples} == {"yes", "no"}
    assert examples[0].place == f"assistant/{name}/en/test:1"


def test_sample_entities_are_the_slots_as_a_set():
    def sample(name: str, type: TaskType) -> list[Example]:
        source = SampleData(source="sample", name=name)
        return read_examples(source, type=type, language="en", split="test", folder=Path())

    spans = sample("assistant/slots", "token-classification")
    sets = sample("assistant/entities", SEVERAL)
    assert [one.text for one in sets] == [one.text for one in spans]
    assert [one.label for one in sets] == [
        tuple(sorted({span.label for span in one.spans})) for one in spans
    ]
