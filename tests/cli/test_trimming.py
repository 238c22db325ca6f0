"""`composer trim` and the bundles of a recipe that say how their backbone is put in."""

import json
from pathlib import Path

import pytest

from composer.engine.planning.backbones import backbone_facts
from composer.errors import RecipeError
from composer.recipe.grammar.backbones import FolderBackbone
from composer.recipe.reading.reader import read_recipe
from tests.cli.terminal import composer
from tests.tiny import write_tiny_backbone

RECIPE = """\
composer: 1
name: home
backbone: {source: folder, path: backbone}
adapters: {thin: {kind: bottleneck, width: 4}}
data:
  text: {source: files, path: text.txt}
  intent: {source: files, path: intent.csv}
tasks:
  intent: {type: text-classification, data: intent, languages: [en], adapter: thin}
bundles:
  box: {compositions: [intent], BOX}
"""


def test_a_copy_is_trimmed_and_known_by_its_fingerprints(tmp_path: Path):
    write_tiny_backbone(tmp_path / "backbone")
    (tmp_path / "words.en.txt").write_text("turn\non\nthe\nlamp\n")
    (tmp_path / "new.txt").write_text("turn on the lamp\nthe kitchen\n")
    arguments = ["trim", "folder:backbone", "--data", "words.$language.txt", "--test", "new.txt"]
    arguments += ["--language", "en", "--to", "small"]
    told = composer(tmp_path, *arguments)
    assert told.status == 0, told.err
    assert "en: 50.0% of 2 texts cut into other pieces than before" in told.out
    assert "backbone: {source: folder, path: small}" in told.out
    whole, small = (
        backbone_facts(FolderBackbone(source="folder", path=name), folder=tmp_path, cache=tmp_path)
        for name in ("backbone", "small")
    )
    assert whole is not None
    assert small is not None
    assert small.fingerprints.body == whole.fingerprints.body
    values = json.loads((tmp_path / "small" / "trimmed.json").read_text())
    assert values["record"]["parent"] == whole.fingerprints.vocabulary
    again = composer(tmp_path, *arguments)
    assert again.status == 2
    assert "small is there; give a name that is free" in again.err


@pytest.mark.parametrize(
    ("box", "fault"),
    [
        (
            "vocabulary: {data: text, languages: [en]}",
            "bundles.box.vocabulary: there is no backbone in this bundle; add `precision`",
        ),
        ("static: {tokens: 32}", "bundles.box.static: there is no backbone in this bundle"),
        (
            "precision: int8, vocabulary: {data: txt, languages: [en]}",
            "bundles.box.vocabulary.data: no data source is named 'txt'; did you mean 'text'?",
        ),
        (
            "precision: int8, vocabulary: {data: text, languages: [en, en]}",
            "bundles.box.vocabulary.languages",
        ),
        ("precision: int8, static: {tokens: 4}", "bundles.box.static.tokens"),
        ("precision: int8, vocabulary: {data: text}", "vocabulary: the key 'languages' is missing"),
    ],
)
def test_what_a_bundle_cannot_be_is_told_with_its_place(tmp_path: Path, box: str, fault: str):
    (tmp_path / "home.yaml").write_text(RECIPE.replace("BOX", box))
    with pytest.raises(RecipeError) as told:
        read_recipe(tmp_path / "home.yaml")
    assert fault in str(told.value)
