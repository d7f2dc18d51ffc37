"""The section on restored faces: PSNR and SSIM at each scale, beside bicubic interpolation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lowbeam.evaluate.table import markdown_table


def restoration_section(jobs: list[dict[str, Any]], folder: Path, name: str, link: Callable[[Path], str]) -> str:
    """In Markdown, from the `jobs` of restorers in a result file; with the sheet of faces, if `folder` holds one."""
    bicubic: dict[int, dict[str, float]] = {}
    networks: dict[str, dict[int, list[dict[str, float]]]] = {}
    for job in jobs:
        for scale, measured in job["restoration"].items():
            bicubic[int(scale)] = measured
            networks.setdefault(job["name"], {}).setdefault(int(scale), []).append(measured)
    rows, scales = [], sorted(bicubic)
    for key, shown in (("psnr_db", "PSNR, dB"), ("ssim", "SSIM")):
        form = ".2f" if key == "psnr_db" else ".3f"
        rows.append([f"bicubic, {shown}", *(f"{bicubic[s][f'bicubic_{key}']:{form}}" for s in scales)])
        for network, cells in networks.items():
            rows.append([
                f"{network}, {shown}",
                *(f"{np.mean([m[key] for m in cells[s]]):{form}}" if s in cells else "" for s in scales),
            ])  # fmt: skip
    parts = ["### Restoration", markdown_table(["", *("HR" if s == 1 else f"S={s}" for s in scales)], rows)]
    sheet = folder / f"{name}-faces.png"
    if sheet.is_file():
        parts.append(f"![Faces at every S: HR, received, interpolated and restored]({link(sheet)})")
    return "\n\n".join(parts)
