from .decoder import DecoderSettings as DecoderSettings
from .decoder import decode as decode
from .network import ConstantPolicy as ConstantPolicy
from .network import MapPolicy as MapPolicy
from .network import NetworkPolicy as NetworkPolicy
from .network import pretrained_checkpoint as pretrained_checkpoint
from .workspace import Workspace as Workspace
