"""Mean, recall and decay over time (Perazzi et al., CVPR 2016, section 4.2)."""
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mean_recall_decay(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the mean, the share above 0.5, and the first quarter's mean minus the last one's.

    The quarters' limits are DAVIS's, ``round(linspace(1, T, 5))``, where a limit belongs to both
    its quarters. DAVIS's toolkit casts the limits to uint8, so that its decay is wrong or NaN
    beyond 255 values; here they stay int64.

    Args:
        values: (T,) values of one object, in order of time.

    Raises:
        ValueError: There is no value.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f'expected at least one value, as (T,), got shape {values.shape}; '
                         'leave out objects without an evaluated frame')
    # 1e-10 rounds halves up, which NumPy alone would round to even.
    limits = np.round(np.linspace(1, len(values), 5) + 1e-10).astype(np.int64) - 1
    first, last = values[limits[0]:limits[1] + 1], values[limits[3]:limits[4] + 1]
    return (float(values.mean()), float((values > 0.5).mean()), float(first.mean() - last.mean()))
