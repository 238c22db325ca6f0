"""Files that a recipe includes: how they are merged, what is refused, and where faults stand."""

from pathlib import Path

import pytest

from composer.errors import RecipeError
from composer.recipe.expansion.expand import expand
from composer.recipe.reading.reader import LoadedRecipe, read_recipe
from tests.recipe.recipes import SOUND

ADAPTERS = SOUND[SOUND.index("adapters:") : SOUND.index("data:")]
REST = SOUND.replace(ADAPTERS, "include: [parts/adapters.yaml]\n")


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "home.yaml"


def read(folder: Path, files: dict[str, str], *changes: str) -> LoadedRecipe:
    return read_recipe(write(folder, files), changes=changes)


def faults(folder: Path, files: dict[str, str], *changes: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        read(folder, files, *changes)
    return [str(one).replace(f"{folder}/", "") for one in caught.value.faults]


def test_a_recipe_in_parts_is_the_recipe_in_one(tmp_path: Path):
    whole = read(tmp_path / "one", {"home.yaml": SOUND}).recipe
    parts = read(tmp_path / "two", {"home.yaml": REST, "parts/adapters.yaml": ADAPTERS}).recipe
    assert parts == whole
    assert expand(parts) == expand(whole)
    assert "include" not in parts.model_dump()


def test_the_recipe_is_merged_over_what_it_includes(tmp_path: Path):
    mine = REST.replace("data:\n", "adapters: {task: {width: 8}, low: null}\ndata:\n", 1)
    found = read(tmp_path, {"home.yaml": mine, "parts/adapters.yaml": ADAPTERS}).recipe.adapters
    assert found["task"].model_dump()["width"] == 8
    assert found["task"].model_dump()["train_norm"] is True
    assert "low" not in found


def test_a_list_replaces_and_the_later_file_is_merged_over_the_earlier(tmp_path: Path):
    files = {
        "home.yaml": "include: [a.yaml, b.yaml]\n" + SOUND.replace("epochs: 8, ", ""),
        "a.yaml": "training: {epochs: 3, clip: 2.0}\n",
        "b.yaml": "training: {epochs: 4}\n",
    }
    training = read(tmp_path, files).recipe.training
    assert (training.epochs, training.clip) == (4, 2.0)


def test_profiles_and_changes_are_merged_over_what_is_included(tmp_path: Path):
    files = {"home.yaml": REST, "parts/adapters.yaml": ADAPTERS + "training: {epochs: 5}\n"}
    write(tmp_path, files)
    path = tmp_path / "home.yaml"
    assert read_recipe(path).recipe.training.epochs == 8
    assert read_recipe(path, profile="smoke").recipe.training.epochs == 1
    changed = read_recipe(path, changes=("adapters.task.width=9",)).recipe
    assert changed.adapters["task"].model_dump()["width"] == 9


def test_a_file_that_two_files_include_is_no_name_given_twice(tmp_path: Path):
    files = {
        "home.yaml": REST.replace("parts/adapters.yaml", "parts/a.yaml, parts/b.yaml"),
        "parts/a.yaml": "include: [../base.yaml]\n",
        "parts/b.yaml": "include: [../base.yaml]\n",
        "base.yaml": ADAPTERS,
    }
    assert "task" in read(tmp_path, files).recipe.adapters


def test_faults_stand_in_the_file_that_they_are_in(tmp_path: Path):
    files = {
        "home.yaml": REST.replace("adapter: thin}", "adapter: thn}", 1),
        "parts/adapters.yaml": ADAPTERS.replace("width: 32", "widht: 32"),
    }
    found = faults(tmp_path, files)
    assert found[0].startswith("home.yaml:")
    assert "did you mean 'thin'?" in found[0]
    place = "parts/adapters.yaml:2:26"
    assert found[-1] == f"{place}: adapters.task.widht: unknown key; did you mean 'width'?"


def test_a_place_is_known_in_an_included_file(tmp_path: Path):
    loaded = read(tmp_path, {"home.yaml": REST, "parts/adapters.yaml": ADAPTERS})
    place = loaded.place(("adapters", "task", "width"))
    assert place.replace(f"{tmp_path}/", "") == "parts/adapters.yaml:2:33"


@pytest.mark.parametrize(
    ("include", "fault"),
    [
        ("[parts/adaptors.yaml]", "there is no file 'parts/adaptors.yaml'; did you mean 'adapters"),
        ("[../elsewhere.yaml]", "'../elsewhere.yaml' leads out of the recipe's folder; move"),
        ("[/etc/passwd]", "'/etc/passwd' leads out of the recipe's folder"),
        ("['~/a.yaml']", "'~/a.yaml' begins with '~'"),
        ("['https://x.org/a.yaml']", "is an address"),
        ("[link.yaml]", "'link.yaml' leads out of the recipe's folder; move the file into it"),
        ("[loop.yaml]", "'loop.yaml'"),
        ("[home.yaml]", "'home.yaml' includes this file in turn"),
        ("parts/adapters.yaml", "include: must be a list, not 'parts/adapters.yaml'; write ["),
        ("[1]", "include[0]: must be text, not 1; quote it"),
        ("[parts]", "parts: "),
    ],
)
def test_what_cannot_be_included_is_refused(tmp_path: Path, include: str, fault: str):
    folder = tmp_path / "project"
    files = {"home.yaml": REST.replace("[parts/adapters.yaml]", include)}
    write(folder, {**files, "parts/adapters.yaml": ADAPTERS})
    (tmp_path / "elsewhere.yaml").write_text(ADAPTERS)
    (folder / "link.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    (folder / "loop.yaml").symlink_to("loop.yaml")
    assert any(fault in one for one in faults(folder, files))


def test_files_that_include_each_other_are_refused_where_the_circle_closes(tmp_path: Path):
    files = {
        "home.yaml": REST.replace("parts/adapters.yaml", "a.yaml"),
        "a.yaml": "include: [b.yaml]\n" + ADAPTERS,
        "b.yaml": "include:\n- a.yaml\n",
    }
    (found,) = faults(tmp_path, files)
    assert found.startswith("b.yaml:2:3: include: 'a.yaml' includes this file in turn")


def test_files_are_included_only_so_deep_and_only_so_many(tmp_path: Path):
    chain = {f"{n}.yaml": f"include: [{n + 1}.yaml]\n" for n in range(20)}
    files = {"home.yaml": REST.replace("parts/adapters.yaml", "0.yaml"), **chain}
    assert any("at most 8 deep" in one for one in faults(tmp_path, files))
    names = [f"n{n}.yaml" for n in range(60)]
    many = {name: "training: {}\n" for name in names}
    text = REST.replace("parts/adapters.yaml", ", ".join(names))
    assert any("at most 50 files" in one for one in faults(tmp_path, {"home.yaml": text, **many}))


def test_a_name_in_two_files_beside_each_other_is_refused(tmp_path: Path):
    files = {
        "home.yaml": REST.replace("parts/adapters.yaml", "a.yaml, b.yaml"),
        "a.yaml": ADAPTERS,
        "b.yaml": "adapters: {task: {width: 8}}\n",
    }
    (found,) = faults(tmp_path, files)
    assert found.startswith("b.yaml:1:12: adapters.task is defined in ")
    assert "a.yaml:2:3 too; define it once" in found


def test_includes_are_read_before_profiles_and_changes(tmp_path: Path):
    files = {"home.yaml": REST, "parts/adapters.yaml": ADAPTERS}
    (found,) = faults(tmp_path, files, "include=[a.yaml]")
    assert "`include` is read before this change" in found
    nested = REST.replace("smoke: {", "smoke: {include: [a.yaml], ")
    found = faults(tmp_path, {**files, "home.yaml": nested})[0]
    assert found.endswith("a profile holds no `include`")


def test_a_path_in_an_included_file_leads_no_further(tmp_path: Path):
    files = {
        "home.yaml": REST,
        "parts/adapters.yaml": ADAPTERS + "data: {own: {source: files, path: ../own.csv}}\n",
    }
    (found,) = faults(tmp_path, files)
    assert found.startswith("parts/adapters.yaml:")
    assert "'../own.csv' leads out of the recipe's folder" in found
