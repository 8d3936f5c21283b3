"""Weight of each CF vector in the auxiliary loss (paper, section 3.4)."""

import numpy as np

from src.config.classifiers import ConfidenceConfig

QUARTILE_RANGE = (1.0, 3.0)


def bounded_confidence(raw: np.ndarray, cfg: ConfidenceConfig) -> np.ndarray:
    """Bound raw confidences h and divide by their mean, so that alpha means the same for every scheme.

    Args:
        raw: h of each train item that has a CF vector, [n], positive.
        cfg: ``bound``: ``quantile`` is min(h, Omega) with Omega = ``omega`` or the ``omega_quantile`` of h;
            ``quartile_rescale`` is the original code's (clip to the quartiles, rescale to [1, 3]); ``none``.

    Returns:
        omega of each item, [n] float32, mean 1.

    Source: paper, eq. 2.
    """
    if len(raw) == 0:
        return np.zeros(0, dtype=np.float32)
    bounded = raw.astype(np.float64)
    if cfg.bound == "quantile":
        omega = np.quantile(bounded, cfg.omega_quantile) if cfg.omega is None else cfg.omega
        bounded = np.minimum(bounded, omega)
    elif cfg.bound == "quartile_rescale":
        low, high = np.quantile(bounded, [0.25, 0.75])
        share = (np.clip(bounded, low, high) - low) / max(high - low, np.finfo(np.float64).tiny)
        bounded = QUARTILE_RANGE[0] + share * (QUARTILE_RANGE[1] - QUARTILE_RANGE[0])
    return (bounded / bounded.mean()).astype(np.float32)
