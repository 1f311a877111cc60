from .data_set import DataSet as DataSet
from .frame import Frame as Frame
from .frame import decode_depth as decode_depth
from .frame import encode_depth as encode_depth
from .reader import ShardReader as ShardReader
from .writer import ShardWriter as ShardWriter
