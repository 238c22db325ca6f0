from pathlib import Path

import pytest

from composer.recipe.checking.validation import salvaged, validate
from composer.recipe.document.findings import Finding
from tests.recipe.recipes import faults_with

SMALL = {"composer": 1, "name": "x", "backbone": {"source": "sample", "name": "y"}}
TASK = "text-classification', 'regression', 'token-classification' or 'multi-label-classification"
KINDS = "'bottleneck', 'madapter', 'adamix', 'lora', 'prefix', 'prompt', 'bitfit' or 'full'"
PLACEMENTS = "'houlsby', 'pfeiffer', 'after-attention' or 'after-feed-forward'"


def found(**values: object) -> list[tuple[object, ...]]:
    _, findings = validate({**SMALL, **values})
    return [(*one.path, one.message) for one in findings]


def adapter(**values: object) -> list[str]:
    """Say what is wrong with one adapter's shape."""
    messages = found(adapters={"a": {"kind": "bottleneck", **values}})
    for one in messages:
        assert one[:2] == ("adapters", "a")
    return [".".join(map(str, one[2:])) for one in messages]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 0}, "width.must be at least 1, not 0"),
        ({"width": "8"}, "width.must be a whole number, not '8'; write 8"),
        ({"width": "1_000"}, "width.must be a whole number, not '1_000'; write 1000"),
        ({"width": True}, "width.must be a whole number, not true"),
        ({"width": 8.0}, "width.must be a whole number, not 8.0; write 8"),
        ({"width": ()}, "width.must be a whole number, not a list"),
        ({"widht": 8}, "widht.unknown key; did you mean 'width'?"),
        ({"bottleneck": 8}, "bottleneck.unknown key; known: bias, dropout, form, init, invertible, "
                            "kind, leave_out, non_linearity, placement, reduction_factor, scaling, "
                            "sparsity, train_norm, width"),
        ({"middle_layers": 1}, "middle_layers.unknown key; known: bias, dropout, form, init, "
                               "invertible, kind, leave_out, non_linearity, placement, "
                               "reduction_factor, scaling, sparsity, train_norm, width"),
        ({"width": 8, "reduction_factor": 2}, "give `width` or `reduction_factor`, not both"),
        ({"reduction_factor": 0.5}, "reduction_factor.must be at least 1, not 0.5"),
        ({"reduction_factor": "x"}, "reduction_factor.must be a number, not 'x'"),
        ({"reduction_factor": (1,)}, "reduction_factor.must be a number or a mapping, not a list"),
        ({"reduction_factor": {"1": "x"}}, "reduction_factor.1.must be a number, not 'x'"),
        ({"scaling": "leaned"}, "scaling.must be a number or 'learned', not 'leaned'; "
                                "did you mean 'learned'?"),
        ({"scaling": True}, "scaling.must be a number or 'learned', not true"),
        ({"placement": "hulsby"}, f"placement.must be {PLACEMENTS}, not 'hulsby'; "
                                  "did you mean 'houlsby'?"),
        ({"placement": 1}, f"placement.must be {PLACEMENTS}, not 1"),
        ({"bias": "no"}, "bias.must be true or false, not 'no'"),
        ({"dropout": 1}, "dropout.must be less than 1, not 1"),
        ({"dropout": float("nan")}, "dropout.must be a finite number, not nan"),
        ({"leave_out": (0, -1)}, "leave_out.1.must be at least 0, not -1"),
        ({"leave_out": 3}, "leave_out.must be a list, not 3; write [3]"),
        ({"leave_out": "1, 2"}, "leave_out.must be a list, not '1, 2'; put it in square brackets"),
        ({"leave_out": "\x85"}, "leave_out.must be a list, not '\\x85'; put it in square brackets"),
        ({"sparsity": {"method": "snp"}}, "sparsity.method.must be 'random', 'magnitude', "
                                          "'erdos-renyi', 'snip' or 'grasp', not 'snp'; "
                                          "did you mean 'snip'?"),
        ({"sparsity": {}}, "sparsity.the key 'method' is missing; it is 'random', 'magnitude', "
                           "'erdos-renyi', 'snip' or 'grasp'"),
        ({"kind": "madaptor"}, f"kind.must be {KINDS}, not 'madaptor'; did you mean 'madapter'?"),
        ({"kind": 5}, f"kind.must be {KINDS}, not 5"),
    ],
)  # fmt: skip
def test_a_wrong_adapter_is_told_with_what_is_allowed(values: dict[str, object], message: str):
    assert adapter(**values) == [message]


@pytest.mark.parametrize(
    ("values", "findings"),
    [
        ({"composer": 2}, [("composer", "must be 1, not 2")]),
        ({"composer": True}, [("composer", "must be 1, not true")]),
        ({"composer": 1.0}, [("composer", "must be 1, not 1.0")]),
        ({"name": 5}, [("name", 'must be text, not 5; quote it: "5"')]),
        ({"name": True}, [("name", 'must be text, not true; quote it: "true"')]),
        ({"name": None},
         [("name", "must be text, not nothing; leave the key out, or give it a value")]),
        ({"name": "9x"}, [("name", "must be a name: a letter, then letters, digits, - and _, "
                                   "64 at most, not '9x'")]),
        ({"bundels": {}}, [("bundels", "unknown key; did you mean 'bundles'?")]),
        ({"tasks": None}, [("tasks", "must be a mapping, not nothing; leave the key out, "
                                     "or give it a value")]),
        ({"tasks": ("a",)}, [("tasks", "must be a mapping, not a list")]),
        ({"backbone": "e5"}, [("backbone", "must be a mapping, not 'e5'")]),
        ({"backbone": {"name": "x"}},
         [("backbone", "the key 'source' is missing; it is 'sample', 'folder' or 'hub'")]),
        ({"backbone": {"source": "hub", "name": "a/b", "revision": "main"}},
         [("backbone", "revision", "must be a full commit of 40 hexadecimal digits; "
                                   "a branch may move, not 'main'")]),
        ({"backbone": {"source": "folder", "path": "x", "name": "y"}},
         [("backbone", "name", "unknown key; known: max_tokens, path, precision, source")]),
        ({"adapters": {"1a": {"kind": "bitfit"}}},
         [("adapters", "1a", "must be a name: a letter, then letters, digits, - and _, 64 at most, "
                             "not '1a'")]),
        ({"data": {"a": {"source": "files", "path": {"trian": "x"}}}},
         [("data", "a", "path", "the key 'train' is missing; it is text"),
          ("data", "a", "path", "trian", "unknown key; did you mean 'train'?")]),
        ({"data": {"a": {"source": "files", "path": 5}}},
         [("data", "a", "path", 'must be text, not 5; quote it: "5"')]),
        ({"training": {"learning_rate": "1e-3"}},
         [("training", "learning_rate", "must be a number, not '1e-3'; write 0.001")]),
        ({"training": {"seed": 2**32}},
         [("training", "seed", "must be less than 4294967296, not 4294967296")]),
        ({"languages": {"members": ("en", "deutsch"), "data": "a", "adapter": "b"}},
         [("languages", "members", 1,
           "must be a language tag such as 'de' or 'zh-CN', not 'deutsch'")]),
        ({"languages": {"members": {"deutsch": {}, "en": {"dta": "x"}}, "data": "a",
                        "adapter": "b"}},
         [("languages", "members", "deutsch",
           "must be a language tag such as 'de' or 'zh-CN', not 'deutsch'"),
          ("languages", "members", "en", "dta", "unknown key; did you mean 'data'?")]),
        ({"languages": {"members": (), "data": "a", "adapter": "b"}},
         [("languages", "members", "must have at least 1 item, not 0")]),
        ({"languages": {"members": "en", "data": "a", "adapter": "b"}},
         [("languages", "members", "must be a list or a mapping, not 'en'; write [en]")]),
        ({"compositions": {"a": 5}},
         [("compositions", "a", 'must be text, not 5; quote it: "5"')]),
        ({"compositions": {"a": {"expresion": "x"}}},
         [("compositions", "a", "the key 'expression' is missing; it is text"),
          ("compositions", "a", "expresion", "unknown key; did you mean 'expression'?")]),
        ({"compositions": {"a": ("x",)}},
         [("compositions", "a", "must be text or a mapping, not a list")]),
        ({"compare": {"a": {"adapters": (), "tasks": ("x",), "grid": {"dropuot": (True,)}}}},
         [("compare", "a", "adapters", "must have at least 1 item, not 0"),
          ("compare", "a", "grid", "dropuot", "unknown key; did you mean 'dropout'?")]),
        ({"compare": {"a": {"adapters": ("x",), "tasks": ("x",), "grid": {"learning_rate": (2,)}}}},
         [("compare", "a", "grid", "learning_rate", 0, "must be at most 1, not 2")]),
        ({"compare": {"a": {"adapters": ("x",), "tasks": ("x",), "grid": {"patience": 3}}}},
         [("compare", "a", "grid", "patience", "must be a list, not 3; write [3]")]),
        ({"training": {"head_learning_rate": 2.5}},
         [("training", "head_learning_rate", "must be at most 1, not 2.5")]),
        ({"training": {"head_learning_rate": "sane"}},
         [("training", "head_learning_rate",
           "must be a number or 'same', not 'sane'; did you mean 'same'?")]),
        ({"profiles": {"a": 3}}, [("profiles", "a", "must be a mapping, not 3")]),
        ({"tasks": {"a": {"data": "x", "languages": ("en",), "adapter": "b", "labels": ("c", 3)}}},
         [("tasks", "a", f"the key 'type' is missing; it is '{TASK}'"),
          ("tasks", "a", "labels", 1, 'must be text, not 3; quote it: "3"')]),
        ({"tasks": {"a": {"type": "regression", "data": "x", "languages": ("en",), "adapter": "b",
                          "labels": ()}}},
         [("tasks", "a", "labels", "must have at least 1 item, not 0")]),
    ],
)  # fmt: skip
def test_wrong_values_are_told_with_their_paths(
    values: dict[str, object], findings: list[tuple[object, ...]]
):
    assert found(**values) == findings


def test_the_key_is_marked_where_the_key_is_wrong_and_the_value_where_that_is(tmp_path: Path):
    def place(old: str, new: str) -> str:
        (fault,) = faults_with(tmp_path, old, new)
        return fault.partition(": ")[0]

    assert place("width: 32", "widht: 32") == "5:widht"
    assert place("width: 32", "width: 0") == "5:0"
    assert place("data: text, adapter", "adapter") == "13:languages"
    assert place("source: sample, name: assistant/text", "name: x") == "9:text"


def test_nothing_is_lost_of_what_is_sound():
    values = {
        **SMALL,
        "composer": 3,
        "adapters": {"a": {"kind": "bottleneck"}, "b": {"kind": "x"}},
        "tasks": 5,
        "training": {"epochs": 0},
        "unknown": 1,
    }
    recipe = salvaged(values)
    assert list(recipe.adapters) == ["a"]
    assert recipe.name == "x"
    assert recipe.tasks == {}
    assert recipe.training.epochs == 8


def test_a_recipe_can_be_salvaged_from_nothing():
    assert salvaged({}).tasks == {}


def test_findings_of_one_value_are_not_told_twice():
    _, findings = validate({**SMALL, "adapters": {"a": {"kind": "bottleneck", "scaling": "x"}}})
    message = "must be a number or 'learned', not 'x'"
    assert findings == [Finding(("adapters", "a", "scaling"), message)]
