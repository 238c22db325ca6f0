"""What acts inside an encoder, held to models of `transformers` whose own weights are changed."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import BertModel

from composer.errors import AdapterError
from composer.model.backbone import Backbone, open_backbone
from composer.model.composed import ComposedModel
from composer.model.layouts import LAYOUTS
from composer.model.methods.full import full_tensors
from composer.model.methods.kinds import new_adapter, promised_tensors, stored_adapter
from composer.model.methods.lora import LowRankProduct
from composer.model.parts import Adapter
from composer.model.together import logits_together
from composer.recipe.checking.combining import REASONS
from composer.recipe.grammar.adapters import Lora
from composer.recipe.grammar.composition import Average, adapter_names, stacked_parts
from composer.recipe.sizes.fit import adapter_parameters
from composer.recipe.sizes.inner import COMPUTED, BackboneShape
from tests.model.conftest import batch_of
from tests.model.kinds import INNER, SHAPES, adapter_of, model_of
from tests.tiny import write_tiny_family, write_tiny_roberta

TEXTS = ["turn on the lamp in the kitchen", "set a timer", "stop"]
MATRICES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "mixed": "attention.output.dense",
    "wide": "intermediate.dense",
    "narrow": "output.dense",
}
NORMS = {"attention": "attention.output.LayerNorm", "output": "output.LayerNorm"}


@pytest.fixture(scope="module")
def exact(tiny_folder: Path) -> Backbone:
    """In float64, where weights as large as these amplify no rounding."""
    backbone = open_backbone(tiny_folder, precision="float32")
    backbone.to(torch.float64)
    return backbone


@pytest.fixture(scope="module")
def narrow(tiny_folder: Path) -> Backbone:
    return open_backbone(tiny_folder, precision="bfloat16")


@pytest.fixture(scope="module")
def families(backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Backbone]:
    """One of each architecture whose layers composer computes, and one of another."""
    folder = tmp_path_factory.mktemp("families")
    written = {
        "distilbert": write_tiny_family(folder / "distilbert", "distilbert"),
        "xlm-roberta": write_tiny_roberta(folder / "xlm-roberta"),
        "electra": write_tiny_family(folder / "electra", "electra"),
    }
    opened = {name: open_backbone(one, precision="float32") for name, one in written.items()}
    return {"bert": backbone, **opened}


@pytest.mark.parametrize(
    "expression",
    ["lora", "low", "bits", "bitsnorm", "lora > low", "lora > bits > low", "bits > lora",
     "average(lora, bits)", "average(0.25 * lora, 0.75 * low)"],
)  # fmt: skip
def test_hidden_states_equal_those_of_changed_weights(
    exact: Backbone, tiny_folder: Path, expression: str
):
    ours = model_of(exact, expression).double()
    batch = batch_of(exact, TEXTS)
    assert difference(ours, changed_model(tiny_folder, ours), batch) < 1e-10
    with torch.no_grad():
        assert not torch.allclose(ours.hidden(batch), exact.encode(batch), atol=1e-2)


def changed_model(folder: Path, ours: ComposedModel) -> nn.Module:
    """Add what the members say to the weights of a model of the library."""
    model = BertModel.from_pretrained(folder, add_pooling_layer=False).double().eval()
    weights = dict.fromkeys(adapter_names(ours.composition), 1.0)
    if isinstance(ours.composition, Average):
        weights = dict(zip(ours.composition.parts, ours.composition.weights, strict=True))
    top = stacked_parts(ours.composition)[-1]
    with torch.no_grad():
        if isinstance(top, str):
            put_norms(model, ours.adapter(top))
        for name, weight in weights.items():
            change(model, ours.adapter(name), weight)
    return model


def change(model: nn.Module, adapter: Adapter, weight: float) -> None:
    shape = adapter.shape
    for number in range(2):
        layer = model.get_submodule(f"encoder.layer.{number}")
        for name, path in MATRICES.items():
            linear = layer.get_submodule(path)
            if isinstance(shape, Lora) and f"{number}.{name}.down" in adapter:
                added = adapter[f"{number}.{name}.up"] @ adapter[f"{number}.{name}.down"]
                linear.weight.add_(weight * shape.alpha / shape.rank * added)
            if f"{number}.{name}.bias_delta" in adapter:
                linear.bias.add_(weight * adapter[f"{number}.{name}.bias_delta"])
        for where, path in NORMS.items():
            if f"{number}.{where}.norm_bias_delta" in adapter:
                delta = adapter[f"{number}.{where}.norm_bias_delta"]
                layer.get_submodule(path).bias.add_(weight * delta)
    if "embeddings.norm_bias_delta" in adapter:
        norm = model.get_submodule("embeddings.LayerNorm")
        norm.bias.add_(weight * adapter["embeddings.norm_bias_delta"])


def put_norms(model: nn.Module, adapter: Adapter) -> None:
    for name in adapter.names:
        site, _, which = name.rpartition(".norm_")
        if which in ("weight", "bias"):
            number, where = site.split(".")
            norm = model.get_submodule(f"encoder.layer.{number}.{NORMS[where]}")
            getattr(norm, which).copy_(adapter[name])


def difference(ours: ComposedModel, theirs: nn.Module, batch: dict[str, Tensor]) -> float:
    real = batch["attention_mask"].bool()
    with torch.no_grad():
        expected = theirs(**batch).last_hidden_state[real]
        got = ours.hidden(batch)[real]
    return float((got - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("kind", ["bert", "distilbert", "xlm-roberta", "bfloat16"])
def test_a_fresh_copy_gives_the_bits_of_the_backbone(
    families: dict[str, Backbone], narrow: Backbone, kind: str
):
    backbone = narrow if kind == "bfloat16" else families[kind]
    copy = new_adapter(SHAPES["whole"], backbone=backbone, generator=torch.Generator())
    model = ComposedModel(backbone, composition="copy", adapters={"copy": copy})
    batch = batch_of(backbone, TEXTS)
    with torch.no_grad():
        assert torch.equal(model.hidden(batch), backbone.encode(batch))
    assert {one.dtype for one in copy.tensors().values()} == {torch.float32}
    wanted = {name: tuple(one.shape) for name, one in copy.tensors().items()}
    assert wanted == full_tensors(backbone)


def test_a_copy_learns_as_the_library_does(backbone: Backbone, tiny_folder: Path):
    copy = new_adapter(SHAPES["whole"], backbone=backbone, generator=torch.Generator())
    model = ComposedModel(backbone, composition="copy", adapters={"copy": copy})
    theirs = BertModel.from_pretrained(tiny_folder, add_pooling_layer=False).eval()
    batch = batch_of(backbone, TEXTS)
    real = batch["attention_mask"].bool()
    model.hidden(batch)[real].pow(3).sum().backward()
    theirs(**batch).last_hidden_state[real].pow(3).sum().backward()
    gradients = {
        name: piece
        for mine, names in copy.table.items()  # type: ignore[attr-defined]
        for name, piece in zip(names, copy.parameter(mine).grad.chunk(len(names)), strict=True)  # type: ignore[union-attr]
    }
    for name, parameter in theirs.named_parameters():
        expected = parameter.grad
        assert expected is not None
        torch.testing.assert_close(gradients[name], expected, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("name", INNER)
def test_only_own_weights_get_gradients(narrow: Backbone, name: str):
    backbone = narrow
    model = model_of(backbone, name)
    batch = batch_of(backbone, TEXTS)
    model.hidden(batch)[batch["attention_mask"].bool()].pow(3).sum().backward()
    adapter = model.adapter(name)
    learnt = {one for one in adapter.names if adapter.parameter(one).grad is not None}
    assert learnt == set(adapter.names)
    assert all(one.grad is None for one in backbone.module.parameters())


@pytest.mark.parametrize("name", [name for name in INNER if name not in ("prefix", "top")])
def test_an_untrained_adapter_changes_nothing(backbone: Backbone, name: str):
    model = model_of(backbone, name, drawn=False)
    batch = batch_of(backbone, TEXTS)
    with torch.no_grad():
        same = torch.allclose(model.hidden(batch), backbone.encode(batch), atol=1e-5)
    assert same != (name in ("prompt", "soft"))  # vectors of tokens are there to be seen


@pytest.mark.parametrize("name", ["prefix", "prompt", "top > prompt", "turned > prompt > soft"])
def test_padding_is_not_seen(backbone: Backbone, name: str):
    """`adapters` 1.3.0 gives a text other values beside a longer one: its mask stays short."""
    model = model_of(backbone, name)
    together = batch_of(backbone, TEXTS)
    with torch.no_grad():
        hidden = model.hidden(together)
        for row, text in enumerate(TEXTS):
            alone = model.hidden(batch_of(backbone, [text]))[0]
            torch.testing.assert_close(hidden[row, : len(alone)], alone, rtol=1e-4, atol=1e-4)
    assert hidden.shape[:2] == together["input_ids"].shape


@pytest.mark.parametrize("expression", ["lora", "low > lora", "average(lora, low)"])
def test_merged_and_apart_are_the_same_function(
    backbone: Backbone, exact: Backbone, expression: str
):
    alike(*(model_of(backbone, expression) for _ in range(2)), within=1e-4)
    alike(*(model_of(exact, expression).double() for _ in range(2)), within=1e-12)


def alike(merging: ComposedModel, apart: ComposedModel, *, within: float) -> None:
    for model, merge in ((merging, True), (apart, False)):
        for member in model.members.values():
            member.shape = member.shape.model_copy(update={"merge": merge})  # type: ignore[operator]
    batch = batch_of(merging.backbone, TEXTS)
    with torch.no_grad():
        expected = apart.hidden(batch)
        off = (merging.hidden(batch) - expected).abs().max() / expected.abs().max()
        assert float(off) < within
        assert products(merging) == {False}
        assert True in products(apart)


def products(model: ComposedModel) -> set[bool]:
    """Say of the joined products whether low-rank ones lie beside them."""
    changes = model.changes()
    assert changes is not None
    return {isinstance(layer.joined, LowRankProduct) for layer in changes.layers}


def test_weights_are_merged_once_and_again_when_they_change(backbone: Backbone):
    model = model_of(backbone, "lora")
    with torch.no_grad():
        first, second = model.changes(), model.changes()
        model.adapter("lora")["0.query.up"].add_(1.0)
        third = model.changes()
    assert first is not None
    assert second is not None
    assert third is not None
    assert first.layers[0].joined is second.layers[0].joined
    assert third.layers[0].joined is not first.layers[0].joined
    assert third.layers[1].joined is first.layers[1].joined


def test_nothing_is_merged_while_it_is_learnt_or_in_bfloat16(backbone: Backbone, narrow: Backbone):
    assert products(model_of(backbone, "lora")) == {True}
    rounded, batch = model_of(narrow, "lora"), batch_of(narrow, TEXTS)
    with torch.no_grad():
        assert products(rounded) == {True}
        expected = model_of(backbone, "lora").hidden(batch)
        assert float((rounded.hidden(batch) - expected).abs().max()) < 0.2


def test_a_frozen_lora_under_what_is_learnt_is_merged(backbone: Backbone):
    model = model_of(backbone, "lora > net")
    model.adapter("lora").freeze()
    assert products(model) == {False}


def test_prompts_and_prefixes_of_a_stack_lie_one_behind_the_other(backbone: Backbone):
    changes = model_of(backbone, "prompt > prefix > soft > top").changes()
    assert changes is not None
    assert changes.prompt is not None
    assert len(changes.prompt) == 6
    assert [len(layer.prefix[0]) for layer in changes.layers if layer.prefix] == [3, 5]


def test_a_prompt_starts_as_tokens_of_the_vocabulary(backbone: Backbone):
    prompt = adapter_of(backbone, "prompt", drawn=False).tensors()["embeddings.prompt"]
    ids = torch.arange(backbone.config.vocab_size).unsqueeze(1)
    with torch.no_grad():
        rows = backbone.module.embeddings(input_ids=ids, token_type_ids=torch.zeros_like(ids))
    nearest = (prompt.unsqueeze(1) - rows.squeeze(1)).abs().amax(dim=2).min(dim=1).values
    assert float(nearest.max()) < 1e-5


COMPOSITIONS = [
    "lora", "low", "bits > net", "prefix", "prompt > mid", "whole", "net", "average(lora, bits)",
]  # fmt: skip


def test_eight_threads_get_the_bits_of_one(backbone: Backbone):
    models = [model_of(backbone, expression).eval() for expression in COMPOSITIONS]
    batch = batch_of(backbone, TEXTS)

    def logits(model: ComposedModel) -> Tensor:
        with torch.inference_mode():
            return torch.stack([model(batch) for _ in range(2)])

    serial = [logits(model) for model in models]
    for model in models:
        model._kept._made.clear()  # merged anew, by several threads at a time
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(logits, models))
    assert all(torch.equal(one, other) for one, other in zip(serial, found, strict=True))


def test_several_compositions_in_one_batch(backbone: Backbone):
    models = {expression: model_of(backbone, expression).eval() for expression in COMPOSITIONS}
    wanted = [COMPOSITIONS[place] for place in (0, 6, 5, 6, 4)]
    texts = [*TEXTS, "set a timer for ten minutes", "turn off the light"]
    with torch.no_grad():
        got = logits_together(models, batch_of(backbone, texts), wanted=wanted)
        for text, name, logits in zip(texts, wanted, got, strict=True):
            alone = models[name](batch_of(backbone, [text]))[0]
            torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("fuse(lora, net)", r"lora \(lora\) cannot stand in a fusion, fuse\(lora, net\): a fusion"),
        ("gate(net, bits)", r"bits \(bitfit\) cannot stand in a gate"),
        ("average(prefix, net)", r"prefix \(prefix\) cannot stand in an average.*has no mean"),
        ("average(net, top > net)", r"top \(prefix\) cannot stand in an average"),
        (
            "whole > net",
            r"whole \(full\) cannot stand lower in a stack.*of the whole backbone",
        ),
        ("lora > turned", "turned is invertible and does not stand alone at the start"),
    ],
)
def test_what_has_no_meaning_is_refused(backbone: Backbone, expression: str, message: str):
    with pytest.raises(AdapterError, match=message):
        model_of(backbone, expression)


@pytest.mark.parametrize("shape", [SHAPES[name] for name in INNER], ids=INNER)
def test_layers_that_transformers_computes_take_none_of_them(
    families: dict[str, Backbone], shape: Lora
):
    backbone = families["electra"]
    with pytest.raises(AdapterError, match=f"{shape.kind} changes the products.*Use a bottleneck"):
        new_adapter(shape, backbone=backbone, generator=torch.Generator())
    with pytest.raises(AdapterError, match="'electra' are computed by transformers"):
        stored_adapter(shape, {}, backbone)


def test_the_architectures_that_the_checks_know_are_those_that_are_computed():
    assert set(COMPUTED) == LAYOUTS.keys()


@pytest.mark.parametrize("family", ["bert", "distilbert", "xlm-roberta"])
@pytest.mark.parametrize("name", INNER)
def test_the_formula_counts_what_is_made(families: dict[str, Backbone], family: str, name: str):
    backbone = families[family]
    config = backbone.config
    types = 0 if family == "distilbert" else config.type_vocab_size
    shape = BackboneShape(
        hidden_size=32,
        layers=2,
        max_tokens=64,
        intermediate_size=64,
        embedding_rows=config.vocab_size + config.max_position_embeddings + types,
    )
    made = adapter_of(backbone, name)
    assert adapter_parameters(made.shape, shape) == made.count()
    stored = {key: tuple(one.shape) for key, one in made.tensors().items()}
    assert stored == promised_tensors(made.shape, backbone)
    again = stored_adapter(made.shape, made.tensors(), backbone)
    assert all(torch.equal(again[key], made[key]) for key in made.names)


def test_what_is_learnt_of_embeddings_is_dropped_as_they_are(backbone: Backbone):
    """BitFit moves a bias in front of the dropout; an invertible adapter acts behind it."""
    model = model_of(backbone, "turned > bits")
    batch = batch_of(backbone, TEXTS)
    with torch.no_grad():
        expected = model.hidden(batch)
        coupling = model.adapter("turned").coupling()
        assert coupling is not None
    without = model_of(backbone, "bits")
    with torch.no_grad():
        assert not torch.allclose(without.hidden(batch), expected, atol=1e-2)


WAYS = {
    "alone": "{}",
    "lower": "{} > net",
    "upper": "net > {}",
    "average": "average({}, net)",
    "fuse": "fuse({}, net)",
    "gate": "gate(net, {})",
}


@pytest.mark.parametrize("name", ["lora", "bits", "prefix", "prompt", "whole", "mid"])
def test_models_allow_what_the_table_of_kinds_allows(backbone: Backbone, name: str):
    for use, expression in WAYS.items():
        reason = REASONS.get((SHAPES[name].kind, use))
        if reason is not None:
            with pytest.raises(AdapterError, match=reason):
                model_of(backbone, expression.format(name))
        elif use in ("fuse", "gate"):
            model_of(backbone, expression.format(name))
        else:
            with torch.no_grad():
                model_of(backbone, expression.format(name))(batch_of(backbone, TEXTS))
