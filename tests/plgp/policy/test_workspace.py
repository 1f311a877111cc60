"""The workspace is the tray's floor, and the tray is given once."""

from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from plgp.policy.workspace import tray_workspace
from sim.physics import TraySettings


def test_one_setting_changes_every_part_of_a_benchmark():
    with initialize_config_module("plgp_conf", version_base="1.3"):
        config = compose("benchmark", ["scene.tray.floor=0.8", "policy=[random,random-free,antipodal]"])
        usual = instantiate(compose("benchmark").workspace, _convert_="all")
    workspace = instantiate(config.workspace, _convert_="all")
    assert (workspace.minimum, workspace.maximum) == ((-0.4, -0.4, -0.1), (0.4, 0.4, 0.4))
    assert (usual.minimum, usual.maximum) == ((-0.18, -0.18, -0.1), (0.18, 0.18, 0.4))
    for policy in config.policies.values():
        made = instantiate(policy, _convert_="all")
        assert made.half_side is None
        assert made.tray == TraySettings(floor=0.8)


def test_a_workspace_of_ones_own_replaces_the_trays():
    asked = tray_workspace(TraySettings(), minimum=(-0.1, -0.1, 0.0))
    assert (asked.minimum, asked.maximum) == ((-0.1, -0.1, 0.0), (0.18, 0.18, 0.4))
