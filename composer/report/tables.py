"""The tables that a run ends with: scores, what fusions listen to, parameters and sizes.

zero-shot: accuracy      en    de    fi*   * no labels of this language were learnt
intent                 .931  .480  .310
few-shot               .942  .523  .352
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from composer.bundle.reader import read_manifest
from composer.bundle.sizes import SizeRow, size_report
from composer.bundle.source import FolderSource
from composer.engine.planning.plan import Plan
from composer.engine.running.events import RunResult
from composer.engine.storage.store import StoredResult
from composer.recipe.expansion.stages import (
    Evaluate,
    Export,
    ScoreText,
    Stage,
    TrainComposition,
    TrainTask,
)
from composer.report.comparison import Comparison
from composer.report.comparison_tables import comparison_lines, comparison_values
from composer.report.language_losses import loss_lines, loss_values, read_losses
from composer.report.layout import count, number_of, size, table_lines
from composer.report.shares import ShareRow, members_of, share_lines, share_values
from composer.train.results import ScoresFile, read_scores, read_training


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One composition of one evaluation, in one language.

    Attributes:
        evaluation: Its name.
        composition: Its name.
        language: Of the examples.
        unseen: Whether no labels of this language were learnt.
        score: Which score the task is chosen by.
        value: Of that score.
        found: All that was measured.
        shares: How much the members of its fusions weigh.
    """

    evaluation: str
    composition: str
    language: str
    unseen: bool
    score: str
    value: float
    found: ScoresFile
    shares: ShareRow


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a run reached.

    Attributes:
        scored: Everything that was scored, in the order of the recipe.
        trained: Stage -> trainable parameters and bytes.
        bundles: Stage -> its parts and files.
    """

    scored: list[Scored] = field(default_factory=list)
    trained: dict[str, tuple[int, int]] = field(default_factory=dict)
    bundles: dict[str, list[SizeRow]] = field(default_factory=dict)


def read_report(plan: Plan, result: RunResult, *, without: Collection[str] = ()) -> Report:
    """Read what the stages of a run say of themselves, but for those of comparisons."""
    report = Report()
    stages = {one.stage.name: one.stage for one in plan.stages}
    for name, stored in result.results.items():
        stage = stages[name]
        if name in without:
            continue
        if isinstance(stage, Evaluate):
            report.scored.append(_scored(stage, stages, stored))
        elif isinstance(stage, ScoreText):
            continue  # see `composer.report.language_losses`
        elif isinstance(stage, Export):
            report.bundles[name] = _bundle_sizes(stored)
        else:
            done = read_training(stored.folder)
            report.trained[name] = (done.trainable_parameters, stored.manifest.bytes)
    return report


def report_values(
    plan: Plan, result: RunResult, comparisons: Sequence[Comparison] = ()
) -> dict[str, object]:
    """Give a run's report as JSON has it."""
    report = read_report(plan, result, without=_stages_of(comparisons))
    return {
        "recipe": plan.wanted.recipe,
        "stages": {name: stored.key for name, stored in result.results.items()},
        "made": list(result.made),
        "scores": [
            {
                "evaluation": one.evaluation,
                "composition": one.composition,
                "language": one.language,
                "unseen": one.unseen,
                "score": one.score,
                "scores": dict(one.found.scores),
                "n": one.found.n,
                "shares": share_values(one.shares),
            }
            for one in report.scored
        ],
        "language_losses": loss_values(read_losses(plan, result)),
        "trained": {
            name: {"trainable_parameters": parameters, "bytes": bytes_}
            for name, (parameters, bytes_) in report.trained.items()
        },
        "bundles": {name: size_values(rows) for name, rows in report.bundles.items()},
        "comparisons": comparison_values(comparisons),
    }


def report_lines(
    plan: Plan, result: RunResult, comparisons: Sequence[Comparison] = ()
) -> Iterator[str]:
    """Give a run's report as lines of text."""
    report = read_report(plan, result, without=_stages_of(comparisons))
    evaluations = dict.fromkeys(one.evaluation for one in report.scored)
    blocks = [
        *(_score_table([one for one in report.scored if one.evaluation == e]) for e in evaluations),
        share_lines([one.shares for one in report.scored])[1:],
        loss_lines(read_losses(plan, result)),
        _trained_table(report.trained),
        *(size_lines(rows, head=name) for name, rows in report.bundles.items()),
        comparison_lines(comparisons),
        [run_summary(result)],
    ]
    for number, block in enumerate(lines for one in blocks if (lines := list(one))):
        if number:
            yield ""
        yield from block


def _stages_of(comparisons: Sequence[Comparison]) -> set[str]:
    cells = [one.cell for comparison in comparisons for one in comparison.measured.values()]
    return {name for cell in cells for name in cell.stages}


def size_lines(rows: Sequence[SizeRow], *, head: str) -> list[str]:
    """Lay out what a bundle is made of, and what it weighs in all."""
    table = [[head, "kind", "size"], *([row.name, row.kind, size(row.bytes)] for row in rows)]
    return table_lines([*table, ["in all", "", size(sum(row.bytes for row in rows))]], right=[2])


def size_values(rows: Sequence[SizeRow]) -> dict[str, dict[str, object]]:
    """Give the same as JSON has it."""
    return {row.name: {"kind": row.kind, "bytes": row.bytes} for row in rows}


def _scored(stage: Evaluate, stages: Mapping[str, Stage], stored: StoredResult) -> Scored:
    owner = stages[stage.owner]
    if not isinstance(owner, TrainTask | TrainComposition):
        raise TypeError(f"{stage.owner} has no head")
    found = read_scores(stored.folder)
    _, evaluation, composition, language = stage.name.split("/")
    return Scored(
        evaluation=evaluation,
        composition=composition,
        language=language,
        unseen=language not in owner.data.languages,
        score=owner.task.score,
        value=found.scores[owner.task.score],
        found=found,
        shares=ShareRow(
            composition=composition,
            language=language,
            members=members_of(stage.composition),
            found=found.shares,
        ),
    )


def _score_table(scored: Sequence[Scored]) -> Iterator[str]:
    languages = list(dict.fromkeys(one.language for one in scored))
    unseen = {one.language for one in scored if one.unseen}
    marked = [f"{tag}*" if tag in unseen else tag for tag in languages]
    score = "/".join(dict.fromkeys(one.score for one in scored))
    rows = [[f"{scored[0].evaluation}: {score}", *marked, "mean"]]
    for name in dict.fromkeys(one.composition for one in scored):
        values = {one.language: one.value for one in scored if one.composition == name}
        mean = sum(values.values()) / len(values)
        # With --only, not every composition was scored in every language.
        cells = [f"{values[tag]:.3f}" if tag in values else "-" for tag in languages]
        rows.append([name, *cells, f"{mean:.3f}"])
    rows.append(["examples", *(_examples(scored, tag) for tag in languages), ""])
    yield from table_lines(rows, right=range(1, len(rows[0])))
    if unseen:
        yield "* no labels of this language were learnt"


def _examples(scored: Sequence[Scored], language: str) -> str:
    """Say how many examples were scored; tasks that are scored together may have others."""
    found = sorted({one.found.n for one in scored if one.language == language})
    return "/".join(map(count, found))


def trained_rows(trained: Mapping[str, tuple[int, int]]) -> list[list[str]]:
    """Give what was trained as rows of a table, its heads first."""
    rows = [["trained", "parameters", "size"]]
    rows += [[name, count(number), size(bytes_)] for name, (number, bytes_) in trained.items()]
    return rows


def _trained_table(trained: Mapping[str, tuple[int, int]]) -> list[str]:
    return table_lines(trained_rows(trained), right=(1, 2)) if trained else []


def _bundle_sizes(stored: StoredResult) -> list[SizeRow]:
    return size_report(read_manifest(FolderSource(stored.folder / "bundle")))


def run_summary(result: RunResult) -> str:
    """Say what was done now."""
    made, whole = len(result.made), number_of(len(result.results), "stage")
    if not made:
        return f"{whole} done before; nothing was made"
    return f"{whole}: {made} made now, {len(result.results) - made} done before"
