"""What a run would do, and why."""

from dataclasses import dataclass, field

from composer.api.calling import Place, store_at
from composer.api.recipes import Recipe, as_recipe
from composer.api.showing import lines_html, table_html
from composer.engine.planning.plan import Plan as Planned
from composer.engine.planning.plan import make_plan
from composer.engine.planning.wanted import wanted_of
from composer.report.graph import mermaid_lines
from composer.report.planned import RIGHT, plan_lines, plan_rows, plan_summary, stage_values


@dataclass(frozen=True, repr=False)
class Plan:
    """A recipe's stages compared with the store: done, stale, or to be run.

    Shows itself as a table.

    Attributes:
        recipe: That was planned.
    """

    recipe: Recipe
    _planned: Planned = field(compare=False)

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of all stages, in the order of a run."""
        return tuple(one.stage.name for one in self._planned.stages)

    @property
    def left(self) -> tuple[str, ...]:
        """Names of the stages that a run would make."""
        return tuple(one.stage.name for one in self._planned.stages if one.state != "done")

    @property
    def seconds(self) -> float | None:
        """How long these take one after another, by earlier runs; None: not known of all."""
        times = [one.cost.seconds for one in self._planned.stages if one.state != "done"]
        return None if None in times else sum(one or 0.0 for one in times)

    def records(self) -> list[dict[str, object]]:
        """Give a dictionary a stage: name, key, state, reasons, parameters, seconds and so on."""
        return [stage_values(one) for one in self._planned.stages]

    def mermaid(self) -> str:
        """Draw the stages and what they need, as a Mermaid graph."""
        return "\n".join(mermaid_lines(self._planned))

    def __len__(self) -> int:
        return len(self._planned.stages)

    def __repr__(self) -> str:
        return "\n".join(plan_lines(self._planned))

    def _repr_html_(self) -> str:
        table = table_html(plan_rows(self._planned), right=RIGHT)
        return table + lines_html([plan_summary(self._planned)])


def plan_recipe(recipe: Recipe | Place, *, store: Place | None = None) -> Plan:
    """Say what a run would do, and why; without torch, and nothing is written.

    Args:
        recipe: What `load_recipe` gave, or the path of a file.
        store: Folder or URL of results. Left out: `COMPOSER_STORE`, or `.composer`.

    Raises:
        RecipeError: The recipe has faults.
        DataError: Data is missing; all of it at once.
        BackboneError: The backbone is not there.

    Example:
        plan = composer.plan_recipe("home.yaml")
        plan.left
    """
    found = as_recipe(recipe)
    return Plan(found, make_plan(wanted_of(found.loaded), store_at(store)))
