"""The first labelled images on one sheet, for a look."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from src.artifacts import atomic_path

N_IMAGES, COLUMNS, SIDE, LINE, MARGIN, SHOWN = 48, 8, 128, 15, 8, 3
BLACK, GREY = (0, 0, 0), (130, 130, 130)


class ContactSheet:
    """Keeps the first images with their first labels; labels that reach their threshold are black, others grey."""

    def __init__(self) -> None:
        self._images: list[np.ndarray] = []
        self._rows: list[dict[str, Any]] = []

    def add(self, images: Tensor, rows: Sequence[dict[str, Any]]) -> None:
        """Keep what still fits: images [k, 3, S, S] uint8 and their k rows."""
        room = N_IMAGES - len(self._images)
        self._images += list(images[:room].permute(0, 2, 3, 1).numpy())
        self._rows += list(rows[:room])

    def save(self, folder: Path) -> None:
        """Write ``contact_sheet.png``, or nothing if there is no image."""
        if not self._images:
            return
        width, height = SIDE + MARGIN, SIDE + SHOWN * LINE + 2 * MARGIN
        n_rows = -(-len(self._images) // COLUMNS)
        sheet = Image.new("RGB", (MARGIN + COLUMNS * width, MARGIN + n_rows * height), "white")
        draw = ImageDraw.Draw(sheet)
        font = ImageFont.load_default(size=11)
        for place, (pixels, row) in enumerate(zip(self._images, self._rows, strict=True)):
            left, top = MARGIN + place % COLUMNS * width, MARGIN + place // COLUMNS * height
            sheet.paste(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC), (left, top))
            for line, entry in enumerate(row["labels"][:SHOWN]):
                text = f"{entry['probability']:.2f} {entry['label']}"
                while draw.textlength(text, font=font) > SIDE:
                    text = text[:-2] + "\u2026"
                where = (left, top + SIDE + 2 + line * LINE)
                draw.text(where, text, fill=BLACK if entry["given"] else GREY, font=font)
        with atomic_path(folder / "contact_sheet.png") as temporary:
            sheet.save(temporary, format="PNG")
