"""Strategies that draw whole recipes, as plain values, every one of which is valid."""

from hypothesis import strategies as st

Values = dict[str, object]

LANGUAGES = ("en", "de", "zh-CN", "no")  # "no" is text in YAML 1.2, as every tag is
TASKS = ("intent", "domain", "yes", "A-1_b")
SCORES = {
    "text-classification": ["accuracy", "macro-f1", "matthews"],
    "regression": ["pearson", "spearman"],
    "token-classification": ["span-f1"],
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
_texts = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=6)
_sources = st.sampled_from(
    [
        {"source": "sample", "name": "assistant/intent"},
        {"source": "files", "path": "data/$language.csv"},
        {"source": "files", "path": {"train": "a.jsonl", "test": "b/../c.tsv"}, "truncate": True},
        {"source": "files", "path": "a.csv", "columns": {"text": "1e3", "label": "null"}},
        {"source": "hub", "name": "owner/name", "revision": COMMIT, "config": "$language"},
    ]
)


def _some(**optional: st.SearchStrategy[object]) -> st.SearchStrategy[Values]:
    return st.fixed_dictionaries({}, optional=optional)


_changes = _some(
    epochs=st.integers(1, 10**6),
    batch_tokens=st.integers(16, 4096),
    learning_rate=st.floats(0, 1, exclude_min=True),
    warmup=st.floats(0, 1, exclude_max=True),
    decay=st.sampled_from(["linear", "cosine", "constant"]),
    clip=st.floats(1e-3, 1e300),
    dropout=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    threads=st.integers(1, 256),
    processes=st.integers(1, 64),
)


@st.composite
def _shape(draw: st.DrawFn, placement: str) -> Values:
    shape = draw(
        _some(
            form=st.just("sequential"),
            non_linearity=st.sampled_from(["relu", "gelu", "swish", "tanh"]),
            bias=st.booleans(),
            dropout=st.floats(0, 1, exclude_max=True),
            scaling=st.floats(-1e9, 1e9),
            leave_out=st.lists(st.integers(0, 11), max_size=3, unique=True),
            train_norm=st.booleans(),
        )
    )
    size = draw(st.sampled_from([{}, {"width": 8}, {"reduction_factor": 16}]))
    kind = draw(st.sampled_from([{"kind": "bottleneck"}, {"kind": "madapter", "middle_layers": 2}]))
    return {**kind, **shape, **size, "placement": placement}


def _names(among: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(among), min_size=1, unique=True)


@st.composite
def _languages(draw: st.DrawFn) -> Values:
    members: object = draw(_names(LANGUAGES))
    if draw(st.booleans()):
        changed = _some(data=st.just("own"), adapter=st.just("thin"), training=_changes)
        members = {tag: draw(changed) for tag in list(members)}  # type: ignore[call-overload]
    return {"members": members, "data": "own", "adapter": "task", "training": draw(_changes)}


def _under(members: tuple[str, ...]) -> st.SearchStrategy[Values]:
    """Draw what a task is trained over: each batch's own language, or several in turn."""
    return st.fixed_dictionaries({"over": st.just("$language")}) | st.fixed_dictionaries(
        {"cycle": _names(members)}
    )


@st.composite
def _task(draw: st.DrawFn, members: tuple[str, ...]) -> Values:
    kind = draw(st.sampled_from(sorted(SCORES)))
    over = bool(members) and draw(st.booleans())
    task = {
        "type": kind,
        "data": "own",
        "languages": draw(_names(members if over else LANGUAGES)),
        "adapter": draw(st.sampled_from(["task", "thin"])),
        **(draw(_under(members)) if over else {}),
        **draw(
            _some(
                examples=st.integers(1, 1000),
                pooling=st.sampled_from(["mean", "first"]),
                temperature=st.floats(1, 1e6),
                score=st.sampled_from(SCORES[kind]),
                training=_changes,
            )
        ),
    }
    if kind != "regression" and draw(st.booleans()):
        task["labels"] = draw(st.lists(_texts, min_size=2, max_size=4, unique=True))
    return task


@st.composite
def _expression(draw: st.DrawFn, tasks: tuple[str, ...], members: tuple[str, ...]) -> str:
    under = "$language > " if members and draw(st.booleans()) else ""
    parts = draw(_names(tasks))
    if len(parts) == 1:
        return f"{under}{parts[0]}"
    if draw(st.booleans()):
        return under + " > ".join(parts)
    mixture = draw(st.sampled_from(["fuse", "gate", "average"]))
    if mixture == "average" and draw(st.booleans()):
        weighed = [f"{1 / len(parts)!r} * ({part})" for part in parts]
        return f"{under}average({', '.join(weighed)})"
    null = ", none" if draw(st.booleans()) else ""
    return f"{under}{mixture}({', '.join(parts)}{null})"


@st.composite
def _composition(draw: st.DrawFn, tasks: dict[str, Values], members: tuple[str, ...]) -> object:
    expression = draw(_expression(tuple(tasks), members))
    task = draw(st.sampled_from(sorted(tasks)))
    learnt = any(operator in expression for operator in ("fuse(", "gate("))
    if not learnt and "average" not in expression and draw(st.booleans()):
        return expression
    if not learnt and draw(st.booleans()):
        return {"expression": expression, "task": task}
    among = members if "$language" in expression else LANGUAGES
    train = {"task": task, "languages": draw(_names(among))}
    return {"expression": expression, "train": {**train, **draw(_some(training=_changes))}}


@st.composite
def recipes(draw: st.DrawFn) -> Values:
    """Draw a recipe that has no faults."""
    placement = draw(st.sampled_from(["houlsby", "pfeiffer"]))
    languages = draw(st.none() | _languages())
    members = tuple(languages["members"]) if languages else ()  # type: ignore[arg-type]
    tasks = {name: draw(_task(members)) for name in draw(_names(TASKS))}
    names = draw(st.lists(st.sampled_from(["mix", "far", "Null", "x-1"]), unique=True))
    compositions = {name: draw(_composition(tasks, members)) for name in names}
    among = (*tasks, *compositions)
    uses = st.fixed_dictionaries(
        {"compositions": _names(among), "languages": _names(members or LANGUAGES)}
    )
    backbone = draw(
        st.sampled_from(
            [
                {"source": "sample", "name": "all-MiniLM-L6-v2"},
                {"source": "folder", "path": "backbones/mine", "max_tokens": 128},
                {"source": "hub", "name": "owner/name", "revision": COMMIT, "precision": "float32"},
            ]
        )
    )
    values = {
        "composer": 1,
        "name": draw(st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,63}", fullmatch=True)),
        "backbone": backbone,
        "adapters": {"task": draw(_shape(placement)), "thin": draw(_shape(placement))},
        "data": {"own": draw(_sources), "more": draw(_sources)},
        "training": draw(_changes),
        "tasks": tasks,
        "compositions": compositions,
        "evaluations": {
            name: draw(uses) for name in draw(st.sampled_from([[], ["e"], ["e", "f"]]))
        },
        "bundles": {name: draw(uses) for name in draw(st.sampled_from([[], ["box"]]))},
        "profiles": {
            name: {"training": draw(_changes)} for name in draw(st.sampled_from([[], ["smoke"]]))
        },
    }
    return values if languages is None else {**values, "languages": languages}
