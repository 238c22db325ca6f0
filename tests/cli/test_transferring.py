"""MAD-X on a tiny backbone: languages are swapped under a task, and the matrix of all of them."""

import csv
import io
import shutil
from pathlib import Path

import pytest

from tests.cli.projects import STORE, well
from tests.cli.terminal import composer

ROOMS = ["kitchen", "bedroom", "living room"]
VERBS = ["on", "off", "up"]
RECIPE = """\
composer: 1
name: home
backbone: {source: folder, path: tiny}
adapters:
  wide: {kind: bottleneck, width: 8}
data:
  intent: {source: files, path: "$language.csv"}
  text: {source: files, path: "$language.txt"}
training: {epochs: 2, learning_rate: 1e-2, batch_tokens: 256, threads: 1}
languages:
  members: {en: {}, de: {}}
  data: text
  adapter: wide
  head: own
  training: {seed: 5, epochs: 1}
  proxies: {nl: {de: 0.75, en: 0.25}}
tasks:
  mad-x: {type: text-classification, data: intent, languages: [en], adapter: wide, over: $language}
evaluations:
  far: {compositions: [mad-x], languages: [en, de], without_language: true}
bundles:
  home: {compositions: [mad-x], languages: [de], precision: float32}
leakage: {near: 1} # all sentences here are of one pattern
"""


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """A project whose recipe was run; not to be changed."""
    folder = tmp_path_factory.mktemp("spoken") / "project"
    shutil.copytree(tiny_folder, folder / "tiny")
    for place, tag in enumerate(("en", "de", "nl")):
        first = 200 * place
        rows = [f"{tag} {said(number)}" for number in range(first, first + 90)]
        (folder / f"{tag}.csv").write_text(
            "\n".join(["text,label", *(f"{row},{row.split()[2]}" for row in rows)]) + "\n"
        )
        texts = [f"{tag} please {said(number)}" for number in range(first + 5000, first + 5060)]
        (folder / f"{tag}.txt").write_text("\n".join(texts) + "\n")
    (folder / "home.yaml").write_text(RECIPE)
    well(folder, "run", "home.yaml")
    return folder


@pytest.fixture
def changed(tmp_path: Path, spoken: Path) -> Path:
    return shutil.copytree(spoken, tmp_path / "project")


def said(number: int) -> str:
    return f"turn {VERBS[number // 3 % 3]} the lamp in the {ROOMS[number % 3]} {number}"


def results(folder: Path) -> dict[str, dict[str, bytes]]:
    """Give the bytes of every result of the store, by key."""
    found: dict[str, dict[str, bytes]] = {}
    for path in sorted((folder / STORE).rglob("*")):
        key = next((part for part in path.parts if len(part) == 64), None)
        if path.is_file() and key is not None:
            found.setdefault(key, {})[path.name] = path.read_bytes()
    return found


def keys(folder: Path) -> dict[str, str]:
    return well(folder, "run", "home.yaml", "--json").json["stages"]  # done before


def edit(folder: Path, old: str, new: str) -> None:
    recipe = folder / "home.yaml"
    assert old in recipe.read_text()
    recipe.write_text(recipe.read_text().replace(old, new))


def test_another_language_adapter_under_a_task_costs_no_training_and_changes_no_other_byte(
    changed: Path,
):
    before, known = results(changed), keys(changed)
    assert len(before) >= len(set(known.values()))
    edit(changed, "de: {}", "de: {training: {seed: 6}}")
    made = well(changed, "run", "home.yaml", "--json").json["made"]
    assert made == ["language/de", "evaluation/far/mad-x/de", "bundle/home"]
    after, now = results(changed), keys(changed)
    assert {key: after[key] for key in before} == before
    assert {name for name in known if now[name] != known[name]} == set(made)
    assert now["task/mad-x"] == known["task/mad-x"]


def test_in_a_bundle_only_the_part_of_the_language_is_another(changed: Path):
    place = next((changed / STORE).rglob("bundle/manifest.json")).parent
    old = shutil.copytree(place, changed / "old")
    edit(changed, "de: {}", "de: {training: {seed: 6}}")
    key = well(changed, "run", "home.yaml", "--json").json["stages"]["bundle/home"]
    new = next(one for one in (changed / STORE).rglob("bundle") if key in one.parts)
    parts = [sorted((folder / "parts").rglob("*.safetensors")) for folder in (old, new)]
    assert [one.name for one in parts[0]] == [one.name for one in parts[1]]
    other = [
        one.relative_to(old).as_posix()
        for one, two in zip(*parts, strict=True)
        if one.read_bytes() != two.read_bytes()
    ]
    assert len(other) == 1
    assert "de" in other[0]


def test_a_proxy_is_evaluated_and_bundled_without_any_training(changed: Path):
    before = results(changed)
    edit(changed, "languages: [en, de], without", "languages: [en, de, nl], without")
    edit(changed, "languages: [de], precision", "languages: [de, nl], precision")
    made = well(changed, "run", "home.yaml", "--json").json["made"]
    assert made == [
        "evaluation/far/mad-x/nl",
        "evaluation/far/mad-x.without-language/nl",
        "bundle/home",
    ]
    after = results(changed)
    assert {key: after[key] for key in before} == before


def test_the_matrix_is_shown_of_what_is_evaluated(spoken: Path):
    lines = well(spoken, "transfer", "home.yaml", "--resamples", "100").out.splitlines()
    assert lines[0].split() == [
        "far:", "accuracy", "n", "mad-x", "mad-x.without-language", "majority",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[1:4]] == ["en", "de*", "mean"]
    told = "mad-x - mad-x.without-language"
    assert [line for line in lines if line.startswith("far: difference")] == [
        f"far: difference  {told}"
    ]


def test_the_matrix_is_written_for_machines_and_drawn(spoken: Path, tmp_path: Path):
    picture = tmp_path / "far.svg"
    fast = ("--resamples", "100")
    text = well(spoken, "transfer", "home.yaml", "--format", "csv", "--picture", picture, *fast).out
    rows = list(csv.DictReader(io.StringIO(text)))
    told = well(spoken, "transfer", "home.yaml", "--json", *fast).json
    (table,) = told["tables"]
    assert len(rows) == len(table["cells"]) == 3 * 3
    scored = well(spoken, "run", "home.yaml", "--json").json["scores"]
    values = {(one["composition"], one["language"]): one["scores"]["accuracy"] for one in scored}
    for row in rows:
        if (row["composition"], row["language"]) in values:
            wanted = values[row["composition"], row["language"]]
            assert float(row["value"]) == pytest.approx(wanted, abs=1e-6)
    assert picture.read_text().count("<svg") == 1


def test_seeds_that_were_run_are_put_together(changed: Path):
    well(
        changed, "run", "home.yaml", "--set", "training.seed=2", "--only", "evaluation/far/mad-x/de"
    )
    outcome = well(changed, "transfer", "home.yaml", "--seed", "13", "--seed", "2", "--json",
                   "--resamples", "100")  # fmt: skip
    (table,) = outcome.json["tables"]
    trainings = {(one["composition"], one["language"]): one["trainings"] for one in table["cells"]}
    assert trainings["mad-x", "de"] == 2
    assert trainings["mad-x", "en"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--evaluation", "fat"),
            "no evaluation is named 'fat'; did you mean 'far'?",
        ),
        (
            ("--against", "mad"),
            "no composition 'mad' is evaluated; did you mean 'mad-x'?",
        ),
        (
            ("--seed", "77"),
            "evaluations: none is made yet; carry the recipe out",
        ),
    ],
)
def test_what_cannot_be_shown_is_told(spoken: Path, arguments: tuple[str, ...], said: str):
    outcome = composer(spoken, "transfer", "home.yaml", *arguments)
    assert outcome.status == 2
    assert said in outcome.err


def test_what_is_not_evaluated_is_counted(changed: Path):
    edit(changed, "languages: [en, de], without", "languages: [en, de, nl], without")
    outcome = well(changed, "transfer", "home.yaml", "--resamples", "100")
    assert "warning: 2 of 6 evaluations are not made yet, and are left out" in outcome.err


def test_a_run_that_would_score_what_it_learns_is_refused_before_it_begins(changed: Path):
    lines = (changed / "en.csv").read_text().splitlines()
    (changed / "test.csv").write_text("\n".join([lines[0], *lines[1:40]]) + "\n")
    edit(changed, 'path: "$language.csv"', "path: {train: en.csv, test: test.csv}")
    outcome = composer(changed, "run", "home.yaml")
    assert outcome.status == 2
    place, _, message = outcome.err.splitlines()[-1].partition(": ")
    assert place.startswith("home.yaml:20:")
    assert message.startswith("39 of 39 test texts of intent (")
    assert "stand in what is learnt from (100.0%, and 5% may): test.csv:2 'en turn on" in message
    assert "allow it with `leakage: {exact: 1}`" in message
    shown = composer(changed, "leakage", "home.yaml")
    assert shown.status == 2
    assert "100.0%" in shown.out
    allowed = composer(changed, "leakage", "home.yaml", "--set", "leakage.exact=1", "--json")
    assert allowed.status == 0
    assert [one["exact"] for one in allowed.json] == [39, 39]


def test_text_of_language_adapters_is_looked_through_for_test_texts(changed: Path):
    rows = (changed / "de.csv").read_text().splitlines()[1:]
    with (changed / "en.txt").open("a") as text:
        text.write("".join(f"{row.rpartition(',')[0].upper()}!\n" for row in rows))
    outcome = composer(changed, "run", "home.yaml")
    assert outcome.status == 2
    assert "test texts of intent (de) stand in what is learnt from (" in outcome.err
    assert " in en.txt:" in outcome.err


def test_texts_that_were_looked_through_are_not_looked_through_again(
    spoken: Path, monkeypatch: pytest.MonkeyPatch
):
    def never(plan: object) -> None:
        raise AssertionError("looked again")

    monkeypatch.setattr("composer.engine.running.leakage._look", never)
    found = well(spoken, "leakage", "home.yaml", "--json").json
    assert [(one["source"], one["language"], one["split"]) for one in found] == [
        ("intent", "en", "test"),
        ("intent", "de", "test"),
    ]
    with pytest.raises(AssertionError, match="looked again"):
        composer(spoken, "leakage", "home.yaml", "--set", "data.intent.path=$language.txt")


def test_of_a_long_text_only_so_much_is_looked_through(
    changed: Path, monkeypatch: pytest.MonkeyPatch
):
    rows = (changed / "de.csv").read_text().splitlines()[1:]
    with (changed / "en.txt").open("a") as text:
        # the same text would be in the same split: it is held out there as well
        text.write("".join(f"{row.rpartition(',')[0]}!\n" for row in rows))
    limited = ("leakage", "home.yaml", "--json", "--set", "leakage.exact=1")
    assert [one["exact"] > 0 for one in well(changed, *limited).json] == [False, True]
    monkeypatch.setattr("composer.engine.running.leakage.MOST", 50)
    assert [one["exact"] for one in well(changed, *limited).json] == [0, 0]
