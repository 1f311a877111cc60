"""Names that saved configurations and outside scripts were written with still lead to today's classes."""

import pytest
from hydra.utils import get_object

import plgp

NAMES = {
    "plgp.data.PLGPDataModule": "plgp.data.datamodule",
    "plgp.data.EpochSampler": "plgp.data.sampler",
    "plgp.data.collate": "plgp.data.batch",
    "plgp.transforms.InputFormat": "plgp.data.input_format",
    "plgp.transforms.AugmentationSettings": "plgp.data.augmentation",
    "plgp.decoder.Workspace": "plgp.policy.workspace",
    "plgp.policy.Workspace": "plgp.policy.workspace",
    "plgp.policy.DecoderSettings": "plgp.policy.settings",
    "plgp.policy.NetworkPolicy.from_checkpoint": "plgp.policy.network",
    "plgp.contact_graspnet.ContactGraspNetPolicy": "plgp.methods.contact_graspnet.policy",
    "plgp.methods.contact_graspnet.ContactGraspNetPolicy": "plgp.methods.contact_graspnet.policy",
}


@pytest.mark.parametrize(("name", "home"), NAMES.items())
def test_the_name_leads_to_its_home(name, home):
    assert get_object(name).__module__ == home


def test_an_unknown_name_is_no_former_one():
    with pytest.raises(AttributeError):
        _ = plgp.transformers
