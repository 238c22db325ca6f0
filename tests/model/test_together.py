"""Several compositions in one batch give each text what it would get alone."""

from collections.abc import Callable

import pytest
import torch

from composer.model.composed import ComposedModel
from composer.model.together import logits_together
from tests.model.conftest import batch_of

TEXTS = ["turn on the lamp in the kitchen", "set a timer", "stop", "set a timer for ten minutes"]
EXPRESSIONS = {"one": "relu", "fused": "fuse(gelu, mid1)", "stacked": "relu > gelu"}
WANTED = ["stacked", "one", "fused", "one"]

Compose = Callable[..., ComposedModel]


@pytest.fixture
def models(compose: Compose) -> dict[str, ComposedModel]:
    return {name: compose(text, classes=3 + len(name)) for name, text in EXPRESSIONS.items()}


def test_each_text_gets_the_logits_of_its_own_model(models: dict[str, ComposedModel]):
    backbone = models["one"].backbone
    batch = batch_of(backbone, TEXTS)
    with torch.no_grad():
        got = logits_together(models, batch, wanted=WANTED)
        for number, name in enumerate(WANTED):
            alone = models[name](batch_of(backbone, [TEXTS[number]]))[0]
            torch.testing.assert_close(got[number], alone, rtol=1e-4, atol=1e-4)
            assert len(got[number]) == 3 + len(name)


def test_each_model_learns_from_its_own_texts_only(models: dict[str, ComposedModel]):
    batch = batch_of(models["one"].backbone, TEXTS)
    got = logits_together(models, batch, wanted=WANTED)
    got[0].sum().backward()
    learnt = {
        name: any(one.grad is not None and bool(one.grad.any()) for one in model.head.parameters())
        for name, model in models.items()
        if model.head is not None
    }
    assert learnt == {"one": False, "fused": False, "stacked": True}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["one"], "1 names for 4 texts; each text has one"),
        (["one", "two", "one", "one"], "no model is named two; there are one, fused, stacked"),
    ],
)
def test_wrong_names_are_told(models: dict[str, ComposedModel], wanted: list[str], message: str):
    batch = batch_of(models["one"].backbone, TEXTS)
    with pytest.raises(ValueError, match=message):
        logits_together(models, batch, wanted=wanted)


def test_another_backbone_is_refused(models: dict[str, ComposedModel], compose: Compose):
    from dataclasses import replace

    other = compose("relu")
    other._backbone = (replace(other.backbone),)
    batch = batch_of(other.backbone, TEXTS)
    with pytest.raises(ValueError, match="not on one backbone"):
        logits_together(models | {"one": other}, batch, wanted=WANTED)
