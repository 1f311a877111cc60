"""What the benchmark measured before the house was rebuilt, it measures still, on the first version of the scenes.

The kept rows are those of `python -m plgp.benchmark policy=[random,antipodal,oracle] category=novel-5 limit=2
frictions=[0.4] scene_set=plgp-320 benchmark.attempt.force=30 decoder.floor_margin=null`; and, in a file of their own,
those of `policy=[random,antipodal,constant] category=novel-5 limit=1 frictions=[0.4]` with today's. Antipodal
sampling's were made again when what is free for a pair ceased to depend on the others. Other processors' units round
differently in the last digits: floats agree to 1e-9.
"""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from plgp.evaluation.evaluate import evaluate
from sim.benchmark import WALL_TIMES
from sim.benchmark.store import read_attempts

KEPT = Path(__file__).parent / "golden" / "benchmark_rows.parquet"
KEPT_TODAY = KEPT.with_name("benchmark_rows_today.parquet")
ORDER = ["policy", "category", "scene", "friction", "protocol", "attempt"]
POLICIES = ["random", "antipodal", "oracle"]
FORMER = ["scene_set=plgp-320", "benchmark.attempt.force=30", "decoder.floor_margin=null"]


def assert_same_rows(folder, kept):
    rows = read_attempts(folder).drop(columns=WALL_TIMES).sort_values(ORDER, ignore_index=True)
    assert list(rows.columns) == list(kept.columns)
    pd.testing.assert_frame_equal(rows, kept.reset_index(drop=True), check_dtype=False, rtol=1e-9, atol=1e-9)


# One policy that looks stands for all of them by default; golden labels have a test of their own.
CASES = [("antipodal", KEPT_TODAY, [])]
CASES += [pytest.param(name, KEPT, FORMER, marks=pytest.mark.slow) for name in ("random", "antipodal", "oracle")]
CASES += [pytest.param(name, KEPT_TODAY, [], marks=pytest.mark.slow) for name in ("random", "constant")]


@pytest.mark.parametrize(("policy", "file", "world"), CASES)
def test_the_first_scene_gives_the_kept_rows(policy, file, world, tmp_path):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        config = compose("benchmark", [f"policy={policy}", "limit=1", "frictions=[0.4]", "workers=1", *world])
    assert instantiate(config.benchmark, _convert_="all").count == 50
    evaluate(config, tmp_path)
    kept = pd.read_parquet(file)
    kept = kept[(kept.policy == policy) & (kept.scene == 0)]
    assert len(kept) >= 55
    assert_same_rows(tmp_path, kept)


@pytest.mark.slow
def test_the_whole_command_gives_the_kept_rows(tmp_path):
    arguments = [
        f"policy=[{','.join(POLICIES)}]",
        "category=novel-5",
        "limit=2",
        "frictions=[0.4]",
        f"out={tmp_path}",
        *FORMER,
    ]
    subprocess.run([sys.executable, "-m", "plgp.benchmark", *arguments], check=True, cwd=tmp_path)
    assert_same_rows(tmp_path, pd.read_parquet(KEPT))
