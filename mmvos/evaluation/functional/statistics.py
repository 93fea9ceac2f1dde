"""Mean, recall and decay over time (Perazzi et al., CVPR 2016, section 4.2)."""
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mean_recall_decay(values: NDArray[np.float64], *,
                      official_compat: bool = False) -> tuple[float, float, float]:
    """Return the mean, the share above 0.5, and the first quarter's mean minus the last one's.

    The quarters' limits are DAVIS's, ``round(linspace(1, T, 5))``, where a limit belongs to both
    its quarters.

    Args:
        values: (T,) values of one object, in order of time.
        official_compat: Cast the limits to uint8, as DAVIS's toolkit does: beyond 255 values its
            decay is wrong, or NaN.

    Raises:
        ValueError: There is no value.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f'expected at least one value, as (T,), got shape {values.shape}; '
                         'leave out objects without an evaluated frame')
    # 1e-10 rounds halves up, which NumPy alone would round to even.
    limits = np.round(np.linspace(1, len(values), 5) + 1e-10).astype(np.int64) - 1
    if official_compat:
        limits &= 255
    first, last = (values[a:b + 1] for a, b in (limits[:2], limits[3:]))
    decay = first.mean() - last.mean() if first.size and last.size else np.nan
    return float(values.mean()), float((values > 0.5).mean()), float(decay)
