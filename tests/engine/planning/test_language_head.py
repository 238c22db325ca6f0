"""A plan says where the masked-LM head of its languages is from, and keys it accordingly."""

from pathlib import Path

import pytest

from composer.engine.planning.plan import Plan, make_plan
from composer.engine.planning.wanted import wanted_of
from composer.engine.storage.store import Store
from composer.errors import BackboneError
from composer.recipe.reading.reader import read_recipe
from composer.report.language_losses import head_line
from composer.report.planned import plan_lines, plan_values
from tests.model.test_masked_head import edit, write_whole
from tests.tiny import write_tiny_backbone

HEAD = "language-head/shared"
RECIPE = """\
composer: 1
name: home
backbone: {source: folder, path: backbone, precision: float32}
adapters: {thin: {kind: bottleneck, width: 4}}
data: {text: {source: files, path: $language.txt}}
languages: {members: [en, de], data: text, adapter: thin}
"""


def plan(folder: Path, old: str = "", new: str = "") -> Plan:
    (folder / "home.yaml").write_text(RECIPE.replace(old, new))
    for tag in ("en", "de", "fr"):
        if not (folder / f"{tag}.txt").exists():
            (folder / f"{tag}.txt").write_text(f"a sentence of {tag}\n")
    return make_plan(wanted_of(read_recipe(folder / "home.yaml")), Store(folder / "store"))


def keys(of: Plan) -> dict[str, str | None]:
    return {one.stage.name: one.key for one in of.stages}


def test_without_one_in_the_backbone_a_head_is_trained_and_the_plan_says_on_what(tmp_path: Path):
    write_tiny_backbone(tmp_path / "backbone")
    made = plan(tmp_path)
    said = head_line(made) or ""
    assert "brings no trained masked-LM head" in said
    assert said.endswith("on the text of de, en")
    assert said in plan_lines(made)
    assert plan_values(made)["language_head"] == said
    assert made.by_name[HEAD].cost.parameters == 32 * 32 + 3 * 32


def test_a_backbones_own_head_is_used_and_the_plan_says_so(tmp_path: Path):
    write_whole(tmp_path / "backbone", "bert")
    made = plan(tmp_path)
    assert (head_line(made) or "").endswith("brings a trained masked-LM head, which is used")
    assert made.by_name[HEAD].cost.parameters == 0
    before = keys(made)
    (tmp_path / "de.txt").write_text("another sentence\n")
    after = keys(plan(tmp_path, "[en, de]", "[en, de, fr]"))
    assert {name for name in before if before[name] != after[name]} == {"language/de"}


def test_another_head_in_the_backbone_trains_all_languages_again(tmp_path: Path):
    import torch

    write_whole(tmp_path / "backbone", "bert")
    before = keys(plan(tmp_path))
    edit(tmp_path / "backbone", {"cls.predictions.transform.dense.bias": torch.ones(32)})
    after = keys(plan(tmp_path))
    assert all(before[name] != after[name] for name in before)


def test_a_broken_head_is_told_when_it_is_planned_and_not_where_nobody_asks(tmp_path: Path):
    write_whole(tmp_path / "backbone", "bert")
    edit(tmp_path / "backbone", {"cls.predictions.bias": None})
    with pytest.raises(BackboneError, match=r"cls\.predictions\.bias .* is missing"):
        plan(tmp_path)
    made = plan(tmp_path, "members", "head: own, members")
    assert head_line(made) is None
    assert HEAD not in made.by_name
