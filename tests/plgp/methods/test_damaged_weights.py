"""Files of weights that torch reads as if nothing were: what they hold would be measured as a method that fails."""

import numpy as np
import pytest
import torch

from plgp.methods.contact_graspnet import network as contact_graspnet
from plgp.methods.graspnet import network as graspnet
from sim.errors import InputError

METHODS = [
    pytest.param(graspnet.GraspNet, graspnet.load_network, "model_state_dict", id="graspnet"),
    pytest.param(contact_graspnet.ContactGraspNet, contact_graspnet.load_network, "state_dict", id="contact_graspnet"),
]


@pytest.mark.parametrize(("kind", "load", "key"), METHODS)
def test_a_flipped_bit_and_nan_are_refused(kind, load, key, tmp_path):
    state, path = kind().state_dict(), tmp_path / "weights"
    torch.save({key: state}, path)
    load(path)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0x40
    path.write_bytes(whole)
    with pytest.raises(InputError, match="is no checkpoint of"):
        load(path)
    next(iter(state.values()))[:] = np.nan
    torch.save({key: state}, path)
    with pytest.raises(InputError, match="holds NaN"):
        load(path)
