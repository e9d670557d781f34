"""The sun's spectrum outside the atmosphere, for bands whose product states no irradiance.

Means of the extraterrestrial spectrum of ASTM G173-03 (Gueymard 2004, doi:10.1016/j.solener.2003.08.039),
at the mean distance of the earth from the sun.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError

FINE_NM = 5.0
COARSE_NM = 10.0

_FINE = (
    975.7, 1028.5, 929.1, 1150.7, 1194.6, 1052.6, 1189.3, 933.9, 1173.9, 938.2, 1625.8, 1706.4, 1711.6,
    1760.6, 1725.7, 1706.0, 1457.8, 1743.0, 1769.6, 1910.7, 2050.0, 2012.0, 2037.9, 2008.9, 1997.5, 2027.0,
    2061.2, 1882.2, 1918.4, 1974.8, 1899.8, 1934.3, 1935.3, 1807.6, 1813.9, 1846.3, 1927.5, 1869.3, 1836.7,
    1876.9, 1864.8, 1858.0, 1817.7, 1832.8, 1830.8, 1851.8, 1828.7, 1835.9, 1753.3, 1791.2, 1754.3, 1763.1,
    1731.0, 1678.6, 1703.4, 1665.1, 1660.9, 1644.7, 1630.3, 1612.1, 1576.9, 1484.4, 1551.1, 1555.1, 1532.7,
    1508.7, 1494.2, 1462.9, 1471.0, 1445.4, 1417.8, 1415.4, 1394.2, 1367.4, 1342.9, 1349.1, 1318.8, 1320.0,
    1277.5, 1290.2, 1274.2, 1269.1, 1254.3, 1233.9, 1215.3, 1208.0, 1197.1, 1186.9, 1169.0, 1139.8, 1138.7,
    1122.7, 1111.1, 1111.0, 1074.2, 1073.4, 1060.3, 1048.1, 1045.0, 1024.2, 982.5, 954.8, 1003.5, 952.7,
    967.5, 955.7, 944.0, 937.8, 938.9, 926.1, 906.6, 915.3, 894.5, 893.7, 879.0, 861.2, 869.3,
    859.7, 839.4, 827.4, 827.3, 802.1, 806.6, 792.4, 786.9, 775.6, 774.0, 769.5, 758.9, 753.1,
)  # fmt: skip
"""W m-2 um-1, means over 5 nm centred on 350, 355, ... 995 nm."""

_COARSE = (
    740.7, 723.2, 703.4, 690.6, 675.6, 660.2, 645.5, 626.5, 615.6, 598.3, 590.2, 584.9, 574.0, 564.5, 551.9,
    547.8, 534.9, 527.4, 514.0, 508.8, 496.7, 489.5, 483.7, 473.2, 462.5, 456.6, 448.0, 440.9, 427.0, 423.9,
    413.4, 404.9, 396.4, 386.6, 380.0, 374.4, 367.2, 362.2, 356.0, 351.2, 344.5, 338.0, 333.3, 326.8, 321.5,
    316.9, 312.1, 307.0, 303.0, 297.4, 292.0, 288.5, 284.8, 280.3, 276.0, 271.3, 266.9, 262.6, 256.6, 250.5,
    249.7, 244.2, 238.5, 238.3, 227.3, 226.7, 224.1, 218.2, 210.1, 210.7, 206.8, 201.0, 198.7, 191.3, 187.1,
    185.4, 182.8, 179.2, 175.3, 173.1, 169.0, 165.3, 159.4, 159.6, 155.4, 152.7, 149.3, 142.7, 142.8, 141.2,
    139.6, 137.1, 135.0, 132.4, 127.7, 125.1, 125.9, 123.0, 120.0, 118.8, 116.3, 114.8, 112.4, 110.1, 107.8,
    106.0, 103.2, 101.2, 99.5, 97.3, 96.1, 94.7, 93.1, 92.0, 90.8, 89.6, 86.7, 84.6, 84.9, 83.6,
    82.5, 80.7, 79.8, 78.4, 76.8, 75.3, 74.0, 73.0, 71.7, 70.8, 69.5, 68.8, 67.2, 65.9, 65.3,
    64.1, 62.9, 62.3, 61.0, 60.0, 59.7, 58.7, 57.5, 57.0, 56.1, 54.7, 54.4, 53.6, 52.3, 51.3,
    50.6, 49.7, 48.2, 47.5, 46.8, 46.3, 45.5, 44.8, 44.0, 43.3, 42.9, 42.5, 41.7, 41.0, 40.4,
    39.9,
)  # fmt: skip
"""W m-2 um-1, means over 10 nm centred on 1000, 1010, ... 2650 nm."""

FIRST_NM = 350.0 - FINE_NM / 2
LAST_NM = 2650.0 + COARSE_NM / 2


def _cumulated() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Irradiance from the first wavelength up to each edge of the table's intervals."""
    fine = FIRST_NM + FINE_NM * np.arange(len(_FINE) + 1)
    # The last fine interval ends where the first coarse one begins, 2.5 nm short of it.
    coarse = 995.0 + COARSE_NM * np.arange(len(_COARSE) + 1)
    edges = np.concatenate([fine[:-1], coarse])
    values = np.concatenate([_FINE, _COARSE])
    return edges, np.concatenate([[0.0], np.cumsum(values * np.diff(edges))])


def solar_irradiance(center_nm: float, width_nm: float) -> float:
    """Mean irradiance in a band, W m-2 um-1, one astronomical unit from the sun.

    The band counts as even over its full width at half maximum; the table's steps are 5 nm below 1000 nm and
    10 nm above.

    Args:
        center_nm: centre wavelength, nm.
        width_nm: full width at half maximum, nm.

    Raises:
        UsageError: the band has no width or reaches beyond the table.

    """
    low, high = center_nm - width_nm / 2, center_nm + width_nm / 2
    if not (width_nm > 0 and low >= FIRST_NM and high <= LAST_NM):
        raise UsageError(
            f"a band at {center_nm:g} nm, {width_nm:g} nm wide: the solar spectrum is known from "
            f"{FIRST_NM:g} to "
            f"{LAST_NM:g} nm; state the band's solar irradiance (esun)"
        )
    edges, total = _cumulated()
    below, above = np.interp([low, high], edges, total)
    return float((above - below) / width_nm)
