"""Shares that are explained are those of the pass, and those of the published formulas."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from composer.data.encode import Encoder
from composer.data.examples import Example
from composer.errors import DataError
from composer.model.adapters import Site
from composer.model.composed import ComposedModel
from composer.model.explained import explain
from composer.model.files import HeadFile
from composer.model.predictor import Predictor
from composer.model.walk import Walk
from composer.recipe.grammar.composition import Fuse, parse_composition
from tests.model.conftest import adapter
from tests.model.kinds import adapter_of
from tests.model.test_composed_against_reference import Reference

TEXTS = ["turn on the lamp in the kitchen", "wie warm ist es", "x"]
MIXTURES = [
    "fuse(relu, gelu, swish)",
    "fuse(relu, mid1, none)",
    "gate(relu, gelu, mid1)",
    "fuse(low, low2)",
    "swish > fuse(relu, gelu)",
    "fuse(relu, gelu) > gate(mid1, tanh)",
    "fuse(seen, seen2)",
]

Compose = Callable[..., ComposedModel]


def predictor_of(model: ComposedModel, type: str = "text-classification") -> Predictor:
    backbone = model.backbone
    labels = () if type == "regression" else ("off", "on", "up")
    about = HeadFile(size=backbone.size, type=type, labels=labels, pooling=model.pooling)
    return Predictor(model.eval(), about, Encoder(backbone.tokenizer, max_tokens=64))


def expected_shares(model: ComposedModel, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Fill, while the model runs, the shares that the published formulas give, in float64."""
    found: dict[str, Tensor] = {}
    act, reference = Walk.act, Reference(model)

    def watched(self: Walk, site: Site, hidden: Tensor, residual: Tensor, norm: object) -> Tensor:
        wide, beside = hidden.double(), residual.double()
        number = 0
        for part in self.parts:
            prefix = f"{site}.{number}"
            if not hasattr(part, "parts") or not any(
                name.startswith(prefix) for name in reference.owned
            ):
                wide = wide + reference._added(part, site, wide, beside)
                continue
            u = reference._read(part, site, wide, beside)
            ups = [reference._added(one, site, wide, beside) for one in part.parts]
            owned = reference.owned
            if isinstance(part, Fuse):
                keys = torch.stack(ups, dim=-2) @ owned[f"{prefix}.key"].T
                query = u @ owned[f"{prefix}.query"].T + owned[f"{prefix}.query_bias"]
                scores = (keys * query.unsqueeze(-2)).sum(-1)
            else:
                scores = u @ owned[f"{prefix}.gate"].T + owned[f"{prefix}.gate_bias"]
            found[f"{number} {site}"] = torch.softmax(scores, -1).flatten(0, 1)
            wide = wide + reference._mixed(part, number, site, wide, beside)
            number += 1
        return act(self, site, hidden, residual, norm)

    monkeypatch.setattr(Walk, "act", watched)
    return found


@pytest.mark.parametrize("expression", MIXTURES)
def test_shares_are_those_of_the_published_formulas(
    compose: Compose, monkeypatch: pytest.MonkeyPatch, expression: str
):
    predictor = predictor_of(compose(expression))
    expected = expected_shares(predictor.model, monkeypatch)
    for text in TEXTS:
        (found,) = explain(predictor, [Example(text=text)])
        got = {
            f"{number} {site}": shares
            for number, one in enumerate(found.mixers)
            for site, shares in one.sites.items()
        }
        assert got.keys() == expected.keys()
        for place, shares in got.items():
            assert len(shares) == len(found.tokens)
            assert np.allclose(shares, expected[place].numpy(), atol=1e-5), place
            assert np.allclose(np.sum(shares, 1), 1, atol=1e-6)


def test_shares_differ_from_token_to_token_and_from_site_to_site(compose: Compose):
    (found,) = explain(predictor_of(compose("fuse(relu, gelu)")), [Example(text=TEXTS[0])])
    (mixer,) = found.mixers
    shares = np.array([*mixer.sites.values()])
    assert shares.std() > 0.05  # so that the comparison above is of something
    assert (mixer.mixer, mixer.form, mixer.members) == (
        "fuse(relu, gelu)",
        "fuse",
        ("relu", "gelu"),
    )
    assert list(mixer.sites) == ["0.attention", "0.output", "1.attention", "1.output"]


def test_probabilities_and_prediction_are_those_of_a_plain_prediction(compose: Compose):
    predictor = predictor_of(compose("fuse(relu, gelu)"))
    examples = [Example(text=text) for text in TEXTS]
    plain = predictor.predict(examples)
    for one, other in zip(explain(predictor, examples), plain, strict=True):
        assert one.prediction.value == other.value
        (shares,) = one.probabilities
        assert one.classes[int(np.argmax(shares))] == other.value
        assert max(shares) == pytest.approx(other.confidence, abs=1e-5)
        assert sum(shares) == pytest.approx(1)
    assert predictor.model.watch is None


def test_a_watch_that_was_there_is_there_again(compose: Compose):
    predictor = predictor_of(compose("fuse(relu, gelu)"))
    predictor.model.watch = before = lambda site, number, shares: None
    with pytest.raises(DataError, match="tokens"):
        explain(predictor, [Example(text="lamp " * 100)])
    explain(predictor, [Example(text="lamp")])
    assert predictor.model.watch is before


def test_what_was_cut_is_told(compose: Compose):
    (found,) = explain(
        predictor_of(compose("fuse(relu, gelu)")), [Example(text="lamp " * 100)], truncate=True
    )
    assert (len(found.tokens), found.cut) == (64, 38)
    assert found.tokens[:2] + found.tokens[-1:] == ("[CLS]", "lamp", "[SEP]")


def test_a_pair_is_read_as_one(compose: Compose):
    (found,) = explain(
        predictor_of(compose("gate(relu, gelu)")), [Example(text="lamp", pair="light on")]
    )
    assert found.tokens == ("[CLS]", "lamp", "[SEP]", "light", "on", "[SEP]")
    assert found.mixers[0].form == "gate"
    assert len(found.mixers[0].sites["1.output"]) == 6


def test_what_mixes_nothing_has_no_shares(compose: Compose):
    (found,) = explain(predictor_of(compose("average(relu, gelu)")), [Example(text="lamp")])
    assert found.mixers == ()


def test_spans_have_probabilities_of_tags_for_each_token(compose: Compose):
    model = compose("fuse(relu, gelu)", classes=7)
    model.pooling = "none"
    (found,) = explain(predictor_of(model, "token-classification"), [Example(text="lamp on")])
    assert found.classes == ("O", "B-off", "I-off", "B-on", "I-on", "B-up", "I-up")
    assert np.shape(found.probabilities) == (4, 7)
    assert np.sum(found.probabilities, 1) == pytest.approx(np.ones(4))


def test_labels_that_stand_together_have_probabilities_of_their_own(compose: Compose):
    predictor = predictor_of(compose("fuse(relu, gelu)"), "multi-label-classification")
    example = Example(text="lamp")
    (found,) = explain(predictor, [example])
    (logits,) = predictor.logits(predictor.encode([example]))
    assert found.probabilities[0] == pytest.approx(torch.sigmoid(logits).tolist(), abs=1e-6)


def test_a_number_has_no_probabilities(compose: Compose):
    predictor = predictor_of(compose("fuse(relu, gelu)", classes=1), "regression")
    (found,) = explain(predictor, [Example(text="lamp")])
    assert isinstance(found.prediction.value, float)
    assert found.classes == found.probabilities == ()


def test_vectors_of_a_prompt_are_told_apart_from_tokens(compose: Compose):
    model = compose("fuse(relu, gelu)")
    backbone = model.backbone
    prompted = ComposedModel(
        backbone,
        composition=parse_composition("prompt > fuse(relu, gelu)"),
        adapters={
            "prompt": adapter_of(backbone, "prompt"),
            **{name: adapter(backbone, name) for name in ("relu", "gelu")},
        },
        mixers=model.mixers,
        head=model.head,
    )
    (found,) = explain(predictor_of(prompted), [Example(text="lamp")])
    assert (found.tokens, found.prompt) == (("[CLS]", "lamp", "[SEP]"), 4)
    assert {len(shares) for shares in found.mixers[0].sites.values()} == {7}


def test_each_text_goes_through_the_model_alone(compose: Compose):
    predictor = predictor_of(compose("fuse(relu, gelu)"))
    alone = [explain(predictor, [Example(text=text)])[0] for text in TEXTS]
    assert explain(predictor, [Example(text=text) for text in TEXTS]) == alone
