from .scenes import ProtocolSettings as ProtocolSettings
from .summary import summarise_picks as summarise_picks
from .table5 import run_table5 as run_table5
