"""Recipes that a stranger might send: refused with a place, in bounded time, and nothing is run."""

import os
import re
import threading
from pathlib import Path

import pytest

from composer.errors import RecipeError
from composer.recipe.document import documents
from composer.recipe.document.findings import MAX_FAULTS, nearest
from composer.recipe.reading.reader import MAX_CHECKED, read_recipe
from tests.recipe.recipes import SOUND, faults_of, load

BIDI = "\u202e"


def told(folder: Path, text: str) -> list[str]:
    return list(map(str, faults_of(folder, text)))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("name: home", "name: !!python/object/apply:os.system [touch ran]",
         "home.yaml:2:7: tag 'tag:yaml.org,2002:python/object/apply:os.system'; a recipe has no"),
        ("name: home", "name: !<tag:yaml.org,2002:python/name:os.system> x", "home.yaml:2:7: tag "),
        ("name: home", "name: !!binary aGVsbG8=", "home.yaml:2:7: tag 'tag:yaml.org,2002:binary'"),
        ("[en, ru]", "!!set {en, ru}", "home.yaml:25:61: tag 'tag:yaml.org,2002:set'"),
        ("name: home", f"name: !{'a' * 5000} x", "home.yaml:2:7: tag '!aaaaaaaaa"),
        ("name: home", f"name: *{'a' * 5000}", "home.yaml:2:7: alias *aaaaaaaaa"),
        ("name: home", f"name: ho{BIDI}me", "home.yaml:2:9: U+202E shows text in another order"),
        ("name: home", f"name: home # {BIDI}", "home.yaml:2:14: U+202E shows text in another"),
        ("name: home", r'name: "ho\u2066me"', "home.yaml:2:7: U+2066 shows text in another"),
        ("name: home", r'name: "\e[31mred"', "home.yaml:2:7: control character U+001B"),
        ("name: home", r'name: "\ud800"', "home.yaml:2:7: half a character U+D800"),
        ("name: home", r'name: "\UFFFFFFFF"', "home.yaml:2:8: \\UFFFFFFFF is no character"),
        ("name: home", r'name: "\U00110000"', "home.yaml:2:8: \\U00110000 is no character"),
        ("name: home", 'name: home\n"\\ud800": 1', "home.yaml:3:1: half a character U+D800"),
        ("name: home", 'name: "ho\u200bme"', "home.yaml:2:7: name: must be a name: a letter, then"),
        ("  intent:\n", "  int\u200bent:\n", "home.yaml:15:3: tasks.'int\\u200bent': must be a na"),
        ("epochs: 8", "epochs: 1e400", "home.yaml:12:20: 1e400 is no number that fits"),
        ("epochs: 8", "epochs: 190:20:30", "home.yaml:12:20: training.epochs: must be a whole num"),
        ("epochs: 8", "epochs: 2001-12-14", "home.yaml:12:20: training.epochs: must be a whole nu"),
        ("epochs: 8", "epochs: " + "9" * 100_000, "home.yaml:12:20: 99999999"),
        ("[en, de, ru]", "[en, de, a/b]", "home.yaml:13:31: languages.members[2]: must be a lang"),
        ("[en, de, ru]", "[en, de, ..]", "home.yaml:13:31: languages.members[2]: must be a langua"),
    ],
    ids=lambda value: ascii(value[:40]),
)  # fmt: skip
def test_what_a_stranger_wrote_is_refused_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, fault: str
):
    monkeypatch.chdir(tmp_path)
    assert old in SOUND
    faults = told(tmp_path, SOUND.replace(old, new))
    assert any(one.startswith(fault) for one in faults), faults
    assert all(one.isprintable() and len(one) < 1000 for one in faults)
    assert os.listdir(tmp_path) == ["home.yaml"]


def test_text_from_right_to_left_may_stand_where_it_is_data(tmp_path: Path):
    text = SOUND.replace(
        "data: domain, languages", "labels: [أضئ, ש\u200fא, ن\u200cم], data: domain, languages"
    )
    labels = load(tmp_path, text + "# أشعل الضوء\n").recipe.tasks["domain"].labels
    assert labels == ("أضئ", "ש\u200fא", "ن\u200cم")


@pytest.mark.parametrize(
    "text",
    [
        "tasks:\n" + "".join(f"  t{i}: {{}}\n" for i in range(900)),
        "k0: &k0 [1]\n" + "".join(f"k{i + 1}: &k{i + 1} [{f'*k{i}, ' * 9}]\n" for i in range(9)),
        "x: [" + "1," * 2000 + "]\n",
        "? [" + "1," * 2000 + "]\n: 1\n",
    ],
    ids=["keys", "aliases", "items", "a key"],
)
def test_of_too_many_values_none_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
):
    monkeypatch.setattr(documents, "MAX_NODES", 1000)
    faults = told(tmp_path, text)
    assert re.fullmatch(r"home\.yaml:\d+:\d+: more than 1000 keys and values", faults[-1]), faults


def test_as_many_values_as_a_large_label_set_needs_are_taken(tmp_path: Path):
    labels = [f"l{i}" for i in range(10_000)]
    text = SOUND.replace("data: domain, languages", f"labels: {labels}, data: domain, languages")
    assert load(tmp_path, text).recipe.tasks["domain"].labels == tuple(labels)
    assert documents.MAX_NODES >= 2 * len(labels)


def test_very_many_faults_are_told_in_part_and_soon(tmp_path: Path):
    tasks = "".join(
        f"  t{i}: {{type: regression, data: intend{i}, languages: [xx], adapter: tusk}}\n"
        for i in range(300)
    )
    languages = ", ".join(f"aa-{i:04}" for i in range(2000))
    text = SOUND.replace("tasks:\n", f"tasks:\n{tasks}").replace("[en, de, ru]", f"[{languages}]")
    faults = told(tmp_path, text)
    assert len(faults) == MAX_FAULTS + 1
    assert faults[-1].endswith("and so on; mend these first")
    assert len("\n".join(faults)) < 50_000
    assert nearest("en", languages.split(", ")).endswith("aa-0019 and 1980 others")


def test_unknown_keys_by_the_thousand_are_no_matter(tmp_path: Path):
    # This took a time that grew with the square of their number: minutes for a megabyte.
    faults = told(tmp_path, SOUND + "".join(f"k{i}: 1\n" for i in range(1500)))
    assert faults[0].startswith("home.yaml:30:1: k0: unknown key")
    assert len(faults) == MAX_FAULTS + 1


def test_profiles_that_would_take_too_long_to_check_are_refused(tmp_path: Path):
    profiles = "".join(f"  p{i}: {{training: {{epochs: 0}}}}\n" for i in range(500))
    (fault,) = told(tmp_path, SOUND + profiles)
    assert fault.startswith("home.yaml:28:1: 501 profiles are too many to check")
    assert MAX_CHECKED < 501 * 1000
    many = "".join(f"  p{i}: {{training: {{epochs: 1}}}}\n" for i in range(100))
    assert load(tmp_path, SOUND + many).recipe.profiles.keys() >= {"p99", "smoke"}


@pytest.mark.parametrize("name", ["pipe", "device", "folder"])
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, name: str):
    path = tmp_path / name
    if name == "pipe":
        os.mkfifo(path)
    elif name == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    found: list[str] = []

    def read() -> None:
        try:
            read_recipe(path)
        except RecipeError as error:
            found.append(str(error))

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    reading.join(timeout=20)
    assert not reading.is_alive(), "it waits for somebody to write"
    assert re.fullmatch(
        rf"{re.escape(str(path))}: (is not a file; .*|cannot be read: Is a directory)", found[0]
    )


OUTSIDE = [
    "../a.csv",
    "/etc/passwd.csv",
    "data/../../a.csv",
    "..\\\\a.csv",
    "C:\\\\a.csv",
    "\\\\\\\\host\\\\share\\\\a.csv",
    "~/a.csv",
    "http://example.org/a.csv",
    "file:///etc/passwd.csv",
    "$language/../../a.csv",
]
PLACES = {
    "backbone.path": ("source: sample, name: multilingual-e5-small", 'source: folder, path: "{}"'),
    "data.domain.path": ("source: sample, name: assistant/domain", 'source: files, path: "{}"'),
    "data.domain.path.train": (
        "source: sample, name: assistant/domain",
        'source: files, path: {{train: "{}"}}',
    ),
    "data.domain.path.test": (
        "source: sample, name: assistant/domain",
        'source: files, path: {{train: a.csv, test: "{}"}}',
    ),
}  # fmt: skip


@pytest.mark.parametrize("key", PLACES)
@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_out_of_the_recipes_folder_is_refused_where_it_stands(
    tmp_path: Path, key: str, path: str
):
    old, new = PLACES[key]
    text = SOUND.replace(old, new.format(path))
    (fault,) = faults_of(tmp_path, text)
    _, line, column = fault.place.split(":")
    assert text.splitlines()[int(line) - 1][int(column) - 1 :].startswith(f'"{path}"')
    assert re.match(
        rf"{re.escape(key)}: .* (leads out of the recipe's folder|is an address|begins with '~')",
        fault.message,
    )
    assert f"--set {key}=" in fault.message


@pytest.mark.parametrize("key", PLACES)
def test_a_profile_leads_out_of_the_folder_no_more_than_the_recipe(tmp_path: Path, key: str):
    old, new = PLACES[key]
    block, name, *_ = key.split(".")
    inner = "{" + new.format("../x.csv") + ", name: null}"
    profile = f"{block}: {inner}" if block == "backbone" else f"{block}: {{{name}: {inner}}}"
    text = SOUND + f"  out: {{{profile}}}\n"
    (fault,) = faults_of(tmp_path, text)
    assert fault.place.startswith("home.yaml:30:")
    assert "leads out of the recipe's folder" in fault.message
    assert fault.message.endswith("(with profile 'out')")
    (again,) = faults_of(tmp_path, text, profile="out")
    assert again.place == fault.place


@pytest.mark.parametrize("path", ["data/a.csv", "data/../a.csv", "..a/b.csv", "a~/~b.csv"])
def test_a_path_inside_the_folder_is_none(tmp_path: Path, path: str):
    old, new = PLACES["data.domain.path"]
    assert not load(tmp_path, SOUND.replace(old, new.format(path))).outside


def test_a_path_that_the_user_types_may_lead_anywhere(tmp_path: Path):
    old, new = PLACES["data.domain.path"]
    text = SOUND.replace(old, new.format("a.csv"))
    loaded = load(tmp_path, text, changes=["data.domain.path=/home/me/own.csv"])
    assert loaded.outside
    (fault,) = faults_of(
        tmp_path,
        text.replace("{source: sample, name: multilingual-e5-small}", "{source: folder, path: ..}"),
        changes=["data.domain.path=/home/me/own.csv"],
    )
    assert fault.place == "home.yaml:3:34"
