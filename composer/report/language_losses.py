"""The matrix of held-out masked-LM loss: adapters by languages.

masked-LM loss: test      en      de      fr
no adapter             3.181   3.204   3.302
en                     2.330*  4.121   4.249
de                     3.912   2.101*  4.030
...
hidden pieces            812     790     801
covered                 96 %    97 %    95 %
* the lowest of its language; it is the language's own adapter's in 3 of 3
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from composer.engine.planning.plan import Plan
from composer.engine.running.events import RunResult
from composer.recipe.expansion.languages import NO_ADAPTER
from composer.recipe.expansion.stages import ScoreText, TrainHead
from composer.report.layout import count, table_lines
from composer.train.results import LossFile, read_loss


@dataclass(frozen=True, kw_only=True)
class Loss:
    """The loss of one adapter on the text of one language.

    Attributes:
        adapter: The language whose adapter acted, or "none".
        found: What was measured.
    """

    adapter: str
    found: LossFile


def read_losses(plan: Plan, result: RunResult) -> list[Loss]:
    """Read the losses that a run took, in the order of the recipe."""
    stages = {one.stage.name: one.stage for one in plan.stages}
    return [
        Loss(adapter=name.split("/")[1], found=read_loss(stored.folder))
        for name, stored in result.results.items()
        if isinstance(stages[name], ScoreText)
    ]


def loss_values(losses: Sequence[Loss]) -> list[dict[str, object]]:
    """Give losses as JSON has them."""
    return [{"adapter": one.adapter, **one.found.model_dump(mode="json")} for one in losses]


def lowest(losses: Sequence[Loss]) -> dict[str, str]:
    """Name, for each language, the adapter with the lowest loss on it; of equals the first."""
    best: dict[str, Loss] = {}
    for one in losses:
        language = one.found.language
        if language not in best or one.found.loss < best[language].found.loss:
            best[language] = one
    return {language: one.adapter for language, one in best.items()}


def loss_lines(losses: Sequence[Loss]) -> Iterator[str]:
    """Lay out the matrix; nothing, where no losses were taken."""
    if not losses:
        return
    languages = list(dict.fromkeys(one.found.language for one in losses))
    best = lowest(losses)
    table = [[f"masked-LM loss: {losses[0].found.split}", *(f"{tag} " for tag in languages)]]
    for adapter in dict.fromkeys(one.adapter for one in losses):
        row = {one.found.language: one.found.loss for one in losses if one.adapter == adapter}
        table.append(
            [_named(adapter), *(_cell(row, tag, best[tag] == adapter) for tag in languages)]
        )
    about = {one.found.language: one.found for one in losses}
    table.append(["hidden pieces", *(f"{count(about[tag].pieces)} " for tag in languages)])
    table.append(["covered", *(f"{100 * about[tag].covered:.0f} % " for tag in languages)])
    yield from table_lines(table, right=range(1, len(table[0])))
    yield _told(losses, best)


def head_line(plan: Plan) -> str | None:
    """Say where the masked-LM head of a plan's languages is from; None: they share none."""
    heads = [one.stage for one in plan.stages if isinstance(one.stage, TrainHead)]
    if not heads or plan.facts is None:
        return None
    if heads[0].found is not None:
        return f"{heads[0].name}: the backbone brings a trained masked-LM head, which is used"
    return (
        f"{heads[0].name}: the backbone brings no trained masked-LM head, so one is trained on the "
        f"text of {', '.join(heads[0].data.languages) if heads[0].data else 'none'}"
    )


def _named(adapter: str) -> str:
    return "no adapter" if adapter == NO_ADAPTER else adapter


def _cell(row: Mapping[str, float], language: str, is_lowest: bool) -> str:
    if language not in row:
        return "- "
    return f"{row[language]:.3f}{'*' if is_lowest else ' '}"


def _told(losses: Sequence[Loss], best: Mapping[str, str]) -> str:
    """Count the languages whose own adapter has the lowest loss, of those that have one."""
    own = [tag for tag in best if any(one.adapter == tag for one in losses)]
    said = "* the lowest of its language"
    if not own:
        return said
    hits = sum(best[tag] == tag for tag in own)
    return f"{said}; it is the language's own adapter's in {hits} of {len(own)}"
