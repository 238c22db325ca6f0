"""A plan as a Mermaid graph, which GitHub, GitLab and many editors draw.

    flowchart LR
      s0["language/en"]:::done
      s1["task/intent<br>adapters.task.width: 32 -> 48"]:::stale
      s0 --> s1

Many languages of one kind, many scores of one composition, and many trials of one comparison are
one node that counts them.
"""

from collections.abc import Iterator, Mapping

from composer.engine.planning.plan import Plan, PlannedStage, State
from composer.report.layout import number_of

DRAWN_APART = 12  # stages of a group that are still drawn one by one

_STYLES: Mapping[State, str] = {
    "done": "fill:#e2f0e2,stroke:#4a7c4a,color:#000",
    "stale": "fill:#fdf0d0,stroke:#a67c00,color:#000",
    "run": "fill:#e0e9f8,stroke:#3a5f9e,color:#000",
}
_ESCAPES = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;"}


def mermaid_lines(plan: Plan) -> Iterator[str]:
    """Draw a plan: a node a stage, coloured by its state, an arrow to what needs it."""
    groups = _groups(plan)
    numbers = {name: number for number, name in enumerate(groups)}
    node_of = {one.stage.name: name for name, those in groups.items() for one in those}
    yield "flowchart LR"
    for name, those in groups.items():
        yield f'  s{numbers[name]}["{_label(name, those)}"]:::{_state(those)}'
    arrows = dict.fromkeys(
        (numbers[node_of[need]], numbers[node_of[name]])
        for name, needs in nearest_needs(plan).items()
        for need in needs
    )
    for start, end in arrows:
        yield f"  s{start} --> s{end}"
    for state, style in _STYLES.items():
        yield f"  classDef {state} {style}"


def nearest_needs(plan: Plan) -> dict[str, list[str]]:
    """Leave out of a stage's needs what another of its needs rests on already."""
    under: dict[str, set[str]] = {}
    nearest: dict[str, list[str]] = {}
    for one in plan.stages:
        needs = [need for need in one.stage.needs if need in under]
        deeper = {name for need in needs for name in under[need]}
        under[one.stage.name] = {*needs, *deeper}
        nearest[one.stage.name] = [need for need in needs if need not in deeper]
    return nearest


def _groups(plan: Plan) -> dict[str, list[PlannedStage]]:
    """Put stages together that differ in their language only, where there are many."""
    together: dict[str, list[PlannedStage]] = {}
    for one in plan.stages:
        together.setdefault(_group(one.stage.name), []).append(one)
    groups: dict[str, list[PlannedStage]] = {}
    for name, those in together.items():
        if len(those) > DRAWN_APART:
            groups[name] = those
        else:
            groups |= {one.stage.name: [one] for one in those}
    return groups


def _group(name: str) -> str:
    """Name the group of a stage.

    >>> _group("language/de"), _group("evaluation/all/intent/de"), _group("task/intent")
    ('language', 'evaluation/all/intent', 'task/intent')
    >>> _group("repeat/main/thin/cola/2"), _group("evaluation/main/thin/cola/2/en")
    ('repeat/main', 'evaluation/main')
    """
    kind, *names = name.split("/")
    if kind in ("trial", "choice", "repeat") or len(names) > 3:
        return f"{kind}/{names[0]}"
    return name.rpartition("/")[0] if kind in ("language", "language-loss", "evaluation") else name


def _state(stages: list[PlannedStage]) -> State:
    found = {one.state for one in stages}
    return next(state for state in ("stale", "run", "done") if state in found)


def _label(name: str, stages: list[PlannedStage]) -> str:
    lines = [name]
    if len(stages) > 1:
        left = sum(one.state != "done" for one in stages)
        by_language = name.startswith("language") or name.count("/") > 1
        noun = "language" if by_language else "stage"
        lines.append(f"{number_of(len(stages), noun)}, {left} to run")
    reasons = [reason for one in stages for reason in one.reasons]
    # What is made anew is seen by its arrow; what was edited stands where it was edited.
    edits = [str(one) for one in reasons if one.kind not in ("anew", "new")]
    lines += list(dict.fromkeys(edits))[:2]
    return "<br>".join("".join(_ESCAPES.get(one, one) for one in line) for line in lines)
