"""The pool: in this process, in several, and with one of them killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import distributed
import pytest

from maunet_lite.scale.pool import PER_WORKER, ClusterError, Pool, open_pool

# Functions of items. Workers find them by importing this module.


def double(item, plus=0):
    return 2 * item + plus


def reciprocal(item):
    return 1 / item


class Untransportable(Exception):
    """Can be pickled, but not read again."""

    def __init__(self, first, *, second):
        super().__init__(f"{first} and {second}")


def refuse(item):
    raise Untransportable(item, second="more")


def die_once(item, folder, mine):
    """Kill the process that does item `mine`, the first time."""
    if item == mine:
        try:
            (folder / "died").touch(exist_ok=False)
        except FileExistsError:
            return item
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    return item


def die_always(item):
    if item == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def environment():
    names = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
    return os.getpid(), *(os.environ.get(name) for name in names)


@pytest.fixture(scope="module")
def pool():
    """Two processes, each shown one of two GPUs that need not be there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
        patch.delenv("OMP_NUM_THREADS", raising=False)
        patch.setattr("dask.system.CPU_COUNT", 6)
        with open_pool(workers=2, gpu_per_worker=True) as opened:
            yield opened


@pytest.mark.parametrize("kind", ["here", "processes"])
def test_every_item_comes_back_once_with_its_index(kind, request):
    pool = Pool() if kind == "here" else request.getfixturevalue("pool")
    results = dict(pool.map(double, [1, 2, 3, 5, 8, 13, 21, 34, 55], plus=1))
    assert results == {0: 3, 1: 5, 2: 7, 3: 11, 4: 17, 5: 27, 6: 43, 7: 69, 8: 111}
    assert list(pool.map(double, [])) == []


@pytest.mark.parametrize("kind", ["here", "processes"])
def test_error_is_the_result_of_its_item_only(kind, request):
    pool = Pool() if kind == "here" else request.getfixturevalue("pool")
    results = dict(pool.map(reciprocal, [1, 0, 2]))
    assert (results[0], results[2]) == (1, 0.5)
    assert isinstance(results[1], ZeroDivisionError)
    (refused,) = dict(pool.map(refuse, ["this"])).values()
    assert "this and more" in str(refused)


@pytest.mark.parametrize("kind", ["here", "processes"])
def test_items_are_taken_only_as_fast_as_they_are_done(kind, request):
    pool = Pool() if kind == "here" else request.getfixturevalue("pool")
    taken = []

    def items():
        for item in range(1000):
            taken.append(item)
            yield item

    results = pool.map(double, items())
    next(results)
    next(results)
    assert len(taken) <= PER_WORKER * pool.n_workers + 2
    results.close()  # and what is in flight is forgotten
    assert dict(pool.map(double, [4])) == {0: 8}


def test_processes_share_the_cores_and_see_one_gpu_each(pool):
    assert pool.n_workers == 2
    # Asked of each worker: tasks may all go to the one that holds what they have in common.
    found = set(pool._client.run(environment).values())
    assert {threads for _, threads, _ in found} == {"3"}  # six cores for two
    assert sorted(gpu for _, _, gpu in found) == ["5", "7"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5,7"  # the one of this process stays


def test_lost_worker_loses_nothing(pool, tmp_path):
    results = dict(pool.map(die_once, range(30), folder=tmp_path, mine=11))
    assert (tmp_path / "died").exists()
    assert results == {item: item for item in range(30)}
    pool._client.wait_for_workers(2)  # a new process takes its place
    assert len({pid for pid, *_ in pool._client.run(environment).values()}) == 2


def test_item_that_kills_its_workers_fails_alone(pool, monkeypatch):
    monkeypatch.setattr(
        pool._client.cluster.scheduler, "allowed_failures", 0
    )  # one death is quicker than four
    results = dict(pool.map(die_always, [1]))
    assert isinstance(results[0], RuntimeError)
    assert "workers died over it, one after another: most often it needs more memory" in str(results[0])
    assert dict(pool.map(die_always, [2, 3])) == {0: 2, 1: 3}


@pytest.fixture(scope="module")
def cluster():
    """A scheduler that somebody else has started, without TLS."""
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as started:
        yield started


def test_running_scheduler_is_used(cluster):
    for _ in range(2):  # it is left running
        with open_pool(scheduler=cluster.scheduler_address) as connected:
            assert connected.n_workers == 1
            assert dict(connected.map(double, [3])) == {0: 6}


def test_cluster_without_the_kit_is_refused(cluster, monkeypatch):
    monkeypatch.setattr(distributed.Client, "run_on_scheduler", lambda *arguments: None)
    with pytest.raises(ClusterError, match=r"does not have the kit \(the scheduler\)"):
        with open_pool(scheduler=cluster.scheduler_address):
            pass


def test_missing_scheduler_is_named(monkeypatch):
    monkeypatch.setattr("maunet_lite.scale.pool.CONNECT_SECONDS", 0.5)
    with pytest.raises(ClusterError, match="no Dask scheduler answers at tcp://127.0.0.1:9"):
        with open_pool(scheduler="tcp://127.0.0.1:9"):
            pass


def test_nothing_of_dask_is_imported_without_workers():
    code = "import sys\nfrom maunet_lite.scale.pool import open_pool\nwith open_pool() as pool:\n"
    code += "    print(list(pool.map(int, ['7'])), {'dask', 'distributed', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[(0, 7)] set()"


def test_missing_dask_is_said_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r'pip install -e "\.\[scale\]"'):
        with open_pool(workers=2):
            pass


@pytest.mark.parametrize("given", [{"workers": 0}, {"workers": 2, "scheduler": "tcp://a:1"}])
def test_impossible_pools_are_refused(given):
    with pytest.raises(ValueError, match="workers"):
        with open_pool(**given):
            pass
