from .appearance import Appearance as Appearance
from .surface import Surface as Surface
from .surface import scene_surface as scene_surface
from .view import render_depth as render_depth
from .view import render_view as render_view
