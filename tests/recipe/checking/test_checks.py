from pathlib import Path

import pytest

from tests.recipe.recipes import SOUND, faults_of, faults_with, pointed

MAD_X = "mad-x: $language > intent"
NO_LANGUAGES = "languages: {members: [en, de, ru], data: text, adapter: thin}\n"


def test_the_sound_recipe_has_no_faults(tmp_path: Path):
    assert faults_of(tmp_path, SOUND) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "data: text, adapter: thin}",
            "data: txt, adapter: thin}",
            "13:txt: languages.data: no data source is named 'txt'; did you mean 'text'?",
        ),
        (
            "[en, de, ru], data: text",
            "{en: {data: tex}, de: {adapter: think}, ru: {}}, data: text",
            "13:tex: languages.members.en.data: no data source is named 'tex'; "
            "did you mean 'text'?",
        ),
        (
            "data: domain, languages: [en], adapter: thin",
            "data: domane, languages: [en], adapter: thin",
            "17:domane: tasks.domain.data: no data source is named 'domane'; "
            "did you mean 'domain'?",
        ),
        (
            "task: domain}",
            "task: domane}",
            "23:domane: compositions.mean.task: no task is named 'domane'; did you mean 'domain'?",
        ),
        (
            "train: {task: intent, ",
            "train: {task: mad-x, ",
            "22:mad-x: compositions.few-shot.train.task: no task is named 'mad-x'; "
            "known: domain, intent",
        ),
        (
            "far: {compositions: [mad-x,",
            "far: {compositions: [madx,",
            "25:madx: evaluations.far.compositions[0]: no composition or task is named 'madx'; "
            "did you mean 'mad-x'?",
        ),
        (
            "languages: [en, ru]}",
            "languages: [en, ru], data: intend}",
            "25:intend: evaluations.far.data: no data source is named 'intend'; "
            "did you mean 'intent'?",
        ),
        (
            "box: {compositions: [mad-x,",
            "box: {compositions: [mad-y,",
            "27:mad-y: bundles.box.compositions[0]: no composition or task is named 'mad-y'; "
            "did you mean 'mad-x'?",
        ),
        (
            MAD_X,
            "mad-x: $language > intend",
            "19:intend: compositions.mad-x: no task or language is named 'intend'; "
            "did you mean 'intent'?",
        ),
        (
            MAD_X,
            "mad-x: few-shot > intent",
            "19:few-shot: compositions.mad-x: 'few-shot' is a composition; write out what it is "
            "made of",
        ),
        (
            MAD_X,
            "mad-x: $language > task",
            "19:task: compositions.mad-x: 'task' is the shape of adapters; name a task or language "
            "that is trained with it",
        ),
        (
            MAD_X,
            "mad-x: $language > intent)",
            "19:): compositions.mad-x: this ')' closes no '('",
        ),
        (
            "average(intent, domain)",
            "average(intent, 0.5 * domain)",
            "23:intent: compositions.mean.expression: intent has no weight, others have; "
            "weigh all members or none",
        ),
    ],
)
def test_a_name_that_nothing_declares_is_told_with_the_nearest(
    tmp_path: Path, old: str, new: str, fault: str
):
    assert fault in faults_with(tmp_path, old, new)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("  domain: {type", "  fuse: {type", "17:fuse: tasks.fuse: 'fuse' has a meaning in"),
        ("mean: {exp", "none: {exp", "23:none: compositions.none: 'none' has a meaning in"),
        ("mean: {exp", "intent: {exp", "23:intent: compositions.intent: 'intent' is a task too"),
        ("mean: {exp", "ru: {exp", "23:ru: compositions.ru: 'ru' is a language too"),
        ("[en, de, ru]", "[en, de, ru, de]", "13:de: languages.members[3]: 'de' is given twice"),
        ("[en, ru]", "[en, en]", "25:en: evaluations.far.languages[1]: 'en' is given twice"),
        ("[mad-x, domain]", "[mad-x, mad-x]", "27:mad-x: bundles.box.compositions[1]: 'mad-x' is"),
        (
            "adapter: thin}\ncompositions",
            "adapter: thin, labels: [b, a, b]}\ncompositions",
            "17:b: tasks.domain.labels[2]: 'b' is given twice",
        ),
        (
            "reduction_factor: 16",
            "leave_out: [3, 1, 3]",
            "6:3: adapters.thin.leave_out[2]: 3 is given twice",
        ),
    ],
)
def test_what_is_named_or_given_twice_is_told(tmp_path: Path, old: str, new: str, fault: str):
    assert [one for one in faults_with(tmp_path, old, new) if one.startswith(fault)]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "languages: [en, de], adapter: task",
            "languages: [en, fi], adapter: task",
            "16:fi: tasks.intent.languages[1]: this task needs a language adapter of 'fi', and "
            "`languages` has none; known: de, en, ru",
        ),
        (
            "[en], examples",
            "[en, fi], examples",
            "22:fi: compositions.few-shot.train.languages[1]: few-shot needs a language adapter "
            "of 'fi', and `languages` has none; known: de, en, ru",
        ),
        (
            "[en, ru]}",
            "[en, fi]}",
            "25:fi: evaluations.far.languages[1]: mad-x needs a language adapter of 'fi', and "
            "`languages` has none; known: de, en, ru",
        ),
        (
            "languages: [de, ru]}",
            "languages: [de, rus]}",
            "27:rus: bundles.box.languages[1]: mad-x needs a language adapter of 'rus', and "
            "`languages` has none; did you mean 'ru'?",
        ),
        (
            ", languages: [de, ru]}",
            "}",
            "27:mad-x: bundles.box.compositions[0]: mad-x holds $language; add what it is bound "
            "to, `languages: [...]` or --language",
        ),
        (
            "average(intent, domain)",
            "average($language, ru) > domain",
            None,
        ),
    ],
)
def test_every_language_that_is_bound_must_have_an_adapter(
    tmp_path: Path, old: str, new: str, fault: str | None
):
    assert faults_with(tmp_path, old, new) == ([fault] if fault else [])


def test_languages_that_a_training_takes_from_its_task_are_checked(tmp_path: Path):
    text = SOUND.replace("{task: intent, languages: [en], ", "{task: domain, ").replace(
        "data: domain, languages: [en]", "data: domain, languages: [fi]"
    )
    (fault,) = faults_of(tmp_path, text)
    assert pointed(text, fault).startswith(
        "22:domain: compositions.few-shot.train.task: few-shot needs a language adapter of 'fi'"
    )


def test_without_languages_nothing_can_be_bound(tmp_path: Path):
    message = "$language is bound to nothing: the recipe has no `languages`"
    assert faults_with(tmp_path, NO_LANGUAGES, "") == [
        f"15:$language: tasks.intent.over: {message}",
        f"18:$language: compositions.mad-x: {message}",
        f"20:$language: compositions.few-shot.expression: {message}",
    ]


def test_a_language_not_trained_is_no_fault_where_nothing_is_bound(tmp_path: Path):
    old, new = "[mad-x, few-shot, domain], languages: [en, ru]", "[domain], languages: [en, fi]"
    assert faults_with(tmp_path, old, new) == []


def test_a_member_that_binding_repeats_is_told(tmp_path: Path):
    new = "mad-x: average($language, ru) > intent"
    (evaluated, bundled) = faults_with(tmp_path, MAD_X, new)
    message = "bound to 'ru', average($language, ru) > intent has the member ru twice"
    assert evaluated == f"25:mad-x: evaluations.far.compositions[0]: {message}"
    assert bundled == f"27:mad-x: bundles.box.compositions[0]: {message}"


@pytest.mark.parametrize(
    ("expression", "mixes"),
    [
        ("fuse(intent, other)", "intent (houlsby) and other (pfeiffer)"),
        ("gate(en > intent, other)", "en (houlsby) and other (pfeiffer)"),
        ("en > average(intent, domain, other)", "intent (houlsby) and other (pfeiffer)"),
        ("fuse($language, other, none)", "en (houlsby) and other (pfeiffer)"),
    ],
)
def test_a_fusion_of_mixed_placements_is_refused(tmp_path: Path, expression: str, mixes: str):
    text = SOUND.replace(
        "compositions:\n",
        "  other: {type: regression, data: domain, languages: [en], adapter: low}\n"
        "compositions:\n"
        f"  mixed: {{expression: '{expression}', train: {{task: other}}}}\n",
        1,
    )
    (fault,) = faults_of(tmp_path, text)
    mixture = expression.removeprefix("en > ")
    assert fault.place.startswith("home.yaml:20:")
    assert fault.message == (
        f"compositions.mixed.expression: {mixture} mixes placements, {mixes}; "
        "adapters that are mixed share one"
    )


def test_a_stack_of_mixed_placements_is_allowed(tmp_path: Path):
    new = "data: domain, languages: [en], adapter: low"
    faults = faults_with(tmp_path, "data: domain, languages: [en], adapter: thin", new)
    assert [fault.split(": ")[1] for fault in faults] == [
        "compositions.few-shot.expression",
        "compositions.mean.expression",
    ]
    text = SOUND.replace("adapter: thin}\ntasks", "adapter: low}\ntasks")
    assert faults_of(tmp_path, text) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("fuse(intent, domain)", "a fuse or gate has weights to learn; add `train: {task: ...}`"),
        ("{expression: 'en > gate(intent, domain)', task: intent}", "a fuse or gate has weights"),
        ("average(intent, domain)", "no task is last here, so nothing says whose head is used;"),
        ("intent > de", "no task is last here"),
        ("$language", "no task is last here"),
        ("none", "no task is last here"),
        ("{expression: domain, task: domain, train: {task: intent}}", "`train` learns a head"),
        ("{expression: domain, task: intent, train: {task: intent}}", None),
        ("{expression: none, train: {task: intent}}", None),
        ("{expression: none, task: intent}", None),
        ("{expression: 'fuse(en, de)', train: {task: intent}}", None),
        ("{expression: 'average(intent, domain)', task: intent}", None),
        ("de > intent", None),
        ("intent", None),
    ],
)
def test_a_composition_says_whose_head_it_uses(tmp_path: Path, value: str, message: str | None):
    new = f"{MAD_X}\n  mine: {value}"
    told = faults_with(tmp_path, MAD_X, new)
    assert len(told) == (message is not None)
    assert all(f": {message}" in one for one in told)


@pytest.mark.parametrize(
    ("type_", "score", "fits"),
    [
        ("text-classification", "macro-f1", None),
        ("text-classification", "pearson", "'accuracy', 'macro-f1' or 'matthews'"),
        ("regression", "accuracy", "'pearson' or 'spearman'"),
        ("token-classification", "accuracy", "'span-f1'"),
        ("token-classification", "span-f1", None),
    ],
)
def test_a_score_must_fit_the_type(tmp_path: Path, type_: str, score: str, fits: str | None):
    old = "domain: {type: text-classification,"
    told = faults_with(tmp_path, old, f"domain: {{type: {type_}, score: {score},")
    fault = f"17:{score}: tasks.domain.score: {score!r} does not score {type_}; use {fits}"
    assert told == ([fault] if fits else [])


def test_a_regression_has_no_labels(tmp_path: Path):
    new = "domain: {labels: [a, b], type: regression,"
    (told,) = faults_with(tmp_path, "domain: {type: text-classification,", new)
    assert told == "17:[a: tasks.domain.labels: a regression predicts numbers and has no labels"


def test_a_classifier_has_two_labels_and_spans_may_have_one(tmp_path: Path):
    old = "domain: {type: text-classification,"
    (told,) = faults_with(tmp_path, old, "domain: {labels: [a], type: text-classification,")
    fault = "a classifier needs two labels, and 'a' is all there is"
    assert told == f"17:[a: tasks.domain.labels: {fault}"
    assert not faults_with(tmp_path, old, "domain: {labels: [a], type: token-classification,")


def test_a_fault_in_one_entry_hides_none_in_the_same_or_another(tmp_path: Path):
    text = (
        SOUND.replace("learning_rate: 1e-3", "learning_rate: x")
        .replace("width: 32", "width: 0")
        .replace("languages: [en], adapter: thin}", "languages: [en], adapter: tin, score: x}")
        .replace("examples: 200", "examples: 0")
        .replace("fuse(intent, domain)", "fuse(intent, domane)")
        .replace("languages: [en, ru]}", "languages: [en, fi]}")
    )
    assert [fault.message.split(": ")[0] for fault in faults_of(tmp_path, text)] == [
        "adapters.task.width",
        "training.learning_rate",
        "tasks.domain.adapter",
        "tasks.domain.score",
        "compositions.few-shot.expression",
        "compositions.few-shot.train.examples",
        "evaluations.far.languages[1]",
    ]


THIN, TASK = "thin: {kind: bottleneck,", "task: {kind: madapter,"


def moving(*shapes: str) -> dict[str, str]:
    return {shape: f"{shape} invertible: true," for shape in shapes}


@pytest.mark.parametrize(
    "changes",
    [
        # `thin` is the languages' and that of the task `domain`, `task` that of `intent`
        {"$language > fuse(intent, domain)": "$language > intent",
         '"average(intent, domain)"': "domain", **moving(THIN)},
        {", over: $language}": "}", "$language > fuse(intent, domain)": "intent > domain",
         "mad-x: $language > intent": "mad-x: intent", '"average(intent, domain)"': "domain",
         **moving(TASK)},
    ],
)  # fmt: skip
def test_an_invertible_adapter_may_stand_first(tmp_path: Path, changes: dict[str, str]):
    text = SOUND
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    assert faults_of(tmp_path, text) == []


def test_an_invertible_adapter_is_neither_mixed_nor_on_top(tmp_path: Path):
    text = SOUND.replace(TASK, moving(TASK)[TASK])
    told = {fault.message.split(": ")[0]: fault.message for fault in faults_of(tmp_path, text)}
    assert list(told) == [
        "tasks.intent.adapter",
        "compositions.mad-x",
        "compositions.few-shot.expression",
        "compositions.mean.expression",
    ]
    assert told["compositions.mean.expression"] == (
        "compositions.mean.expression: intent is invertible and does not stand alone at the start "
        "of average(intent, domain); it moves the embeddings, which all adapters share, so it is "
        "neither mixed nor put on top; train it with `invertible: false`"
    )


def test_a_language_that_is_mixed_is_not_invertible(tmp_path: Path):
    text = SOUND.replace(THIN, moving(THIN)[THIN])
    text = text.replace("adapter: thin}\ncompo", "adapter: task}\ncompo")
    text = text.replace("$language > fuse(intent, domain)", "average($language, intent)")
    (fault,) = faults_of(tmp_path, text)
    assert fault.message.startswith("compositions.few-shot.expression: $language is invertible and")
