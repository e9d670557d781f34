"""Chinese of what searches for ore and sets of patches warn of."""

from __future__ import annotations

PARTS_ZH = {"train": "训练", "validation": "验证", "test": "检验"}
"""Parts of a set of patches."""

_PART = "(?P<part>train|validation|test)"

PROSPECT_PATTERNS: tuple[tuple[str, str], ...] = (
    (
        r"means that moved by more than (?P<bound>[\d.]+) standard deviation: (?P<channels>.+)",
        "均值偏移超过{bound}倍标准差：{channels}",
    ),
    (
        r"more than (?P<share>[\d.]+%) of the cells outside of training: (?P<channels>.+)",
        "超过{share}的单元超出训练范围：{channels}",
    ),
    (
        r"the cells lie (?P<distance>[\d.]+) times as far off as those of training",
        "单元的特征距离为训练区的{distance}倍",
    ),
    (
        r"cells are (?P<width>[\d.]+) m wide and (?P<height>[\d.]+) m high; the graph takes neighbours as "
        r"equally far",
        "单元宽{width}米、高{height}米，图网络视相邻单元等距",
    ),
    (
        r"(?P<lacking>\d+) of (?P<total>\d+) patches lack values in a tenth of their cells or more",
        "{total}个图块中有{lacking}个缺少一成以上单元的值",
    ),
    (
        r"(?P<count>\d+) deposits lie where the ground is not judged",
        "{count}个矿床位于未评价的地段",
    ),
    (
        r"(?P<count>\d+) deposits have no cell's centre within (?P<buffer>[\d.]+) m: give a larger "
        r"--buffer-m",
        "{count}个矿床在{buffer}米以内没有单元中心：请增大--buffer-m",
    ),
    (
        _PART + r" has (?P<count>\d+) places? of positive ground: its figures hang on very few deposits",
        "{part}部分仅有{count}处含矿地段，其数值取决于极少数矿床",
    ),
    (
        _PART + r" has (?P<negative>\d+) negative patches for (?P<positive>\d+) positive ones, not "
        r"(?P<wanted>\d+): there are no more",
        "{part}部分有{positive}个含矿图块，不含矿图块仅{negative}个（应为{wanted}个），已无更多",
    ),
)
"""English as a pattern, and Chinese with the values it catches."""
