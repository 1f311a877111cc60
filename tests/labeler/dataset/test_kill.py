"""Whatever ends a run, the same command finishes it, and nobody can tell from the data set."""

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  (registers Blosc)
import numpy as np
import pytest

import labeler.dataset.generate as generation
from labeler.dataset.validate import find_problems
from labeler.shards.data_set import DataSet

SCENES = 16
# The command's own door, with shards so small that packing too is in the middle of things.
COMMAND = [
    sys.executable,
    "-c",
    "import labeler.dataset.generate as g, labeler.__main__ as m; g.SCENES_PER_SHARD = 4; m.main()",
    "generate",
    "name=killed",
    "recipe=fast",
    "recipe.pixels_per_metre=1000",
    "recipe.object_counts=[1,2]",
    "labeler.angles=6",
    "camera.width=160",
    "camera.height=120",
    f"scenes={SCENES}",
    "views=2",
    "seed=5",
    "workers=2",
]


def start(folder, *more):
    """Starts the command as the leader of a process group of its own."""
    return subprocess.Popen(
        [*COMMAND, f"folder={folder}", *more],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder.parent,
    )


def finish(folder, *more):
    process = start(folder, *more)
    errors = process.communicate(timeout=250)[1]
    assert process.returncode == 0, errors
    return errors


def resume(folder):
    """Finishes the data set in this process: quicker than the command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "SCENES_PER_SHARD", 4)
        return generation.generate(compose_recipe(), folder, workers=1, progress=False)


def compose_recipe():
    """Returns the command's recipe."""
    from hydra import compose, initialize_config_module
    from hydra.utils import instantiate

    settings = [a for a in COMMAND[4:] if not a.startswith("scenes=")]
    with initialize_config_module("plgp_conf", version_base="1.3"):
        config = compose("generate", [*settings, f"recipe.scenes={SCENES}"])
    return instantiate(config.recipe, _convert_="all")


def hash_arrays(folder):
    """SHA-256 over every array of a data set: name, type, shape and values."""
    digest = hashlib.sha256()

    def add(name, node):
        if isinstance(node, h5py.Dataset):
            digest.update(f"{name} {node.dtype} {node.shape}".encode())
            digest.update(node[...].tobytes())

    for path in sorted(folder.glob("shard-*.h5")):
        with h5py.File(path) as file:
            file.visititems(add)
    return digest.hexdigest()


def assert_whole(folder, other):
    assert find_problems(folder) == []
    assert hash_arrays(folder) == hash_arrays(other)
    # Not even the bytes, nor any file, tell of the interruption.
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {p.name: p.read_bytes() for p in other.iterdir()}


def done(folder):
    """Numbers of the scenes that are made: staged, or packed."""
    staged = {int(p.stem.split("-")[1]) for p in folder.glob("staging/scene-*.h5")}
    shards = [int(p.stem.split("-")[1]) for p in folder.glob("shard-*.h5")]
    return staged | {scene for shard in shards for scene in range(4 * shard, 4 * shard + 4)}


def marks(folder):
    """The scenes that are begun, each with the time of that."""
    found = set()
    for path in folder.glob("staging/*.begun"):
        with contextlib.suppress(FileNotFoundError):  # ended just now
            found.add((path.name, path.stat().st_mtime_ns))
    return found


def wait_until(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end, "the run makes no progress"
        time.sleep(0.005)


def kill_in_the_middle(folder, rng):
    """Runs the command and kills its whole group once it works, at a random moment; returns what was made."""
    goal = len(done(folder)) + rng.integers(0, 3)
    stale = marks(folder)  # of the last kill
    process = start(folder)
    wait_until(lambda: marks(folder) - stale and len(done(folder)) >= goal, process)
    time.sleep(rng.uniform(0, 0.15))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL  # it had not ended by itself
    return done(folder)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "uninterrupted"
    resume(folder)
    assert len(DataSet(folder)) == 2 * SCENES
    return folder


@pytest.mark.slow
def test_a_second_run_waits_for_the_first_and_makes_nothing_twice(uninterrupted, tmp_path):
    """As the jobs of a multirun do whose data set is not there yet."""
    folder = tmp_path / "shared"
    first = start(folder)
    wait_until(lambda: done(folder), first)
    os.killpg(first.pid, signal.SIGSTOP)  # however quick it is, the second finds it at work
    second, waited = start(folder), ""
    while "waiting for it" not in waited:
        line = second.stderr.readline()
        assert line, waited
        waited += line
    os.killpg(first.pid, signal.SIGCONT)
    waited += second.communicate(timeout=250)[1]
    assert second.returncode == 0, waited
    assert f"{folder} is being made by another run; waiting for it" in waited
    assert "scenes," not in waited  # no bar of its own
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert_whole(folder, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 5])
def test_killed_at_random_moments_and_finished(uninterrupted, tmp_path, kills):
    rng = np.random.default_rng(kills)
    folder, made = tmp_path / "killed", set()
    for _ in range(kills):
        now = kill_in_the_middle(folder, rng)
        assert made <= now  # nothing finished is lost
        print("killed at", len(now), "of", SCENES)
        made = now
    assert not (folder / "dataset.json").exists()
    # What a process killed while writing leaves, should no kill above have hit one.
    (folder / "staging").mkdir(exist_ok=True)
    (folder / "staging" / ".scene-000003.h5.999999999.part").write_bytes(b"half")
    kept = {p: p.stat().st_mtime_ns for p in folder.glob("shard-*.h5")}
    shown = finish(folder)
    assert not made or f"{len(made)} of {SCENES} scenes are already there" in shown
    assert all(p.stat().st_mtime_ns == time for p, time in kept.items())  # nothing made twice
    assert_whole(folder, uninterrupted)


def group_is_empty(group, seconds=20):
    """Waits until no process of the group is left but zombies; returns whether that came."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        stats = [path.read_text().rpartition(")")[2].split() for path in proc_stats()]
        if not any(fields[2] == str(group) and fields[0] != "Z" for fields in stats):
            return True
        time.sleep(0.05)
    return False


def proc_stats():
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            path.read_text()
        except OSError:
            continue
        yield path


@pytest.mark.parametrize("whole_group", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["terminal", "kill"])
def test_ctrl_c_is_one_sentence_and_leaves_no_worker(uninterrupted, tmp_path, whole_group):
    """A terminal sends SIGINT to the whole group, `kill -INT` to one process."""
    folder = tmp_path / "killed"
    process = start(folder)
    wait_until(lambda: done(folder), process)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130, errors
    assert errors.strip().splitlines()[-1] == "interrupted; the same command goes on where it stopped"
    assert "Traceback" not in errors
    assert group_is_empty(process.pid)
    kept = {p: p.stat().st_mtime_ns for p in folder.glob("shard-*.h5")}
    assert done(folder)
    resume(folder)
    assert all(p.stat().st_mtime_ns == time for p, time in kept.items())
    assert_whole(folder, uninterrupted)


def loky_workers(parent):
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in children if "popen_loky" in Path(f"/proc/{pid}/cmdline").read_text()]


@pytest.mark.slow
def test_a_killed_worker_costs_nothing(uninterrupted, tmp_path):
    folder = tmp_path / "killed"
    process = start(folder)
    wait_until(lambda: done(folder), process)
    os.kill(loky_workers(process.pid)[0], signal.SIGKILL)
    errors = process.communicate(timeout=250)[1]
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert_whole(folder, uninterrupted)


DEADLY = (
    "import os, labeler.dataset.staging as g\n"
    "real = g.make_frames\n"
    "def make_frames(recipe, scene):\n"
    "    os._exit(9) if scene == 2 else None\n"
    "    return real(recipe, scene)\n"
    "g.make_frames = make_frames\n"
)


@pytest.mark.slow
def test_a_scene_that_kills_its_process_is_skipped_and_reported(tmp_path):
    """As a crash in compiled code would; loky's workers run sitecustomize, so they have the deadly scene too."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif any('loky' in a for a in sys.orig_argv):\n" + "".join(f"    {n}\n" for n in DEADLY.splitlines())
    )
    folder = tmp_path / "deadly"
    command = [*COMMAND, "scenes=5", "views=1", f"folder={folder}"]
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=250, check=False
    )
    assert run.returncode == 0, run.stderr
    shown = " ".join(run.stderr.split())
    assert "scene 2 (seed [5, 2]) skipped: its process died 3 times" in shown
    data = DataSet(folder)
    assert data.scenes.tolist() == [0, 1, 3, 4]
    assert [failed.scene for failed in data.manifest.failed_scenes] == [2]
    assert find_problems(folder) == []


@pytest.mark.slow
def test_a_dask_cluster_whose_worker_is_killed(uninterrupted, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(generation, "SCENES_PER_SHARD", 4)
    folder = tmp_path / "killed"
    killed = []

    def kill(pid):
        while len(done(folder)) < 2:
            time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        killed.append(len(done(folder)))

    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        pids = list(client.run(os.getpid).values())
        assert len(pids) == 2
        killer = threading.Thread(target=kill, args=(pids[0],), daemon=True)
        killer.start()
        generation.generate(compose_recipe(), folder, workers=2, progress=False, backend="dask")
        killer.join(10)
        assert set(client.run(os.getpid).values()) != set(pids)  # a new one took its place
    assert killed
    assert killed[0] < SCENES
    assert_whole(folder, uninterrupted)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_one_sentence_and_loses_nothing(uninterrupted, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets no disk be mounted")
    try:
        folder = disk / "killed"
        process = start(folder)
        errors = process.communicate(timeout=250)[1]
        assert process.returncode == 2, errors
        last = errors.strip().splitlines()[-1]
        assert last == f"error: no space left for {folder}; make room and run the same command again"
        assert "Traceback" not in errors
        assert group_is_empty(process.pid)
        assert done(folder)
        assert not [*folder.rglob("*.part")]
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        resume(folder)
        assert_whole(folder, uninterrupted)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
