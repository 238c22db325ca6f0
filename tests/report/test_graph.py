"""A plan as a Mermaid graph."""

import re
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from composer.engine.planning.reasons import NEVER_MADE, Reason
from composer.report.graph import DRAWN_APART, mermaid_lines


@dataclass
class Stages:
    """Stands for a plan: only what a graph is drawn of."""

    stages: list[Any] = field(default_factory=list)

    def add(self, name: str, *needs: str, state: str = "run", reasons: Any = (NEVER_MADE,)) -> None:
        stage = SimpleNamespace(name=name, needs=needs)
        self.stages.append(SimpleNamespace(stage=stage, state=state, reasons=reasons))


def lines(plan: Stages) -> list[str]:
    return [line.strip() for line in mermaid_lines(plan)]  # type: ignore[arg-type]


def test_each_stage_is_a_node_of_its_state_and_each_need_an_arrow():
    plan = Stages()
    plan.add("task/a", state="done", reasons=())
    plan.add("composition/c", "task/a")
    assert lines(plan)[:4] == [
        "flowchart LR",
        's0["task/a"]:::done',
        's1["composition/c"]:::run',
        "s0 --> s1",
    ]


def test_an_arrow_that_follows_from_others_is_left_out():
    plan = Stages()
    plan.add("language/de")
    plan.add("task/a", "language/de")
    plan.add("evaluation/e/a/de", "language/de", "task/a")
    assert [line for line in lines(plan) if "-->" in line] == ["s0 --> s1", "s1 --> s2"]


def test_an_edit_stands_at_its_stage_and_what_would_end_the_text_is_escaped():
    plan = Stages()
    edit = Reason(kind="setting", what="tasks.a.labels", before="null", after='["<b>", "#"]')
    plan.add("task/a", state="stale", reasons=(edit, Reason(kind="anew", what="language/de")))
    (node,) = (line for line in lines(plan) if line.startswith("s0["))
    assert node == (
        's0["task/a<br>tasks.a.labels: null -#gt; '
        '[#quot;#lt;b#gt;#quot;, #quot;#35;#quot;]"]:::stale'
    )


def test_many_languages_are_one_node_that_counts_them():
    plan = Stages()
    tags = [f"a{chr(ord('a') + number)}" for number in range(DRAWN_APART + 1)]
    plan.add("task/a")
    for tag in tags:
        plan.add(f"evaluation/e/a/{tag}", "task/a", state="done" if tag == "aa" else "run")
    found = lines(plan)
    assert f's1["evaluation/e/a<br>{len(tags)} languages, {len(tags) - 1} to run"]:::run' in found
    assert len([line for line in found if re.match(r"s\d+\[", line)]) == 2
    assert [line for line in found if "-->" in line] == ["s0 --> s1"]


def test_many_trials_of_a_comparison_are_one_node_and_so_are_its_scores():
    plan = Stages()
    for number in range(DRAWN_APART + 1):
        plan.add(f"trial/main/thin/cola/clip={number}.0")
        plan.add(f"choice/main/thin{number}/cola", f"trial/main/thin/cola/clip={number}.0")
        plan.add(f"evaluation/main/thin{number}/cola/1/en", f"choice/main/thin{number}/cola")
    found = lines(plan)
    count = f"{DRAWN_APART + 1} stages, {DRAWN_APART + 1} to run"
    assert found[1:4] == [
        f's{place}["{kind}/main<br>{count}"]:::run'
        for place, kind in enumerate(("trial", "choice", "evaluation"))
    ]
    assert [line for line in found if "-->" in line] == ["s0 --> s1", "s1 --> s2"]
