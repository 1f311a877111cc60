"""What a network's world was in training: ``TrainedView`` under the name by which policies know it."""

from plgp.data.trained_view import TrainedView

__all__ = ["TrainedView"]
