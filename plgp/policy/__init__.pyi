from .decoder import decode as decode
from .network import ConstantPolicy as ConstantPolicy
from .network import MapPolicy as MapPolicy
from .network import NetworkPolicy as NetworkPolicy
from .network import pretrained_checkpoint as pretrained_checkpoint
from .settings import DecoderSettings as DecoderSettings
from .trained_view import TrainedView as TrainedView
from .workspace import Workspace as Workspace
