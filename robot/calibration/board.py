"""The ChArUco board: chessboard corners that are told apart by the markers between them.

Board frame: origin at a corner of the outermost square, x along its longer row of markers as printed, y downwards on
the page, z into the page.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sim.errors import POSITIVE, InputError, Limits, check_numbers
from sim.files import atomic_path, write_error

FloatArray = NDArray[np.float64]
PIXELS_PER_MM = 10  # so that every length in tenths of a millimetre is whole pixels
PAGES = {"a4": (210, 297), "a3": (297, 420), "letter": (216, 279)}  # mm
_SQUARES = Limits("a whole number from 3 to 20", least=3, most=20, whole=True)


@dataclass(frozen=True, kw_only=True)
class Board:
    """A ChArUco board of OpenCV's dictionary 4X4_100.

    Attributes:
        columns: Squares along x.
        rows: Squares along y.
        square: Side of a square as measured on the print, metres.
        marker: Side of a marker, metres.
    """

    columns: int = 6
    rows: int = 8
    square: float = 0.032
    marker: float = 0.024

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        limits = {"columns": _SQUARES, "rows": _SQUARES, "square": POSITIVE, "marker": POSITIVE}
        check_numbers("board", self, limits)
        if self.marker >= self.square:
            raise InputError(f"board.marker is {self.marker:g} m; give less than the square's {self.square:g} m")
        if self.columns * self.rows // 2 > 100:
            raise InputError(f"a board of {self.columns}x{self.rows} squares needs more than 100 markers; give fewer")

    @property
    def corners(self) -> FloatArray:
        """(M, 3) float64 inner corners, board frame, metres; the place in the array is a corner's number."""
        return np.asarray(self._charuco().getChessboardCorners(), np.float64)

    def _charuco(self) -> Any:
        dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_100)
        return cv2.aruco.CharucoBoard((self.columns, self.rows), self.square, self.marker, dictionary)

    def find(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.int64], FloatArray]:
        """Returns the corners that a picture shows.

        Args:
            rgb: (H, W, 3) or (H, W) uint8.

        Returns:
            Their numbers (N,) and places (N, 2) float64, column and row, pixels; N is 0 where no board is seen.
        """
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) if rgb.ndim == 3 else rgb
        corners, ids, _, _ = cv2.aruco.CharucoDetector(self._charuco()).detectBoard(np.ascontiguousarray(grey))
        if ids is None or len(ids) == 0:
            return np.empty(0, np.int64), np.empty((0, 2))
        return np.asarray(ids, np.int64).ravel(), np.asarray(corners, np.float64).reshape(-1, 2)

    def why_unseen(self, rgb: NDArray[np.uint8]) -> str:
        """Returns what makes the board of a picture be seen after all, or an empty text.

        Args:
            rgb: (H, W, 3) or (H, W) uint8 in which ``find`` sees no board.
        """
        turned = replace(self, columns=self.rows, rows=self.columns)
        if len(turned.find(rgb)[0]):
            return f"with columns={turned.columns} rows={turned.rows} it is seen; give them so"
        if len(self.find(np.ascontiguousarray(rgb[:, ::-1]))[0]):
            return "mirrored it is seen; take pictures that are not mirrored"
        return ""

    def picture(self) -> NDArray[np.uint8]:
        """Returns the board as printed, (H, W) uint8, ``PIXELS_PER_MM`` pixels a millimetre."""
        side = 1000 * PIXELS_PER_MM * self.square
        size = round(side * self.columns), round(side * self.rows)
        return np.asarray(self._charuco().generateImage(size, marginSize=0), np.uint8)


def draw_board(board: Board, path: Path, *, page: str = "a4") -> Path:
    """Writes a page with the board, its sizes and a ruler; PNG or PDF, to be printed at 100 %.

    Args:
        board: The board.
        path: File that ends in .png or .pdf.
        page: "a4", "a3" or "letter".

    Returns:
        The path.

    Raises:
        InputError: The board does not fit the page, or the file cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont

    if page not in PAGES:
        raise InputError(f"page is '{page}'; give {', '.join(PAGES)}")
    if path.suffix.lower() not in (".png", ".pdf"):
        raise InputError(f"the board's file is '{path}'; give a name that ends in .png or .pdf")
    width, height = (PIXELS_PER_MM * side for side in PAGES[page])
    drawn = board.picture()
    left, top = (width - drawn.shape[1]) // 2, 10 * PIXELS_PER_MM
    if left < 5 * PIXELS_PER_MM or top + drawn.shape[0] + 22 * PIXELS_PER_MM > height:
        size = f"{1000 * board.square * board.columns:.0f} x {1000 * board.square * board.rows:.0f} mm"
        raise InputError(f"a board of {size} does not fit page={page}; give fewer or smaller squares, or page=a3")
    sheet = Image.new("L", (width, height), 255)
    sheet.paste(Image.fromarray(drawn), (left, top))
    draw = ImageDraw.Draw(sheet)
    line = top + drawn.shape[0] + 6 * PIXELS_PER_MM
    for mm in range(0, 101, 10):
        x = left + mm * PIXELS_PER_MM
        draw.line([(x, line), (x, line + (30 if mm % 50 else 50))], fill=0, width=3)
    draw.line([(left, line), (left + 100 * PIXELS_PER_MM, line)], fill=0, width=3)
    text = (
        f"This ruler is 100 mm long: print at 100 %. columns={board.columns} rows={board.rows} "
        f"square={board.square:g} marker={board.marker:g} (metres)\nGlue it flat onto glass, aluminium or thick wood, "
        "measure a whole row of squares, and give square= the mean."
    )
    draw.multiline_text((left, line + 60), text, fill=0, font=ImageFont.load_default(size=36), spacing=12)
    dots = 25.4 * PIXELS_PER_MM
    kind = "PNG" if path.suffix.lower() == ".png" else "PDF"
    try:
        with atomic_path(path) as temporary:
            sheet.save(temporary, format=kind, **({"dpi": (dots, dots)} if kind == "PNG" else {"resolution": dots}))
    except OSError as error:
        raise write_error(path, error) from error
    return path
