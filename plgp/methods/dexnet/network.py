"""GQ-CNN and FC-GQ-CNN of Dex-Net 4.0, parallel jaw, written anew in torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CROP = 96  # pixels, side of the square around a grasp that both networks see
STRIDE = 4  # pixels between two answers of FC-GQ-CNN: two poolings
_FILTERS, _REACH, _UNITS, _POSE_UNITS = 16, 17, 128, 16


class _ImageStream(nn.Module):
    """Four convolutions, two poolings and a fully connected layer, which is a 17x17 convolution: without padding."""

    def __init__(self) -> None:
        """Builds the layers; weights are random until a checkpoint is loaded."""
        super().__init__()
        self.conv1_1 = nn.Conv2d(1, _FILTERS, 9)
        self.conv1_2 = nn.Conv2d(_FILTERS, _FILTERS, 5)
        self.conv2_1 = nn.Conv2d(_FILTERS, _FILTERS, 5)
        self.conv2_2 = nn.Conv2d(_FILTERS, _FILTERS, 5)
        self.fc3 = nn.Conv2d(_FILTERS, _UNITS, _REACH)

    def features(self, image: Tensor) -> Tensor:
        """Returns (N, 128, (H - 96) / 4 + 1, (W - 96) / 4 + 1) features of normalised images (N, 1, H, W)."""
        x = F.max_pool2d(F.relu(self.conv1_2(F.relu(self.conv1_1(image)))), 2)
        x = F.max_pool2d(F.relu(self.conv2_2(F.relu(self.conv2_1(x)))), 2)
        return F.relu(self.fc3(x))


class GQCNN(_ImageStream):
    """Quality of one grasp from the depth image around it and the depth of its centre: 631,410 parameters.

    Mahler et al., "Learning Ambidextrous Robot Grasping Policies", Science Robotics 2019. Image and depth are
    standardised by one mean and one deviation each, so the network knows how far away the table of its training was.
    """

    im_mean: Tensor
    im_std: Tensor
    pose_mean: Tensor
    pose_std: Tensor

    def __init__(self) -> None:
        """Builds the layers; weights and constants are those of no training until a checkpoint is loaded."""
        super().__init__()
        self.pc1 = nn.Linear(1, _POSE_UNITS)
        self.fc4_input_1 = nn.Linear(_UNITS, _UNITS)
        self.fc4_input_2 = nn.Linear(_POSE_UNITS, _UNITS, bias=False)
        self.fc5 = nn.Linear(_UNITS, 2)
        for name, value in (("im_mean", 0.0), ("im_std", 1.0), ("pose_mean", 0.0), ("pose_std", 1.0)):
            self.register_buffer(name, torch.tensor(value))

    def forward(self, crops: Tensor, depth: Tensor) -> Tensor:
        """Returns the probability of success.

        Args:
            crops: (N, 96, 96) float32, metres, the grasp's centre at pixel (48, 48), its axis along the rows.
            depth: (N,) float32, camera's z of the grasp's centre, metres.

        Returns:
            (N,) float32 in [0, 1].
        """
        return self.logits(crops, depth).softmax(dim=1)[:, 1]

    def logits(self, crops: Tensor, depth: Tensor) -> Tensor:
        """Returns (N, 2) float32 logits of failure and success; see ``forward``."""
        return self.judge(self.look(crops), depth)

    def look(self, crops: Tensor) -> Tensor:
        """Returns (N, 128) features of crops (N, 96, 96), metres; no grasp's depth counts yet."""
        return self.features(((crops - self.im_mean) / self.im_std)[:, None]).flatten(1)

    def judge(self, image: Tensor, depth: Tensor) -> Tensor:
        """Returns (N, 2) float32 logits of failure and success: of ``look``'s features, and depths (N,) in metres."""
        pose = F.relu(self.pc1(((depth - self.pose_mean) / self.pose_std)[:, None]))
        merged = F.relu(self.fc4_input_1(image) + self.fc4_input_2(pose))
        pair: Tensor = self.fc5(merged)
        return pair


class FCGQCNN(_ImageStream):
    """Quality of every place, angle and depth of an image: 633,200 parameters with 16 angles.

    Satish et al., "On-Policy Dataset Synthesis for Learning Robot Grasping Policies Using Fully Convolutional Deep
    Networks", RA-L 2019. It was trained on crops of 96x96 pixels, without padding, so the map over an image equals the
    answers on its crops.
    """

    im_depth_sub_mean: Tensor
    im_depth_sub_std: Tensor

    def __init__(self, bins: int = 16) -> None:
        """Builds the layers.

        Args:
            bins: Number of angles.
        """
        super().__init__()
        self.fc4 = nn.Conv2d(_UNITS, _UNITS, 1)
        self.fc5 = nn.Conv2d(_UNITS, 2 * bins, 1)
        for name, value in (("im_depth_sub_mean", 0.0), ("im_depth_sub_std", 1.0)):
            self.register_buffer(name, torch.tensor(value))

    def forward(self, image: Tensor, depths: Tensor) -> Tensor:
        """Returns the probability of success of grasps at some depths.

        Args:
            image: (H, W) float32, metres; H and W at least 96 and divisible by 4.
            depths: (P,) float32, camera's z of the grasps' centres, metres.

        Returns:
            (P, (H - 96) / 4 + 1, (W - 96) / 4 + 1, K) float32 in [0, 1]; position (i, j) belongs to pixel
            (48 + 4 i, 48 + 4 j), angle k to the axis at pi/2 - (k + 1/2) pi/K from the columns to the rows.
        """
        planes = (image[None] - depths[:, None, None] - self.im_depth_sub_mean) / self.im_depth_sub_std
        logits = self.fc5(F.relu(self.fc4(self.features(planes[:, None]))))
        pairs: Tensor = logits.unflatten(1, (-1, 2)).softmax(dim=2)
        return pairs[:, :, 1].permute(0, 2, 3, 1)

    def logits(self, crops: Tensor, depth: Tensor, angle: Tensor) -> Tensor:
        """Returns the logits of one grasp in the middle of each crop, as the training needs them.

        Args:
            crops: (N, 96, 96) float32, metres, the grasp's centre at pixel (48, 48); they are not turned.
            depth: (N,) float32, camera's z of the grasp's centre, metres.
            angle: (N,) float32, theta, radians, counter-clockwise as the image is seen; its bin counts.

        Returns:
            (N, 2) float32: failure, success.
        """
        shown = (crops - depth[:, None, None] - self.im_depth_sub_mean) / self.im_depth_sub_std
        pairs = self.fc5(F.relu(self.fc4(self.features(shown[:, None])))).flatten(1).unflatten(1, (-1, 2))
        bins = pairs.shape[1]
        number = ((angle + torch.pi / 2) % torch.pi * bins / torch.pi).long().clamp(max=bins - 1)
        chosen: Tensor = pairs[torch.arange(len(number), device=number.device), number]
        return chosen
