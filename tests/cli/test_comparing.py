"""A comparison from its recipe to its table: run whole, in part, and looked at in between."""

import csv
import shutil
import statistics
from pathlib import Path

import pytest

from composer.train.choosing import read_choice
from composer.train.results import read_scores, read_training
from tests.cli.projects import STORE, well, write_project
from tests.cli.terminal import ROOT, composer, published

RECIPE = """\
composer: 1
name: home
backbone: {source: folder, path: tiny}
adapters:
  thin: {kind: bottleneck, width: 2, train_norm: true}
  deep: {kind: madapter, width: 2, train_norm: true}
data:
  intent: {source: files, path: "$language.csv", columns: {text: utterance, label: intent}}
  domain: {source: files, path: "$language.csv", columns: {text: utterance, label: domain}}
training: {epochs: 2, batch_examples: 16, threads: 1}
tasks:
  intent: {type: text-classification, data: intent, languages: [en]}
  domain: {type: text-classification, data: domain, languages: [en], score: macro-f1}
compare:
  main:
    adapters: [thin, deep]
    tasks: [intent, domain]
    seeds: [1, 2]
    grid: {learning_rate: [1e-5, 2e-2]}
    languages: [en, de]
"""
STAGES = 4 * (2 + 1 + 1 + 2 * 2)
THIN = 4 * (2 * 32 * 2 + 2 + 32)  # sites, two matrices, their biases
DEEP = 4 * (2 * 32 * 2 + 2 * 2 + 2 + 2 + 32)
NORMS = 4 * 2 * 32


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """A project whose comparison was run; not to be changed."""
    folder = write_project(tmp_path_factory.mktemp("compare") / "project", tiny_folder)
    (folder / "home.yaml").write_text(RECIPE)
    outcome = well(folder, "run", "home.yaml")
    (folder / "printed.txt").write_text(outcome.out)
    return folder


def folder_of(project: Path, stage: str) -> Path:
    return Path(well(project, "show", stage, "--json").json["folder"])


def table(project: Path) -> list[list[str]]:
    """The cells of the first table."""
    rows = well(project, "compare", "home.yaml").rows
    return [[cell.strip() for cell in row] for row in rows[: rows.index([])]]


def score_of(project: Path, method: str, task: str, seed: int) -> float:
    name = {"intent": "accuracy", "domain": "macro-f1"}[task]
    at = (
        folder_of(project, f"evaluation/main/{method}/{task}/{seed}/{tag}") for tag in ("en", "de")
    )
    return statistics.fmean(read_scores(project / one).scores[name] for one in at)  # type: ignore[index]


def test_a_run_ends_with_the_table_of_the_comparison(compared: Path):
    printed = (compared / "printed.txt").read_text()
    assert printed == (
        well(compared, "compare", "home.yaml").out + f"\n{STAGES} stages: {STAGES} made now, "
        "0 done before\n"
    )


def test_every_number_of_the_table_is_that_of_its_stages(compared: Path):
    (found,) = well(compared, "compare", "home.yaml", "--json").json["comparisons"]
    assert (found["open"], found["stages"], found["split"]) == (0, STAGES, "test")
    for method, parameters in (("thin", THIN), ("deep", DEEP)):
        told = found["methods"][method]
        assert (told["parameters"], told["norms"]) == (parameters, NORMS)
        by_task = []
        for task, labels in (("intent", 3), ("domain", 2)):
            scores = [score_of(compared, method, task, seed) for seed in (1, 2)]
            assert told["tasks"][task]["mean"] == pytest.approx(statistics.fmean(scores))
            assert told["tasks"][task]["deviation"] == pytest.approx(statistics.stdev(scores))
            assert told["tasks"][task]["head"] == labels * 33
            by_task.append(scores)
        means = [statistics.fmean(both) for both in zip(*by_task, strict=True)]
        assert told["mean"]["mean"] == pytest.approx(statistics.fmean(means))
        assert told["mean"]["deviation"] == pytest.approx(statistics.stdev(means))
    head, thin, deep = table(compared)
    assert head == [
        "main: test",
        "intent accuracy",
        "domain macro-f1",
        "mean",
        "#P",
        "share",
        "norms",
    ]
    told = found["methods"]["deep"]["tasks"]["intent"]
    assert deep[1] == f"{told['mean']:.3f} ± {told['deviation']:.3f}"
    assert (thin[4], deep[4], deep[6]) == (f"{THIN:,}", f"{DEEP:,}", f"{NORMS:,}")


def test_the_point_with_the_best_validation_score_is_trained_with_the_other_seeds(compared: Path):
    for method in ("thin", "deep"):
        choice = folder_of(compared, f"choice/main/{method}/intent")
        found = read_choice(compared / choice)
        tried = {
            one.name: read_training(
                compared / folder_of(compared, f"trial/main/{method}/intent/{one.name}")
            )
            for one in found.trials
        }
        assert {one.name: one.score for one in found.trials} == {
            name: one.best_score for name, one in tried.items()
        }
        assert tried[found.chosen].best_score == max(one.best_score or 0 for one in tried.values())
        assert read_training(compared / choice) == tried[found.chosen]
        again = well(compared, "show", f"repeat/main/{method}/intent/2", "--json").json
        assert again["training"]["seed"] == 2
        assert again["training"]["training_examples"] == tried[found.chosen].training_examples


def test_a_repeat_is_what_a_task_with_the_chosen_settings_would_be(compared: Path, tmp_path: Path):
    project = shutil.copytree(compared, tmp_path / "project")
    rate = read_choice(project / folder_of(project, "choice/main/thin/intent")).settings
    written_out = RECIPE.replace(
        "data: intent, languages: [en]",
        "data: intent, languages: [en], adapter: thin, training: {seed: 2, "
        f"learning_rate: {rate['learning_rate']}}}",
    )
    (project / "home.yaml").write_text(written_out)
    well(project, "run", "home.yaml", "--only", "task/intent")
    at, repeat = (
        well(project, "show", name, "--json").json
        for name in ("task/intent", "repeat/main/thin/intent/2")
    )
    assert at["key"] != repeat["key"]
    assert at["outputs"] == repeat["outputs"]


def test_nothing_is_made_again_and_a_plan_knows_every_stage(compared: Path):
    planned = well(compared, "plan", "home.yaml", "--json").json["stages"]
    assert len(planned) == STAGES
    assert {one["state"] for one in planned} == {"done"}
    parameters = {one["name"]: one["trainable_parameters"] for one in planned}
    assert parameters["trial/main/thin/intent/learning_rate=1e-05"] == THIN + NORMS + 3 * 33
    assert parameters["repeat/main/deep/domain/2"] == DEEP + NORMS + 2 * 33
    assert parameters["choice/main/deep/domain"] == 0
    assert composer(compared, "status", "home.yaml").out.endswith(
        f"{STAGES} stages: {STAGES} done\n"
    )


def test_a_new_point_makes_its_trial_the_choice_and_what_rests_on_it(compared: Path):
    grid = "compare.main.grid.learning_rate=[1e-5, 2e-2, 1e-2]"
    planned = well(compared, "plan", "home.yaml", "--json", "--set", grid).json["stages"]
    open_ = {one["name"]: one["reasons"] for one in planned if one["state"] != "done"}
    mine = [name for name in open_ if "/thin/intent" in name]
    assert mine == [
        "trial/main/thin/intent/learning_rate=0.01",
        "choice/main/thin/intent",
        "repeat/main/thin/intent/2",
        *(f"evaluation/main/thin/intent/{seed}/{tag}" for seed in (1, 2) for tag in ("en", "de")),
    ]
    assert open_["choice/main/thin/intent"][0].startswith("compare.main.grid")
    assert open_["repeat/main/thin/intent/2"] == ["choice/main/thin/intent is made anew"]


def test_what_is_not_measured_is_told_with_the_stages_that_are_open(fresh: Path):
    (fresh / "home.yaml").write_text(RECIPE)
    before = well(fresh, "compare", "home.yaml").rows
    assert before[1][:4] == ["thin", "- (8 stages open)", "- (8 stages open)", "-"]
    assert before[-1][0].endswith("32 of 32 stages are open")
    assert not (fresh / STORE / "objects").exists()
    well(fresh, "run", "home.yaml", "--only", "evaluation/main/thin/intent/1/en")
    half = well(fresh, "compare", "home.yaml").rows
    assert half[1][1] == "- (4 stages open)"  # a seed has no score in one language of two
    ran = well(fresh, "run", "home.yaml", "--only", "evaluation/main/thin/intent/1")
    after = well(fresh, "compare", "home.yaml").rows
    mean = score_of(fresh, "thin", "intent", 1)
    assert after[1][1] == f"{mean:.3f} (3 stages open)"
    assert after[1][3] == "-"  # no mean over tasks until all of them are measured
    assert after[1] in ran.rows


def test_markdown_and_csv_hold_the_same_numbers(compared: Path):
    (found,) = well(compared, "compare", "home.yaml", "--json").json["comparisons"]
    markdown = well(compared, "compare", "home.yaml", "--format", "markdown").out.splitlines()
    assert markdown[1] == "| --- | --- | --- | --- | ---: | ---: | ---: |"
    cells = [one.strip() for one in markdown[2].split("|")]
    told = found["methods"]["thin"]["tasks"]["intent"]
    assert cells[1:3] == ["thin", f"{told['mean']:.3f} ± {told['deviation']:.3f}"]
    assert "| main: chosen | intent | domain |" in markdown
    lines = well(compared, "compare", "home.yaml", "--format", "csv").out.splitlines()
    rows = list(csv.DictReader(lines))
    assert len(rows) == 2 * 2 * 2
    values = {row["seed"]: float(row["value"]) for row in rows[:2]}
    assert values == told["seeds"]
    assert {rows[0][name] for name in ("method", "task", "score")} == {"thin", "intent", "accuracy"}


def test_pictures_are_drawn_with_the_same_bytes_each_time(compared: Path, tmp_path: Path):
    for name in ("one", "two"):
        well(compared, "compare", "home.yaml", "--pictures", tmp_path / name)
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert drawn.keys() == {"main-parameters.svg", "main-middle_layers.svg"}
    assert drawn == {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}
    assert all(b"<dc:date>" not in one for one in drawn.values())


def test_the_papers_methods_are_counted_to_the_parameter_without_a_hub(tmp_path: Path):
    recipe = ROOT / "recipes" / "madapter" / "glue.yaml"
    found = well(tmp_path, "compare", recipe, "--json").json["comparisons"]
    methods = next(one for one in found if one["name"] == "methods")["methods"]
    for name, parameters, share in (("adapter", 2_379_264, 2.17), ("madapter", 1_224_192, 1.12)):
        told = methods[name]
        assert (told["parameters"], told["norms"]) == (parameters, 36_864)
        assert round(100 * told["share"], 2) == share
        assert told["tasks"]["cola"]["mean"] is None


@pytest.mark.slow  # workers start
def test_side_by_side_and_one_after_another_publish_the_same_bytes(compared: Path, fresh: Path):
    (fresh / "home.yaml").write_text(RECIPE)
    well(fresh, "run", "home.yaml", "--jobs", "2", "--only", "choice/main/thin")
    made, known = published(fresh / STORE), published(compared / STORE)
    assert {name: one for name, one in made.items() if not name.startswith("refs/")}.items() <= (
        known.items()
    )
