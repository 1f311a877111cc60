"""Launchers of a multirun's jobs that cannot start them, or lose one: a sentence each, of the launcher's own error."""

import shutil

import pytest

from sim.cli.hydra_application import launchers_sentence


def test_a_machine_without_slurm_is_told(tmp_path):
    submitit = pytest.importorskip("submitit")
    if shutil.which("srun"):
        pytest.skip("this machine has Slurm")
    with pytest.raises(RuntimeError) as caught:
        submitit.AutoExecutor(cluster="slurm", folder=tmp_path)
    assert "srun, which this machine does not have; run the command on the" in launchers_sentence(caught.value)


def test_a_job_that_left_no_result_is_told_with_its_state():
    submitit = pytest.importorskip("submitit")
    error = submitit.core.utils.UncompletedJobError(
        "Job 7 (task: 0) with path /s/7_0_result.pkl\nhas not produced any output (state: OUT_OF_MEMORY)\n"
        "Error stream produced:\n----\nslurmstepd: killed"
    )
    told = launchers_sentence(error)
    assert "path /s/7_0_result.pkl has not produced any output (state: OUT_OF_MEMORY); what it printed" in told
    assert "\n" not in told


def test_a_job_that_was_killed_is_told():
    executor = pytest.importorskip("joblib.externals.loky.process_executor")
    error = executor.TerminatedWorkerError("A worker process was unexpectedly terminated")
    assert "a job was killed, and the others with it" in launchers_sentence(error)


def test_other_errors_stay_what_they_are():
    assert launchers_sentence(RuntimeError("CUDA out of memory")) is None
