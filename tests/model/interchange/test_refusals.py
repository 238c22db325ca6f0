"""What does not fit is named, with its place, its value and what is read instead."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adapters import AdapterFusionConfig, DoubleSeqBnConfig, LoRAConfig, SeqBnConfig

from composer.bundle.tensors import read_tensors, write_tensors
from composer.errors import InterchangeError
from composer.model.backbone import Backbone
from composer.model.interchange.configs import plain_config, read_shape, written_config
from composer.model.interchange.foreignheads import ForeignHead
from composer.model.interchange.hub import (
    ADAPTER,
    HEAD,
    HEAD_WEIGHTS,
    is_language,
    read_hub_adapter,
    read_hub_head,
    write_hub_adapter,
    write_hub_head,
)
from composer.model.interchange.hubfusions import (
    FUSION,
    SETUP,
    member_faults,
    read_hub_fusion,
    read_setup,
)
from composer.model.interchange.peft import CONFIG, WEIGHTS, read_peft, read_peft_head, write_peft
from composer.recipe.grammar.adapters import (
    AdapterShape,
    BitFit,
    BottleneckAdapter,
    Lora,
    MAdapter,
    Prefix,
)
from tests.model.interchange.library import BERT_NAME, composed

PFEIFFER = BottleneckAdapter(kind="bottleneck", placement="pfeiffer", width=4)


def tensors_of(shape: AdapterShape, backbone: Backbone) -> dict[str, np.ndarray]:
    from composer.model.methods.kinds import promised_tensors

    draw = np.random.default_rng(3)
    return {
        name: draw.normal(size=lengths).astype(np.float32)
        for name, lengths in promised_tensors(shape, backbone).items()
    }


def written(folder: Path, backbone: Backbone, shape: AdapterShape = PFEIFFER) -> Path:
    tensors = tensors_of(shape, backbone)
    write_hub_adapter(folder, "ner", shape, tensors, backbone=backbone, model=BERT_NAME)
    return folder


def change(path: Path, **changes: Any) -> None:
    about = json.loads(path.read_text())
    config = about["config"] if isinstance(about.get("config"), dict) else about
    for name, value in changes.items():
        (about if name in about else config)[name] = value
    path.write_text(json.dumps(about))


REFUSED = {
    "original_ln_after": (False, "false; in composer the backbone's norm follows: true"),
    "residual_before_ln": ("post_add", "composer's residual is taken before the norm"),
    "mh_adapter": (True, "true beside mh_adapter"),
    "ln_before": (True, "True; composer has nothing of that kind"),
    "use_gating": (True, "composer has nothing of that kind"),
    "phm_layer": (True, "composer has nothing of that kind"),
    "non_linearity": ("gelu_new", "'gelu_new'; composer has relu, gelu, swish, silu, tanh"),
    "scaling": ("channel", "'channel'; composer has a number or 'learned'"),
    "inv_adapter": ("glow", "'glow'; composer has NICE couplings alone"),
    "reduction_factor": ("many", "reduction_factor"),
    "leave_out": ([2], "leave_out: 2; the backbone has the layers 0 to 1"),
    "architecture": ("reft", "'reft'; composer reads bottlenecks"),
    "a_new_key": ([1], r"a_new_key: \[1\]; composer has nothing"),
    "model_type": ("roberta", "model_type: roberta, and the backbone's is bert"),
    "hidden_size": (768, "hidden_size: 768, and the backbone's is 32"),
    "name": ("../x.y", "name: ../x.y; it is 1 to 100 characters"),
    "config": ("compacter", "config: 'compacter' is no config that is read; .*seq_bn"),
}


@pytest.mark.parametrize("key", REFUSED)
def test_a_config_that_composer_does_not_compute_is_refused(
    backbone: Backbone, tmp_path: Path, key: str
):
    value, message = REFUSED[key]
    change(written(tmp_path, backbone) / ADAPTER, **{key: value})
    with pytest.raises(InterchangeError, match=message):
        read_hub_adapter(tmp_path, backbone)


def test_all_faults_of_a_config_are_told_at_once(backbone: Backbone, tmp_path: Path):
    change(written(tmp_path, backbone) / ADAPTER, use_gating=True, scaling="channel")
    with pytest.raises(InterchangeError) as error:
        read_hub_adapter(tmp_path, backbone)
    assert len(error.value.faults) == 2
    assert all(one.place.startswith(str(tmp_path / ADAPTER)) for one in error.value.faults)


def test_tensors_that_are_missing_left_over_or_misshapen_are_named(
    backbone: Backbone, tmp_path: Path
):
    path = written(tmp_path, backbone) / "adapter.safetensors"
    tensors = read_tensors(path)
    names = sorted(tensors)
    del tensors[names[0]]
    tensors[names[1]] = np.zeros((1, 1), np.float32)
    write_tensors(path, {**tensors, "bert.encoder.more": np.zeros(1, np.float32)})
    with pytest.raises(InterchangeError) as error:
        read_hub_adapter(tmp_path, backbone)
    told = str(error.value)
    assert "is missing" in told
    assert "'encoder.more' [1] has no place" in told
    assert "on this backbone" in told


def test_an_adapter_of_pefts_is_told_apart(backbone: Backbone, tmp_path: Path):
    (tmp_path / CONFIG).write_text('{"peft_type": "LORA"}')
    with pytest.raises(InterchangeError, match="composer import peft"):
        read_hub_adapter(tmp_path, backbone)
    (tmp_path / CONFIG).write_text('{"config": {}}')
    with pytest.raises(InterchangeError, match="composer import adapterhub"):
        read_peft(tmp_path, backbone)


OLD = {
    "pfeiffer": SeqBnConfig(),
    "houlsby": DoubleSeqBnConfig(),
    "seq_bn": SeqBnConfig(),
}


@pytest.mark.parametrize("name", OLD)
def test_a_config_by_name_is_the_librarys(name: str):
    named = read_shape(plain_config({"config": name, "version": "3.0"}, place=""), place="")
    about = {"config": OLD[name].to_dict(), "version": "3.0"}
    assert named == read_shape(plain_config(about, place=""), place="")


def test_a_config_of_the_first_versions_is_read(backbone: Backbone, tmp_path: Path):
    shape = PFEIFFER.model_copy(update={"non_linearity": "gelu", "invertible": True})
    path = written(tmp_path, backbone, shape) / ADAPTER
    about = json.loads(path.read_text())
    del about["version"]
    about["type"] = "text_lang"
    about["config"] = {
        "LN_after": False,
        "LN_before": False,
        "MH_Adapter": False,
        "Output_Adapter": True,
        "adapter_residual_before_ln": False,
        "attention_type": "sent-lvl-dynamic",
        "invertible_adapter": {
            "block_type": "nice",
            "non_linearity": "relu",
            "reduction_factor": 2,
        },
        "new_attention_norm": False,
        "non_linearity": "gelu_orig",
        "original_ln_after": True,
        "original_ln_before": True,
        "reduction_factor": 8,
        "residual_before_ln": True,
    }
    path.write_text(json.dumps(about))
    old = {"output.adapters": "output.layer_text_lang_adapters",
           "invertible_adapters": "invertible_lang_adapters"}  # fmt: skip
    weights = read_tensors(tmp_path / "adapter.safetensors")
    for now, then in old.items():
        weights = {name.replace(now, then): one for name, one in weights.items()}
    write_tensors(tmp_path / "adapter.safetensors", weights)
    read = read_hub_adapter(tmp_path, backbone)
    assert is_language(tmp_path)
    assert read.shape.non_linearity == "gelu"
    assert read.tensors.keys() == tensors_of(shape, backbone).keys()


def test_gelu_of_the_first_versions_is_another_one():
    config = {**SeqBnConfig().to_dict(), "non_linearity": "gelu"}
    with pytest.raises(InterchangeError, match="'gelu_new'; composer has"):
        read_shape(plain_config({"config": config}, place=""), place="")


def test_an_old_task_adapter_without_its_invertible_part_is_read(
    backbone: Backbone, tmp_path: Path
):
    path = written(tmp_path, backbone) / ADAPTER
    change(path, inv_adapter="nice", inv_adapter_reduction_factor=2)
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, "type": "text_task"}))
    assert not read_hub_adapter(tmp_path, backbone).shape.invertible
    assert not is_language(tmp_path)


def test_lora_of_faulty_versions_is_scaled_as_it_was_trained():
    about = {"config": LoRAConfig(r=4, alpha=16).to_dict(), "version": "adapters.1.0.1"}
    assert read_shape(plain_config(about, place=""), place="").alpha == 4
    about["version"] = "adapters.1.1.0"
    assert read_shape(plain_config(about, place=""), place="").alpha == 16


UNWRITABLE = {
    "madapter": MAdapter(kind="madapter", width=4),
    "bitfit": BitFit(kind="bitfit"),
    "train_norm": PFEIFFER.model_copy(update={"train_norm": True}),
    "targets": Lora(kind="lora", targets=("mixed",)),
}


@pytest.mark.parametrize("name", UNWRITABLE)
def test_what_the_library_does_not_have_is_not_written(name: str):
    with pytest.raises(InterchangeError, match=f"adapter: .*{name}|{name}; `adapters` has"):
        written_config(UNWRITABLE[name], size=32, layers=2)


@pytest.mark.parametrize("width", range(1, 33))
def test_a_width_that_is_written_is_read_again(width: int):
    shape = PFEIFFER.model_copy(update={"width": width})
    factor = written_config(shape, size=32, layers=2)["reduction_factor"]
    assert int(32 // factor) == width
    assert factor >= 1


HEADS = {
    "layers": (3, "layers: 3; composer's heads have 1 or 2; take the adapter alone"),
    "use_pooler": (True, "use_pooler: true"),
    "head_type": ("question_answering", "'question_answering'; composer has classification"),
    "num_labels": (0, "num_labels"),
    "label2id": ({"a": 0, "b": 7}, "2 labels that are not numbered 0 to 1; .*--labels A,B"),
}


def head_folder(folder: Path, backbone: Backbone) -> Path:
    head = ForeignHead(
        type="text-classification",
        labels=("no", "yes"),
        pooling="first",
        weight=np.ones((2, 32), np.float32),
        bias=np.zeros(2, np.float32),
    )
    write_hub_head(folder, "ner", head, backbone=backbone, model=BERT_NAME)
    return folder


@pytest.mark.parametrize("key", HEADS)
def test_a_head_that_composer_does_not_have_is_refused(
    backbone: Backbone, tmp_path: Path, key: str
):
    value, message = HEADS[key]
    change(head_folder(tmp_path, backbone) / HEAD, **{key: value})
    with pytest.raises(InterchangeError, match=message):
        read_hub_head(tmp_path, backbone)


def two_layers(folder: Path, backbone: Backbone) -> Path:
    head = ForeignHead(
        type="text-classification",
        labels=("no", "yes"),
        pooling="first",
        weight=np.ones((2, 32), np.float32),
        bias=np.zeros(2, np.float32),
        dense=np.ones((32, 32), np.float32),
        dense_bias=np.zeros(32, np.float32),
        non_linearity="gelu",
    )
    write_hub_head(folder, "ner", head, backbone=backbone, model=BERT_NAME)
    return folder


def test_what_lies_between_two_layers_is_told_by_name(backbone: Backbone, tmp_path: Path):
    file = two_layers(tmp_path, backbone) / HEAD
    change(file, activation_function="mish")
    expected = "activation_function: 'mish'; composer has relu, gelu, swish, silu, tanh"
    with pytest.raises(InterchangeError, match=expected):
        read_hub_head(tmp_path, backbone)
    change(file, layers=1)
    with pytest.raises(
        InterchangeError, match=r"heads.ner.4.weight' \[2, 32\] has no place in what"
    ):
        read_hub_head(tmp_path, backbone)


def test_gelu_was_another_one_in_files_without_a_version(backbone: Backbone, tmp_path: Path):
    file = two_layers(tmp_path, backbone) / HEAD
    about = json.loads(file.read_text())
    del about["version"]
    file.write_text(json.dumps(about))
    with pytest.raises(InterchangeError, match="activation_function: 'gelu_new'; composer has"):
        read_hub_head(tmp_path, backbone)
    change(file, activation_function="gelu_orig")
    assert read_hub_head(tmp_path, backbone).non_linearity == "gelu"


@pytest.mark.parametrize("wrong", [(32, 31), (31, 32), (32,), (0, 32)])
def test_a_dense_layer_of_another_shape_is_refused(
    backbone: Backbone, tmp_path: Path, wrong: tuple[int, ...]
):
    file = two_layers(tmp_path, backbone) / HEAD_WEIGHTS[0]
    write_tensors(file, {**read_tensors(file), "heads.ner.1.weight": np.ones(wrong, np.float32)})
    with pytest.raises(
        InterchangeError, match=r"heads.ner.1.weight' is .*, and \[32, 32\] on this"
    ):
        read_hub_head(tmp_path, backbone)


def test_a_model_class_whose_head_reads_a_pooler_is_refused(backbone: Backbone, tmp_path: Path):
    about = {"model_class": "BertForSequenceClassification", "model_type": "bert", "num_labels": 2}
    (tmp_path / HEAD).write_text(json.dumps(about))
    write_tensors(tmp_path / HEAD_WEIGHTS[0], {"classifier.weight": np.ones((2, 32), np.float32)})
    expected = (
        r"composer reads \*ForTokenClassification, and \*ForSequenceClassification of distilbert"
    )
    with pytest.raises(InterchangeError, match=expected):
        read_hub_head(tmp_path, backbone)


def test_labels_that_are_given_take_the_place_of_those_in_the_file(
    backbone: Backbone, tmp_path: Path
):
    head_folder(tmp_path, backbone)
    assert read_hub_head(tmp_path, backbone, labels=("off", "on")).labels == ("off", "on")
    with pytest.raises(InterchangeError, match="3 labels for 2 outputs"):
        read_hub_head(tmp_path, backbone, labels=("a", "b", "c"))


def test_a_head_that_reads_the_mean_is_not_written(backbone: Backbone, tmp_path: Path):
    head = ForeignHead(
        type="regression",
        labels=(),
        pooling="mean",
        weight=np.ones((1, 32), np.float32),
        bias=np.zeros(1, np.float32),
    )
    with pytest.raises(InterchangeError, match="read the first token.*--without-head"):
        write_hub_head(tmp_path, "ner", head, backbone=backbone, model=BERT_NAME)


def test_tags_that_are_no_spans_are_refused(backbone: Backbone, tmp_path: Path):
    change(head_folder(tmp_path, backbone) / HEAD, head_type="tagging")
    with pytest.raises(InterchangeError, match="are O, and B- and I- of each label"):
        read_hub_head(tmp_path, backbone)


FUSIONS = {
    "temperature": (True, "temperature falls from call to call"),
    "residual_before": (True, "added to what is mixed"),
    "query_before_ln": (True, "composer's query is what the adapters read"),
    "query": ("yes", "yes; it is true or false"),
    "a_new_key": (2, "2; composer has nothing of that kind"),
}


@pytest.mark.parametrize("key", FUSIONS)
def test_a_fusion_that_composer_does_not_compute_is_refused(
    backbone: Backbone, tmp_path: Path, key: str
):
    value, message = FUSIONS[key]
    config = {**AdapterFusionConfig.load("dynamic").to_dict(), key: value}
    about = {"config": config, "name": "a,b", "model_type": "bert"}
    (tmp_path / FUSION).write_text(json.dumps(about))
    with pytest.raises(InterchangeError, match=message):
        read_hub_fusion(tmp_path, [PFEIFFER, PFEIFFER], backbone)


def test_members_that_the_libraries_fuse_differently_are_refused():
    parallel = PFEIFFER.model_copy(update={"form": "parallel"})
    houlsby = PFEIFFER.model_copy(update={"placement": "houlsby"})
    for member, message in (
        (parallel, "adds the residual stream twice"),
        (houlsby, "different sub-layers"),
        (Prefix(kind="prefix"), "of the kind prefix"),
    ):
        (fault,) = member_faults([PFEIFFER, member], "f")
        assert message in fault.message


@pytest.mark.parametrize(
    "setup",
    [
        {"type": "Parallel", "children": ["a", "b"]},
        {"type": "Stack", "children": [{"type": "Fuse", "children": ["a", "b"]}, "c"]},
        {"type": "Fuse", "children": ["../a", "b"]},
    ],
)
def test_a_composition_that_is_another_or_leads_out_is_refused(
    tmp_path: Path, setup: dict[str, object]
):
    (tmp_path / SETUP).write_text(json.dumps({"adapter_setup": setup}))
    with pytest.raises(InterchangeError, match="composer reads a Fuse|no name of a folder"):
        read_setup(tmp_path)


PEFT = {
    "peft_type": ("IA3", "'IA3'; of PEFT composer reads 'LORA'"),
    "bias": ("all", "'all'; composer's LoRA leaves biases as they are"),
    "use_dora": (True, "use_dora: True; composer has nothing"),
    "init_lora_weights": ("pissa", "it moves the backbone's own weights"),
    "alpha_pattern": ({"(a+)+": 2.0}, "the end of a module's name is read, no pattern"),
    "modules_to_save": (["embeddings"], "composer reads a head beside LoRA"),
    "r": (0, "r: .*greater than or equal to 1"),
    "something_new": ({"a": 1}, "something_new: .*composer has nothing"),
}


def lora_folder(folder: Path, backbone: Backbone, head: ForeignHead | None = None) -> Path:
    shape = Lora(kind="lora", rank=2)
    tensors = tensors_of(shape, backbone)
    write_peft(folder, shape, tensors, head, backbone=backbone, model=BERT_NAME)
    return folder


@pytest.mark.parametrize("key", PEFT)
def test_what_composer_has_not_of_peft_is_refused(backbone: Backbone, tmp_path: Path, key: str):
    value, message = PEFT[key]
    change(lora_folder(tmp_path, backbone) / CONFIG, **{key: value})
    with pytest.raises(InterchangeError, match=message):
        read_peft(tmp_path, backbone)


def test_tensors_of_peft_that_change_something_else_are_named(backbone: Backbone, tmp_path: Path):
    path = lora_folder(tmp_path, backbone) / WEIGHTS[0]
    tensors = read_tensors(path)
    odd = "base_model.model.encoder.layer.0.attention.self.query.lora_magnitude_vector"
    del tensors["base_model.model.encoder.layer.1.attention.self.query.lora_A.weight"]
    write_tensors(path, {**tensors, odd: np.zeros(32, np.float32)})
    with pytest.raises(InterchangeError) as error:
        read_peft(tmp_path, backbone)
    assert "lora_magnitude_vector' changes nothing that composer's LoRA changes" in str(error.value)
    assert "1.query: lora_A is missing" in str(error.value)


def test_a_head_of_peft_needs_its_labels(backbone: Backbone, tmp_path: Path):
    head = ForeignHead(
        type="token-classification",
        labels=("x",),
        pooling="none",
        weight=np.arange(96, dtype=np.float32).reshape(3, 32),
        bias=np.zeros(3, np.float32),
    )
    lora_folder(tmp_path, backbone, head)
    with pytest.raises(InterchangeError, match="does not say what its outputs mean.*--labels"):
        read_peft_head(tmp_path, backbone)
    found = read_peft_head(tmp_path, backbone, labels=("O", "B-x", "I-x"))
    assert found is not None
    assert found.weight.tobytes() == head.weight.tobytes()
    assert composed(backbone, *_of(read_peft(tmp_path, backbone)))


def _of(read: Any) -> tuple[Any, Any]:
    return read.shape, read.tensors


@pytest.mark.parametrize("rows", [0, 1])
def test_a_head_of_peft_without_a_label_is_refused(backbone: Backbone, tmp_path: Path, rows: int):
    head = ForeignHead(
        type="token-classification",
        labels=("x",),
        pooling="none",
        weight=np.ones((rows, 32), np.float32),
        bias=np.zeros(rows, np.float32),
    )
    lora_folder(tmp_path, backbone, head)
    with pytest.raises(
        InterchangeError, match=r"outputs are O, and B- and I- of|is \[0, 32\], and"
    ):
        read_peft_head(tmp_path, backbone, labels=("O",)[:rows])


def test_a_head_that_no_model_of_transformers_has_is_not_written_for_peft(
    backbone: Backbone, tmp_path: Path
):
    dense = ForeignHead(
        type="token-classification",
        labels=("x",),
        pooling="none",
        weight=np.ones((3, 32), np.float32),
        bias=np.zeros(3, np.float32),
        dense=np.ones((32, 32), np.float32),
        dense_bias=np.zeros(32, np.float32),
        non_linearity="tanh",
    )
    expected = "head: of a token-classification, with tanh between two layers, pooling none"
    with pytest.raises(InterchangeError, match=expected):
        lora_folder(tmp_path, backbone, dense)
    sequences = replace(dense, type="text-classification", labels=("a", "b", "c"), pooling="first")
    with pytest.raises(InterchangeError, match="head: of a text-classification.*a pooler"):
        lora_folder(tmp_path, backbone, sequences)
    assert not list(tmp_path.iterdir())
