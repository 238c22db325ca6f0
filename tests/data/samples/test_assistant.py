import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

from composer.data.samples import assistant
from composer.data.samples.assistant import (
    LANGUAGES,
    OWN_NAMES,
    SAMPLE_DATA,
    counts,
    names_from,
    package_folder,
    sample_data,
    sample_digest,
    sample_examples,
)
from composer.errors import DataError, MissingExtraError
from composer.recipe.grammar.data import Split


def test_the_languages_are_those_of_the_package():
    assert sorted(path.stem for path in (package_folder() / "data").glob("*.json")) == [*LANGUAGES]


def test_names_are_copied_only_from_languages_that_have_their_own():
    assert {names_from(language) for language in LANGUAGES} <= {*OWN_NAMES}
    assert all(names_from(language) == language for language in OWN_NAMES)


def test_the_registry_is_read_without_the_packages_and_without_pydantic():
    code = (
        "import sys; from composer.data.samples import assistant;"
        "assistant.sample_digest('assistant/text');"
        "print([name for name in ('hassil', 'home_assistant_intents', 'numpy', 'pydantic',"
        " 'torch', 'yaml') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(DataError, match="assistant/intents: .* did you mean 'assistant/intent'"):
        sample_data("assistant/intents")


def test_an_unknown_task_is_refused_with_the_nearest():
    with pytest.raises(DataError, match="did you mean 'assistant/slots'"):
        sample_examples("slot", language="fi", split="train")


@pytest.mark.parametrize(("tag", "hint"), [("zh-cn", "did you mean 'zh-CN'"), ("xx", "known: af")])
def test_a_language_without_templates_is_refused(tag: str, hint: str):
    with pytest.raises(DataError, match=f"assistant/intent: .*'{tag}'; {hint}"):
        sample_examples("intent", language=tag, split="test")
    with pytest.raises(DataError, match=hint):
        counts(tag)


def test_a_missing_package_is_answered_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
):
    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(assistant, "version", missing)
    package_folder.cache_clear()
    with pytest.raises(MissingExtraError, match=r"pip install 'adapter-composer\[samples\]'"):
        sample_examples("intent", language="en", split="train")
    package_folder.cache_clear()


def test_the_digest_follows_what_the_examples_follow_from(monkeypatch: pytest.MonkeyPatch):
    digests = [sample_digest(name) for name in SAMPLE_DATA]
    for name, value in [
        ("SAMPLE_VERSION", assistant.SAMPLE_VERSION + 1),
        ("version", lambda package: "2099.1.1"),
        ("names_digest", lambda languages: "other names"),
    ]:
        with monkeypatch.context() as change:
            change.setattr(assistant, name, value)
            digests.append(sample_digest.__wrapped__("assistant/intent"))
    assert len(set(digests)) == len(digests)
    assert sample_digest.__wrapped__("assistant/intent") == sample_digest("assistant/intent")


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_four_tasks_label_the_same_sentences(split: Split):
    tasks = ["intent", "domain", "response", "slots"]
    examples = {task: sample_examples(task, language="zh-CN", split=split) for task in tasks}
    texts = [[one.text for one in of_task] for of_task in examples.values()]
    assert texts[0]
    assert all(other == texts[0] for other in texts[1:])
    assert set(texts[0]) <= {
        one.text for one in sample_examples("text", language="zh-CN", split=split)
    }
    assert examples["slots"][16].place == f"assistant/slots/zh-CN/{split}:17"
    assert all(one.label is None for one in examples["slots"])
    assert all(isinstance(one.label, str) for one in examples["intent"])


def test_a_language_with_copied_names_gives_examples_too():
    examples = sample_examples("slots", language="sw", split="train")
    assert len(examples) > 50
    assert any(span.label == "area" for one in examples for span in one.spans)
