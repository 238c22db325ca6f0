"""A Ray cluster of three nodes on this host, loopback alone, one of which is taken away."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from composer.engine.planning.plan import Plan, make_plan
from composer.engine.planning.wanted import Wanted
from composer.engine.running.events import Event, RunOptions
from composer.engine.running.executors.cluster import RayCluster
from composer.engine.running.run import run_stages
from composer.engine.storage.store import Store
from composer.errors import MissingExtraError, RunError, StoppedError
from tests.engine.attempts import check_clean
from tests.engine.running.test_run import outputs
from tests.engine.workers import WorkerRunners, attempts, many, order

ROOT = Path(__file__).parents[3]
_ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "RAY_USAGE_STATS_ENABLED": "0",
    # A machine that does much else is slow, and no node of it is gone.
    "RAY_agent_register_timeout_ms": "600000",
    "RAY_raylet_start_wait_time_s": "300",
    "RAY_gcs_server_request_timeout_seconds": "300",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_health_check_timeout_ms": "60000",
}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Three nodes of two processors each; the first is the head."""
    for name, value in _ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    import ray
    from ray.cluster_utils import Cluster

    before = set(psutil.Process().children(recursive=True))
    node = {"num_cpus": 2, "node_ip_address": "127.0.0.1", "object_store_memory": 80 * 2**20}
    found = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        for _ in range(2):
            found.add_node(**node)
        found.wait_for_nodes()
        from ray._private import ray_constants

        # What the door asks for by the environment, too late here: 127.0.0.1 stays what it is.
        monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)
        yield found
    finally:
        ray.shutdown()
        found.shutdown()
        left = set(psutil.Process().children(recursive=True)) - before
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=10)


@pytest.fixture
def plan(wanted: Wanted, store: Store, folder: Path) -> Plan:
    """Twelve stages in chains of four, six of which can be carried out at a time."""
    (folder / "orders").mkdir()
    return make_plan(many(wanted, 12, rows=6), store)


def expected_outputs(plan: Plan, folder: Path) -> dict[str, str]:
    """Make the same here, one after another."""
    store = Store(folder / "here")
    run_stages(plan, store, RunOptions(runners=WorkerRunners(folder / "orders")))
    (folder / "orders" / "log").unlink()
    return outputs(store, plan)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_node_that_is_lost_costs_nothing_but_the_steps_since_its_checkpoints(
    cluster: Any, plan: Plan, store: Store, folder: Path
):
    expected = expected_outputs(plan, folder)
    told: list[Event] = []
    begun: set[str] = set()
    removed: list[threading.Thread] = []

    def hear(event: Event) -> None:
        told.append(event)
        if event.kind == "progress":
            begun.add(event.stage)
        if event.kind in ("made", "lost"):
            begun.discard(event.stage)
        if len(begun) == 3 and not removed:
            victim = cluster.list_all_nodes()[-1]
            removed.append(threading.Thread(target=cluster.remove_node, args=(victim, False)))
            removed[0].start()

    options = RunOptions(
        executor=RayCluster(address=cluster.address).executor,
        runners=WorkerRunners(folder / "orders", seconds=1.0),
        on_event=hear,
    )
    result = run_stages(plan, store, options)
    removed[0].join()
    assert list(result.made) == [one.stage.name for one in plan.stages]
    assert outputs(store, plan) == expected
    lost = {one.stage for one in told if one.kind == "lost"}
    assert lost
    resumed = {one.stage for one in told if one.kind == "started" and one.resumed}
    assert resumed <= lost
    steps = [step for name, _, step in attempts(folder / "orders") if name in resumed]
    assert max(steps, default=1) > 0
    check_clean(store.folder)
    assert not list((store.folder / "work").iterdir())
    assert_loopback_only()


def assert_loopback_only() -> None:
    """Hold every socket that Ray's processes listen on to be reached from this host alone."""
    addresses = set()
    for process in psutil.Process().children(recursive=True):
        for one in process.net_connections("inet"):
            if one.status == psutil.CONN_LISTEN:
                addresses.add(one.laddr.ip)
    assert addresses
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_run_on_a_cluster_is_stopped_after_checkpoints_and_retries_lost_workers(
    cluster: Any, plan: Plan, store: Store, folder: Path
):
    expected = expected_outputs(plan, folder)
    order(folder / "orders", "task/t0001", "kill")
    stopped: list[float] = []

    def stop(event: Event) -> None:
        if event.kind == "made" and not stopped:
            stopped.append(time.monotonic())
            os.kill(os.getpid(), 15)

    on_ray = RayCluster(address=cluster.address).executor
    slow = WorkerRunners(folder / "orders", seconds=0.5)
    with pytest.raises(StoppedError, match="run the same command again to go on"):
        run_stages(plan, store, RunOptions(executor=on_ray, runners=slow, on_event=stop))
    assert time.monotonic() - stopped[0] < 20
    assert any((one / "checkpoint").exists() for one in (store.folder / "work").iterdir())
    result = run_stages(plan, store, RunOptions(executor=on_ray, runners=slow))
    assert len(result.results) == 12
    assert outputs(store, plan) == expected
    check_clean(store.folder)


@pytest.mark.filterwarnings("ignore")
def test_an_address_where_no_cluster_is_is_told_without_trying_for_minutes(
    plan: Plan, store: Store, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr("ray.init", lambda **_: pytest.fail("Ray was asked to join"))
    options = RunOptions(executor=RayCluster(address=address).executor)
    with pytest.raises(RunError, match=rf"no Ray cluster can be joined at {address} .*ray start"):
        run_stages(plan, store, options)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_address_where_something_else_listens_is_told_after_one_try(plan: Plan, store: Store):
    pytest.importorskip("ray")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        options = RunOptions(executor=RayCluster(address=address).executor)
        with pytest.raises(RunError, match=rf"no Ray cluster can be joined at {address} "):
            run_stages(plan, store, options)
    assert "RAY_gcs_server_port_wait_time_s" not in os.environ


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "ray://127.0.0.1:10001", "here:port", ":1", "a:65536"]
)
def test_an_address_that_is_none_is_refused(plan: Plan, store: Store, address: str):
    pytest.importorskip("ray")
    options = RunOptions(executor=RayCluster(address=address).executor)
    with pytest.raises(RunError, match=r"is no HOST:PORT, for example 127\.0\.0\.1:6379"):
        run_stages(plan, store, options)


def test_ray_that_is_not_installed_is_told_with_the_line_that_installs_it(
    plan: Plan, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'adapter-composer\[ray\]'"):
        run_stages(plan, store, RunOptions(executor=RayCluster().executor))
