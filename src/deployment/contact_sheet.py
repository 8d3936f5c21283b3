"""The first labelled images on one sheet."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from src.files import atomic_path

COLUMNS, SIDE, LINE, MARGIN, SHOWN = 8, 128, 15, 8, 3
BLACK, GREY = (0, 0, 0), (130, 130, 130)


def save_contact_sheet(path: Path, images: Sequence[np.ndarray], rows: Sequence[dict[str, Any]]) -> None:
    """Draw images [S, S, 3] uint8, at least one, with their first labels: black if they reach their threshold, or grey.

    ``rows`` has what ``LabelFiles.write`` returned for each image.
    """
    width, height = SIDE + MARGIN, SIDE + SHOWN * LINE + 2 * MARGIN
    n_rows = -(-len(images) // COLUMNS)
    sheet = Image.new("RGB", (MARGIN + COLUMNS * width, MARGIN + n_rows * height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    for place, (pixels, row) in enumerate(zip(images, rows, strict=True)):
        left, top = MARGIN + place % COLUMNS * width, MARGIN + place // COLUMNS * height
        sheet.paste(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC), (left, top))
        for line, entry in enumerate(row["labels"][:SHOWN]):
            text = f"{entry['probability']:.2f} {entry['label']}"
            while draw.textlength(text, font=font) > SIDE:
                text = text[:-2] + "\u2026"
            where = (left, top + SIDE + 2 + line * LINE)
            draw.text(where, text, fill=BLACK if entry["given"] else GREY, font=font)
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")
