"""The stages of a recipe's languages: the shared head, adapters, and the matrix of losses."""

from dataclasses import replace
from pathlib import Path

import pytest

from composer.errors import RecipeError
from composer.recipe.expansion.expand import expand
from composer.recipe.expansion.keys import stage_settings
from composer.recipe.expansion.stages import (
    Rows,
    ScoreText,
    Stage,
    TrainHead,
    TrainLanguage,
    data_uses,
)
from composer.recipe.grammar.data import SampleData
from composer.recipe.grammar.training import TrainingChanges
from composer.recipe.reading.reader import read_recipe
from composer.recipe.sizes.backbone_shape import BackboneShape
from composer.recipe.sizes.fit import check_fit, trainable_parameters

HEAD = "language-head/shared"
RECIPE = """\
composer: 1
name: home
backbone: {source: sample, name: multilingual-e5-small, max_tokens: 64}
adapters: {thin: {kind: bottleneck, width: 8}}
data:
  text: {source: sample, name: assistant/text}
  more: {source: files, path: more/$language.txt}
languages: {members: [en, de], data: text, adapter: thin}
"""
SHAPE = BackboneShape(hidden_size=384, layers=12, max_tokens=512)


def stages(folder: Path, languages: str = "members: [en, de]") -> dict[str, Stage]:
    (folder / "home.yaml").write_text(RECIPE.replace("members: [en, de]", languages))
    return {one.name: one for one in expand(read_recipe(folder / "home.yaml").recipe)}


def settings(stage: Stage) -> dict[str, object]:
    return stage_settings(
        stage,
        needs={name: f"key of {name}" for name in stage.needs},
        data_digest="ab",
        backbone={"body": "1", "vocabulary": "2"},
        precision="float32",
        versions={},
    )


def test_one_head_is_trained_before_all_languages_and_all_of_them_need_it(tmp_path: Path):
    found = stages(tmp_path)
    assert list(found) == [HEAD, "language/en", "language/de"]
    assert [one.needs for one in found.values()] == [(), (HEAD,), (HEAD,)]
    head = found[HEAD]
    assert isinstance(head, TrainHead)
    assert head.texts[0].languages == ("de", "en")


def test_the_order_of_members_changes_nothing_that_is_trained(tmp_path: Path):
    one, other = stages(tmp_path), stages(tmp_path, "members: [de, en]")
    assert {name: settings(stage) for name, stage in one.items()} == {
        name: settings(stage) for name, stage in other.items()
    }


def test_an_output_layer_of_its_own_needs_nothing_and_has_the_key_it_always_had(tmp_path: Path):
    found = stages(tmp_path, "members: [en], head: own")
    assert list(found) == ["language/en"]
    assert found["language/en"].needs == ()
    assert settings(found["language/en"]).keys() == {
        *("kind", "shape", "data", "training", "backbone", "precision", "versions"),
    }


def test_a_language_that_is_added_trains_the_others_again_unless_the_heads_are_named(
    tmp_path: Path,
):
    named = "head: {languages: [en, de]}"
    before, after = stages(tmp_path), stages(tmp_path, "members: [en, de, ru]")
    assert settings(before[HEAD]) != settings(after[HEAD])
    before = stages(tmp_path, f"members: [en, de], {named}")
    after = stages(tmp_path, f"members: [en, de, ru], {named}")
    assert {name: settings(after[name]) for name in before} == {
        name: settings(stage) for name, stage in before.items()
    }


def test_the_head_reads_each_member_where_it_has_its_text(tmp_path: Path):
    found = stages(tmp_path, "members: {en: {}, de: {data: more}, ru: {}}")
    uses = data_uses(found[HEAD])
    assert [(use.source.source, use.languages) for use in uses] == [
        ("files", ("de",)),
        ("sample", ("en", "ru")),
    ]
    whole = found[HEAD].data
    assert whole is not None
    assert whole.languages == ("de", "en", "ru")


def test_the_head_is_trained_by_the_languages_settings_with_its_own_over_them(tmp_path: Path):
    block = "members: [en], training: {epochs: 3, seed: 4}, head: {training: {seed: 5}}"
    found = stages(tmp_path, block)
    assert (found[HEAD].training.epochs, found[HEAD].training.seed) == (3, 5)
    assert found["language/en"].training.seed == 4


def test_of_a_backbones_own_head_nothing_but_its_bytes_is_in_the_key(tmp_path: Path):
    head = stages(tmp_path)[HEAD]
    assert isinstance(head, TrainHead)
    own = replace(head, found="cd" * 32, texts=())
    assert own.data is None
    assert settings(own).keys() - {"backbone", "precision", "versions"} == {"kind", "found"}
    other = TrainingChanges(epochs=3).model_dump(exclude_none=True)
    changed = replace(own, training=own.training.model_copy(update=other))
    assert settings(changed) == settings(own)
    assert trainable_parameters(own, backbone=SHAPE, shapes={}) == 0


def test_losses_are_every_adapter_and_none_on_every_language(tmp_path: Path):
    found = stages(tmp_path, "members: [en, de], losses: {}")
    losses = {name: one for name, one in found.items() if isinstance(one, ScoreText)}
    assert list(losses) == [
        *("language-loss/none/en", "language-loss/none/de"),
        *("language-loss/en/en", "language-loss/en/de"),
        *("language-loss/de/en", "language-loss/de/de"),
    ]
    assert losses["language-loss/none/de"].needs == (HEAD,)
    assert losses["language-loss/en/de"].needs == ("language/en", HEAD)
    assert losses["language-loss/en/de"].split == "test"


def test_losses_may_be_of_some_adapters_on_languages_that_have_none(tmp_path: Path):
    found = stages(tmp_path, "members: [en, de], losses: {languages: [fi], adapters: [de]}")
    assert [name for name in found if name.startswith("language-loss/")] == [
        "language-loss/none/fi",
        "language-loss/de/fi",
    ]


def test_how_text_is_read_holds_for_head_adapters_and_losses(tmp_path: Path):
    block = "members: [en], pack_tokens: 32, whole_words: true, losses: {}"
    rows = [one.rows for one in stages(tmp_path, block).values()]  # type: ignore[union-attr]
    assert set(rows) == {Rows(pack_tokens=32, whole_words=True)}
    plain = settings(stages(tmp_path)["language/en"])
    assert "pack_tokens" not in plain
    assert "whole_words" not in plain


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        ("members: [en], head: own, losses: {}", "losses are compared over one output layer"),
        ("members: [en], losses: {adapters: [fi]}", "'fi' is no member and has no adapter"),
        ("members: [en], head: none", "must be 'shared' or 'own'"),
        ("members: [en], head: {languages: [en, en]}", "'en' is given twice"),
        ("members: [en], losses: {split: tset}", "did you mean 'test'"),
        ("members: [en], pack_tokens: 4", "must be at least 8, not 4"),
    ],
)
def test_what_does_not_go_together_is_told(tmp_path: Path, block: str, fault: str):
    with pytest.raises(RecipeError, match=fault):
        stages(tmp_path, block)


@pytest.mark.parametrize(("tokens", "faults"), [(64, 0), (65, 1)])
def test_packing_past_the_longest_input_is_told(tmp_path: Path, tokens: int, faults: int):
    block = f"members: [en], pack_tokens: {tokens}"
    (tmp_path / "home.yaml").write_text(RECIPE.replace("members: [en, de]", block))
    found = check_fit(read_recipe(tmp_path / "home.yaml").recipe, SHAPE)
    assert len(found) == faults
    assert all("must be at most 64" in one.message for one in found)


def test_the_text_of_a_language_is_its_own(tmp_path: Path):
    language = stages(tmp_path)["language/de"]
    assert isinstance(language, TrainLanguage)
    assert language.data.source == SampleData(source="sample", name="assistant/text")
    assert language.data.languages == ("de",)
