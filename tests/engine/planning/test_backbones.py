import json
from pathlib import Path

import pytest

from composer.bundle.files import write_json
from composer.bundle.fingerprint import fingerprint_folder
from composer.engine.planning.backbones import backbone_facts, backbone_folder
from composer.errors import BackboneError, RecipeError
from composer.recipe.grammar.backbones import FolderBackbone, HubBackbone, SampleBackbone
from composer.recipe.sizes.backbone_shape import BackboneShape
from tests.engine.fakes import write_backbone

COMMIT = "0a" * 20
HUB = HubBackbone(source="hub", name="owner/name", revision=COMMIT)


def test_a_folder_is_seen_from_the_recipe(tmp_path: Path):
    write_backbone(tmp_path / "recipes" / "mine")
    block = FolderBackbone(source="folder", path="mine")
    facts = backbone_facts(block, folder=tmp_path / "recipes", cache=tmp_path / "cache")
    assert facts is not None
    assert facts.fingerprints == fingerprint_folder(tmp_path / "recipes" / "mine")
    assert facts.shape == BackboneShape(hidden_size=8, layers=2, max_tokens=32)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"dim": 4, "n_layers": 3, "max_position_embeddings": 9}, (4, 3, 9)),
        (
            {
                "model_type": "xlm-roberta",
                "hidden_size": 4,
                "num_hidden_layers": 3,
                "max_position_embeddings": 514,
            },
            (4, 3, 512),
        ),
        ({"hidden_size": "4", "num_hidden_layers": 3}, None),
        ({"hidden_size": True, "num_hidden_layers": 3, "max_position_embeddings": 9}, None),
    ],
)
def test_the_shape_is_read_from_the_config_or_unknown(
    tmp_path: Path, config: dict[str, object], shape: tuple[int, int, int] | None
):
    write_backbone(tmp_path / "mine")
    write_json(tmp_path / "mine" / "config.json", config)
    block = FolderBackbone(source="folder", path="mine")
    facts = backbone_facts(block, folder=tmp_path, cache=tmp_path)
    assert facts is not None
    found = facts.shape
    assert (found and (found.hidden_size, found.layers, found.max_tokens)) == shape


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_hidden_layers": 10**9}, "1000000000 layers of size 8"),
        ({"hidden_size": -8}, "2 layers of size -8"),
        ({"max_position_embeddings": 10**12}, "for 1000000000000 positions"),
        ({"_attn_implementation_internal": "owner/repo"}, "names a kernel to fetch and run"),
        ({"text_config": {"auto_map": {"AutoModel": "m.M"}}}, r"text_config\.auto_map names"),
    ],
)
def test_a_crafted_config_is_refused_when_a_run_is_planned(
    tmp_path: Path, config: dict[str, object], message: str
):
    write_backbone(tmp_path / "mine")
    file = tmp_path / "mine" / "config.json"
    write_json(file, json.loads(file.read_text()) | config)
    block = FolderBackbone(source="folder", path="mine")
    with pytest.raises(BackboneError, match=message):
        backbone_facts(block, folder=tmp_path, cache=tmp_path)


def test_code_in_a_folder_is_refused_when_a_run_is_planned(tmp_path: Path):
    write_backbone(tmp_path / "mine")
    (tmp_path / "mine" / "modeling.py").write_text("raise SystemExit")
    block = FolderBackbone(source="folder", path="mine")
    with pytest.raises(BackboneError, match=r"modeling\.py holds code"):
        backbone_facts(block, folder=tmp_path, cache=tmp_path)


def test_an_unknown_sample_is_refused_with_the_nearest(tmp_path: Path):
    block = SampleBackbone(source="sample", name="multilingual-e5-smal")
    with pytest.raises(RecipeError, match=r"backbone\.name: .*did you mean"):
        backbone_facts(block, folder=tmp_path, cache=tmp_path)


def test_a_backbone_of_the_hub_is_unknown_until_it_is_fetched_then_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[dict[str, object]] = []

    def snapshot_download(**options: object) -> None:
        asked.append(options)
        folder = Path(str(options["local_dir"]))
        write_backbone(folder / "new")
        for path in (folder / "new").iterdir():
            path.rename(folder / path.name)
        (folder / "new").rmdir()
        (folder / ".cache").mkdir()

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert backbone_facts(HUB, folder=tmp_path, cache=tmp_path) is None
    for _ in range(2):
        folder = backbone_folder(HUB, folder=tmp_path, cache=tmp_path)
    assert len(asked) == 1
    assert asked[0]["revision"] == COMMIT
    assert asked[0]["allow_patterns"] == ["*.json", "*.safetensors", "*.txt"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert backbone_facts(HUB, folder=tmp_path, cache=tmp_path) is not None


def test_a_fault_of_the_hub_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def snapshot_download(**options: object) -> None:
        (Path(str(options["local_dir"])) / "half").write_text("")
        raise ConnectionError("no route to host")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises(BackboneError, match=r"owner/name at 0a0a.*\(no route to host\); check"):
        backbone_folder(HUB, folder=tmp_path, cache=tmp_path)
    assert backbone_facts(HUB, folder=tmp_path, cache=tmp_path) is None
    assert [path.name for path in tmp_path.rglob("half")] == []
