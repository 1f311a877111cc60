from .appearance import Appearance as Appearance
from .view import Surface as Surface
from .view import render_depth as render_depth
from .view import render_view as render_view
from .view import scene_surface as scene_surface
