import copy
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from composer.errors import RecipeError
from composer.recipe.reading.reader import read_recipe, recipe_from
from tests.recipe.recipes import SOUND, faults_of, load

TEN_FAULTS = """\
composer: 1
name: home
backbone: {source: sample, name: multilingual-e5-small}
adapters:
  task: {kind: madaptor, width: 32}
  zero: {kind: bottleneck, width: 0}
  both: {kind: bottleneck, width: 8, reduction_factor: 16}
  thin: {kind: bottleneck, widht: 8}
data:
  text: {source: sample, name: assistant/text}
  intent: {source: sample, name: assistant/intent}
training: {learning_rate: 2, epochs: 1_0}
languages: {members: [en, de], data: txt, adapter: thin}
tasks:
  intent: {type: text-classification, data: intent, languages: [en], adapter: tusk}
  slots: {type: token-classification, data: intent, languages: [english], adapter: zero}
  de: {type: text-clasification, data: intents, languages: [en], adapter: thin}
  far: {type: regression, data: intent, languages: [fr], adapter: thin, over: $language}
compositions:
  one: $language > fuse(intent)
  mix: {expression: "fuse(intent, slot)", train: {task: intend}}
evaluations:
  far: {compositions: [mixx, far], languages: [en, fi]}
  near: {compositions: [mix], languages: [en], split: tset}
"""

TEN_MESSAGES = """\
home.yaml:5:16: adapters.task.kind: must be 'bottleneck', 'madapter', 'adamix', 'lora', \
'prefix', 'prompt', 'bitfit' or 'full', not 'madaptor'; did you mean 'madapter'?
home.yaml:6:35: adapters.zero.width: must be at least 1, not 0
home.yaml:7:3: adapters.both: give `width` or `reduction_factor`, not both
home.yaml:8:28: adapters.thin.widht: unknown key; did you mean 'width'?
home.yaml:12:27: training.learning_rate: must be at most 1, not 2
home.yaml:12:38: training.epochs: must be a whole number, not '1_0'; write 10
home.yaml:13:38: languages.data: no data source is named 'txt'; did you mean 'text'?
home.yaml:15:79: tasks.intent.adapter: no adapter is named 'tusk'; did you mean 'task'?
home.yaml:16:65: tasks.slots.languages[0]: must be a language tag such as 'de' or 'zh-CN', \
not 'english'
home.yaml:17:3: tasks.de: 'de' is a language too; give one of them another name
home.yaml:17:14: tasks.de.type: must be 'text-classification', 'regression', \
'token-classification' or 'multi-label-classification', not 'text-clasification'; \
did you mean 'text-classification'?
home.yaml:17:40: tasks.de.data: no data source is named 'intents'; did you mean 'intent'?
home.yaml:18:53: tasks.far.languages[0]: this task needs a language adapter of 'fr', \
and `languages` has none; known: de, en
home.yaml:20:20: compositions.one: fuse of one member, intent; it needs two or more
home.yaml:21:35: compositions.mix.expression: no task or language is named 'slot'; \
did you mean 'slots'?
home.yaml:21:57: compositions.mix.train.task: no task is named 'intend'; did you mean 'intent'?
home.yaml:23:24: evaluations.far.compositions[0]: no composition or task is named 'mixx'; \
did you mean 'mix'?
home.yaml:23:52: evaluations.far.languages[1]: far needs a language adapter of 'fi', \
and `languages` has none; known: de, en
home.yaml:24:55: evaluations.near.split: must be 'train', 'validation' or 'test', not 'tset'; \
did you mean 'test'?
"""


def test_all_faults_are_told_at_once_each_with_its_place_and_the_nearest_name(tmp_path: Path):
    told = "".join(f"{fault}\n" for fault in faults_of(tmp_path, TEN_FAULTS))
    assert told == TEN_MESSAGES


def test_each_place_is_that_of_what_is_wrong(tmp_path: Path):
    lines = TEN_FAULTS.splitlines()
    found = []
    for fault in faults_of(tmp_path, TEN_FAULTS):
        _, line, column = fault.place.split(":")
        found.append(re.split(r"[,}:\]]", lines[int(line) - 1][int(column) - 1 :])[0])
    assert found == (
        "madaptor 0 both widht 2 1_0 txt tusk english de text-clasification intents fr"
        " fuse(intent) slot)" + '" intend mixx fi tset'
    ).split(" ")


def test_a_recipe_with_faults_ends_with_exit_status_2(tmp_path: Path):
    with pytest.raises(RecipeError, match="madaptor") as caught:
        load(tmp_path, TEN_FAULTS)
    assert caught.value.exit_status == 2


def test_a_sound_recipe_is_read_and_knows_its_places(tmp_path: Path):
    loaded = load(tmp_path)
    assert loaded.folder == tmp_path
    assert loaded.recipe.training.learning_rate == 1e-3
    assert loaded.recipe.tasks["intent"].languages == ("en", "de")
    file = tmp_path / "home.yaml"
    assert loaded.place(("adapters", "task", "width")) == f"{file}:5:33"
    assert loaded.place(("languages", "members", 2)) == f"{file}:13:31"
    assert loaded.place(("tasks", "domain", "score")) == f"{file}:17:3"
    assert loaded.place(()) == f"{file}:1:1"


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path):
    with pytest.raises(RecipeError, match=r"missing\.yaml: cannot be read: No such file"):
        read_recipe(tmp_path / "missing.yaml")
    with pytest.raises(RecipeError, match="cannot be read: Is a directory"):
        read_recipe(tmp_path)
    with pytest.raises(RecipeError, match="cannot be read: embedded null"):
        read_recipe("\0")


def test_a_profile_is_merged_over_the_recipe(tmp_path: Path):
    loaded = load(tmp_path, profile="smoke")
    assert loaded.recipe.training.epochs == 1
    assert loaded.recipe.training.seed == 13
    assert loaded.place(("training", "epochs")) == f"{tmp_path}/home.yaml:29:30"
    assert load(tmp_path).recipe.training.epochs == 8


def test_mappings_merge_deeply_lists_replace_and_nothing_takes_a_key_away(tmp_path: Path):
    profile = """\
  smoke:
    adapters: {task: {width: null, reduction_factor: 8}}
    evaluations: {far: {languages: [de]}}
    bundles: {box: null}
"""
    text = SOUND.replace("  smoke: {training: {epochs: 1}}\n", profile)
    recipe = load(tmp_path, text, profile="smoke").recipe
    task = recipe.adapters["task"].model_dump()
    assert (task["kind"], task["width"], task["reduction_factor"]) == ("madapter", None, 8.0)
    assert recipe.evaluations["far"].languages == ("de",)
    assert recipe.bundles == {}


def test_an_unknown_profile_is_a_fault_with_the_nearest_name(tmp_path: Path):
    (fault,) = faults_of(tmp_path, SOUND, profile="smoek")
    assert str(fault) == "--profile smoek: no profile is named 'smoek'; did you mean 'smoke'?"


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (
            "{trainin: {epochs: 1}}",
            "home.yaml:29:11: trainin: unknown key; did you mean 'training'? "
            "(with profile 'smoke')",
        ),
        (
            "{tasks: {intent: {adapter: tusk}}}",
            "home.yaml:29:37: tasks.intent.adapter: no adapter is named 'tusk'; "
            "did you mean 'task'? (with profile 'smoke')",
        ),
        (
            "{adapters: {thin: null}}",
            "home.yaml:13:57: languages.adapter: no adapter is named 'thin'; "
            "known: low, task (with profile 'smoke')",
        ),
        ("{profiles: {a: {}}}", "home.yaml:29:11: a profile holds no `profiles`"),
        ("5", "home.yaml:29:10: profiles.smoke: must be a mapping, not 5"),
    ],
)
def test_a_profile_that_is_not_used_is_checked(tmp_path: Path, profile: str, message: str):
    text = SOUND.replace("smoke: {training: {epochs: 1}}", f"smoke: {profile}")
    assert message in map(str, faults_of(tmp_path, text))


def test_a_fault_of_the_recipe_is_not_told_again_for_each_profile(tmp_path: Path):
    text = SOUND.replace("epochs: 8", "epochs: 0") + "  long: {training: {seed: 5}}\n"
    assert [fault.place for fault in faults_of(tmp_path, text)] == ["home.yaml:12:20"]


@pytest.mark.parametrize(
    ("change", "path", "value"),
    [
        ("training.epochs=3", ("training", "epochs"), 3),
        ("training.learning_rate=5e-4", ("training", "learning_rate"), 5e-4),
        ("tasks.domain.training.seed=1", ("tasks", "domain", "training", "seed"), 1),
        ("tasks.intent.languages=[ru]", ("tasks", "intent", "languages"), ["ru"]),
        ("adapters.task.width=null", ("adapters", "task", "width"), None),
        ("compositions.mad-x=average(en, ru) > intent", ("compositions", "mad-x"), None),
        ("adapters.new={kind: bottleneck, width: 4}", ("adapters", "new", "width"), 4),
        ("name=  no", ("name",), "no"),
    ],
)
def test_a_change_is_merged_and_its_value_read_as_yaml(
    tmp_path: Path, change: str, path: tuple[str, ...], value: object
):
    found = load(tmp_path, changes=[change]).recipe.model_dump(mode="json")
    for key in path:
        found = found[key]
    assert found == (value if path != ("compositions", "mad-x") else change.partition("=")[2])


def test_changes_are_merged_in_their_order_over_the_profile(tmp_path: Path):
    changes = ["training.epochs=2", "training={epochs: 3}", "training.seed=4"]
    training = load(tmp_path, profile="smoke", changes=changes).recipe.training
    assert (training.epochs, training.seed) == (3, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("training.epoch=1", "training.epoch: unknown key; did you mean 'epochs'?"),
        ("trainin.epochs=1", "trainin: unknown key; did you mean 'training'?"),
        ("training.epochs=x", "training.epochs: must be a whole number, not 'x'"),
        ("adapters.tusk.width=3", "there is no adapters.tusk; did you mean 'task'?"),
        ("tasks.intend.data=x", "there is no tasks.intend; did you mean 'intent'?"),
        ("compositions.mad-x.task=a", "compositions.mad-x is '$language > intent', not a mapping;"),
        ("languages.members.de.data=x", "languages.members is a list, not a mapping;"),
        ("tasks.intent.languages.0=x", "tasks.intent.languages is a list, not a mapping;"),
        ("training.epochs", "write key=value"),
        ("=1", "write key=value"),
        ("training..epochs=1", "write key=value"),
        ("training.epochs=[1", "a ',' or ']' is missing before this"),
        ("training.epochs=!x 1", "tag '!x'; a recipe has no tags"),
        ("training.epochs={a: 1, a: 2}", "the key 'a' is given twice"),
        ("training.epochs=\x00", "control character U+0000"),
        ("profiles.smoke.training.epochs=2", "`profiles` is read before this change"),
        ("training.epochs=", "training.epochs: must be a whole number"),
    ],
)
def test_a_wrong_change_is_a_fault_at_the_argument(tmp_path: Path, change: str, message: str):
    text = SOUND.replace("epochs: 8, ", "")
    first, *_ = faults_of(tmp_path, text, changes=[change])
    assert first.place == f"--set {change}"
    assert first.message.startswith(message)


def test_faults_of_file_and_arguments_are_told_together(tmp_path: Path):
    text = SOUND.replace("seed: 13", "seed: -1")
    faults = faults_of(tmp_path, text, profile="x", changes=["training.epochs=0", "a.b"])
    places = [fault.place for fault in faults]
    assert places == ["home.yaml:12:50", "--profile x", "--set a.b", "--set training.epochs=0"]


def test_a_mapping_of_members_is_changed_by_tag(tmp_path: Path):
    text = SOUND.replace("members: [en, de, ru]", "members: {en: {}, de: {adapter: low}, ru: {}}")
    recipe = load(tmp_path, text, changes=["languages.members.ru.adapter=low"]).recipe
    assert recipe.languages is not None
    assert isinstance(recipe.languages.members, dict)
    assert recipe.languages.members["ru"].adapter == "low"
    (fault,) = faults_of(tmp_path, text, changes=["languages.members.rus.adapter=low"])
    assert fault.message == "there is no languages.members.rus; did you mean 'ru'?"


VALUES = {
    "composer": 1,
    "name": "one",
    "backbone": {"source": "folder", "path": "x"},
    "adapters": {"task": {"kind": "bottleneck", "leave_out": [1, 0]}},
    "data": {"own": {"source": "files", "path": "a.csv"}},
    "tasks": {
        "intent": {
            "type": "text-classification",
            "data": "own",
            "languages": ["en"],
            "adapter": "task",
        }
    },
}


def test_a_recipe_is_made_of_plain_values():
    recipe = recipe_from(VALUES)
    assert recipe.tasks["intent"].languages == ("en",)
    assert recipe.adapters["task"].model_dump()["leave_out"] == (1, 0)


def test_faults_of_plain_values_have_the_place_that_was_given():
    values = copy.deepcopy(VALUES) | {"training": {"epochs": 0, "clip": float("inf")}}
    values["tasks"]["intent"]["adapter"] = "tusk"  # type: ignore[index]
    with pytest.raises(RecipeError, match="tusk") as caught:
        recipe_from(values, place="train-task")
    assert sorted(map(str, caught.value.faults)) == [
        "train-task: tasks.intent.adapter: no adapter is named 'tusk'; did you mean 'task'?",
        "train-task: training.clip: must be a finite number, not inf",
        "train-task: training.epochs: must be at least 1, not 0",
    ]


@pytest.mark.parametrize("block", ["tasks", "adapters", "data"])
def test_a_name_of_half_a_character_is_a_fault_as_any_other(block: str):
    # As a shell gives an argument that is not UTF-8; looking for what is sound never ended.
    with pytest.raises(RecipeError, match="must be"):
        recipe_from({**VALUES, block: {"\udcff": {}}})
    with pytest.raises(RecipeError, match="must be"):
        recipe_from({**VALUES, "\udcff": {}})


def test_recipes_are_read_without_heavy_libraries():
    code = (
        "import sys, composer.recipe.reading.reader, composer.recipe.expansion.expand, "
        "composer.recipe.expansion.keys, "
        "composer.recipe.sizes.fit, composer.recipe.checking.advice\n"
        "heavy = {'torch', 'transformers', 'datasets', 'numpy', 'tokenizers', 'adapters'}\n"
        "print(heavy & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("set()\n", "")


# Each example writes its own file, so the folder may be shared.
FUZZ = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

_LINES = SOUND.splitlines(keepends=True)
_BITS = st.sampled_from(
    ["null", "5", "-1", "1e-3", "[]", "{}", "''", "x", "$language", "&a", "*a", "!t ", ": ", "\t"]
    + ["- ", "fuse(", ")", ",", ">", "{", "}", "[", "]", '"', "'", "#", "|", "<<: ", "? ", "\n"]
    + ["none", "true", "0x", "\u2028", "\ufeff", "---\n", "%YAML 1.1\n", ".inf", "  "]
)


@st.composite
def _mutated(draw: st.DrawFn) -> str:
    text = SOUND
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = text[:start] + draw(_BITS) + text[end:]
    lines = text.splitlines(keepends=True)
    if draw(st.booleans()):
        del lines[draw(st.integers(0, len(lines) - 1))]
    return "".join(lines)


def _read(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        read_recipe(path, changes=["training.epochs=2"])
    except RecipeError as error:
        assert error.faults  # noqa: PT017
        assert all(fault.place and fault.message for fault in error.faults)  # noqa: PT017


@settings(FUZZ, max_examples=100)
@given(text=_mutated())
def test_no_mutation_of_a_recipe_raises_anything_but_a_recipe_error(tmp_path: Path, text: str):
    _read(tmp_path / "x.yaml", text.encode())


@settings(FUZZ, max_examples=100)
@given(content=st.one_of(st.binary(), st.text().map(str.encode)))
def test_no_bytes_raise_anything_but_a_recipe_error(tmp_path: Path, content: bytes):
    _read(tmp_path / "x.yaml", content)


@settings(FUZZ, max_examples=50)
@given(pieces=st.lists(st.one_of(_BITS, st.sampled_from(_LINES)), max_size=15))
def test_no_pieces_of_yaml_raise_anything_but_a_recipe_error(tmp_path: Path, pieces: list[str]):
    _read(tmp_path / "x.yaml", "".join(pieces).encode())


@settings(FUZZ, max_examples=50)
@given(change=st.one_of(st.text(), st.tuples(st.text("abc."), st.text()).map("=".join)))
def test_no_change_raises_anything_but_a_recipe_error(tmp_path: Path, change: str):
    path = tmp_path / "x.yaml"
    path.write_text(SOUND)
    with pytest.raises(RecipeError):
        read_recipe(path, changes=[change, "no.such=key"])


_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def _values(draw: st.DrawFn) -> dict[str, object]:
    """Put any value anywhere in sound values."""
    values = copy.deepcopy(VALUES)
    at: dict[str, object] = values
    while True:
        key = draw(st.sampled_from([*at, "training", "languages", "compositions", "bundles"]))
        inner = at.get(key)
        if not isinstance(inner, dict) or draw(st.booleans()):
            at[key] = draw(_json)
            return values
        at = inner


@settings(FUZZ, max_examples=150)
@given(values=_values())
def test_no_values_raise_anything_but_a_recipe_error(values: dict[str, object]):
    try:
        recipe_from(values)
    except RecipeError as error:
        assert error.faults  # noqa: PT017
