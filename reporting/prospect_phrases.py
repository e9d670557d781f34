"""What the page of a search for ore says, in English and Chinese. Values in braces are filled in."""

from __future__ import annotations

PROSPECT_PHRASES: dict[str, tuple[str, str]] = {
    "prospect_report": ("Where ore may lie", "找矿预测报告"),
    "search_number": ("Search {number}", "预测任务{number}"),
    "searched_scene": ("Scene searched", "预测影像"),
    "searched_area": ("Study area searched", "预测研究区"),
    "published": ("Published", "发布"),
    "cells_of": ("Cells", "单元"),
    "cells_said": ("{count} of {edge} m", "{count}个，边长{edge}米"),
    "threshold_name": ("Threshold", "阈值"),
    "withdrawn": (
        "WITHDRAWN on {when} by {who}: {reason}. This search does not count any more; the page shows what it "
        "said.",
        "已撤回：{who}于{when}撤回，原因：{reason}。该预测不再有效，本页仅显示其原有内容。",
    ),
    "superseded": (
        "SUPERSEDED: the scene has a newer version. This search does not count any more; the page shows what "
        "it said of the earlier one. Search the scene again.",
        "已被取代：该影像已有新版本。该预测不再有效，本页仅显示其针对旧版影像的结果，请重新预测。",
    ),
    "no_reason": ("no reason was recorded", "未记录原因"),
    # what the data are
    "data_origin": ("Data learned from", "训练数据"),
    "data.simulated": ("simulated", "模拟数据"),
    "data.implanted": ("implanted", "植入数据"),
    "data.real": ("real", "真实数据"),
    "data.none": ("origin not recorded", "来源未记录"),
    "told.simulated": (
        "SIMULATED DATA. Image, geology and deposits that the network learned from were made by a program. "
        "Figures and targets say how the method works, and nothing about real ground.",
        "模拟数据。网络所学的影像、地质和矿床均由程序生成，数值与靶区仅说明方法的效果，不代表真实地面。",
    ),
    "told.implanted": (
        "IMPLANTED DATA. A program put the marks of ore into real data. Figures and targets say how well "
        "what was put in is found again, not where ore lies.",
        "植入数据。程序在真实数据中加入了矿化特征，数值与靶区仅说明植入特征的检出效果，不代表矿床位置。",
    ),
    # key figures
    "key_targets": ("Targets", "靶区"),
    "key_best": ("Mean probability of target 1", "1号靶区平均概率"),
    "key_above": ("Ground from the threshold on", "达到阈值的面积比例"),
    "key_balanced": ("Balanced accuracy, test patches", "检验图块平衡精度"),
    "key_distance": ("Distance of the features", "特征距离"),
    "key_targets_found": ("{count} found, the first are kept", "共发现{count}个，仅保留排名靠前者"),
    "key_targets_area": ("{area} ha in all", "共{area}公顷"),
    "key_of_scored": ("of the ground that was scored", "占已评分区域"),
    "key_guessing": ("guessing: 0.5", "随机猜测为0.5"),
    "key_interval": (
        "{level} interval {low}–{high}; guessing: 0.5",
        "{level}区间{low}–{high}；随机猜测为0.5",
    ),
    "key_few_places": ("too few places for an interval", "地点过少，无区间"),
    "key_distance_note": ("times that of training; 1: alike", "为训练区的倍数，1表示相同"),
    "not_stored": ("not stored", "未保存"),
    # map
    "prospect_map": ("Probability of ore", "成矿概率"),
    "prospect_map_note": (
        "Transverse Mercator about the centre, WGS 84; north is up. Numbers are ranks of targets. Faults, "
        "plutons and deposits are those in the database on the day this page was made. Hatched ground was "
        "not scored: nothing is said of it.",
        "以图幅中心为原点的横轴墨卡托投影，WGS 84，上方为北。数字为靶区排名。"
        "断层、岩体和矿床为生成本页时数据库中的资料。斜线部分未评分，不作判断。",
    ),
    "prospect_no_raster": (
        "The raster of scores is not in this database: the map shows targets only.",
        "数据库中没有概率栅格，图上仅显示靶区。",
    ),
    "legend_probability": ("Probability", "概率"),
    "legend_threshold": ("threshold {value}", "阈值{value}"),
    "legend_target": ("Target, with its rank", "靶区及其排名"),
    "legend_fault": ("Fault", "断层"),
    "legend_pluton": ("Pluton", "岩体"),
    "legend_deposit": ("Known deposit", "已知矿床"),
    "legend_unscored": ("Not scored", "未评分"),
    # targets
    "targets": ("Targets", "找矿靶区"),
    "targets_none": (
        "No cell reaches the threshold: there is no target.",
        "没有单元达到阈值，无靶区。",
    ),
    "mean_probability": ("Mean probability", "平均概率"),
    "highest_probability": ("Highest", "最高概率"),
    "to_fault_m": ("To a fault, m", "距断层（米）"),
    "to_pluton_m": ("To a pluton, m", "距岩体（米）"),
    "to_deposit_m": ("To a known deposit, m", "距已知矿床（米）"),
    "learned_from": ("Shown in training", "训练已用"),
    "learned_yes": ("yes", "是"),
    "learned_no": ("no", "否"),
    "learned_unknown": ("?", "？"),
    "place": ("Place", "位置"),
    "unnamed": ("unnamed", "未命名"),
    "targets_note": (
        "Ranked by mean probability, then by size. Distances run from the edge of the target to what was "
        "mapped when the ground was searched, in the plane of the grid; 0: it touches it or lies inside. "
        "What is not mapped has no distance, and maps of faults are never complete.",
        "按平均概率排名，相同者按面积。距离由靶区边缘至预测时已填图的要素，按格网平面计算；0表示相接或位于其内。"
        "未填图的要素没有距离，而断层填图总不完整。",
    ),
    "learned_note": (
        "Shown in training: the target overlaps a patch that the network was shown as ore-bearing. That it "
        "finds such ground again is memory, not discovery.",
        "训练已用：靶区与训练或验证时作为含矿样本的图块重叠。再次找到这类地段是记忆，不是发现。",
    ),
    "learned_gone": (
        "?: the set of patches is no more in the database, so that nobody can tell.",
        "？：训练图块集已不在数据库中，无法判断。",
    ),
    "evidence_note": (
        "What stands out: mean over the target, and in brackets how many deviations it lies above (below: "
        "negative) the ground that was judged. Of an absorption the value is its depth, 1 − R / Rc, a share "
        "of the continuum; at 0 and below there is none. It says what a spectrum shows; which mineral shows "
        "it, only the field and the laboratory tell. The network did not choose by this list.",
        "突出特征：靶区平均值，括号内为高出（负值为低于）已评价区域的离差倍数。吸收特征的数值为吸收深度"
        "1 − R / Rc，即占连续统的比例，不大于0即无吸收；它只说明光谱表现，"
        "属何种矿物须经野外和实验室验证。网络并非按此列表判定。",
    ),
    "sql_of_targets": ("Read the targets in SQL", "用SQL读取靶区"),
    # ground beside training
    "shift": ("How the ground differs from that of training", "预测区与训练区的差异"),
    "shift_home": (
        "This is the ground that the network was trained on. It was shown the ore of its training and "
        "validation part; only of the test part its answers are news.",
        "本区即训练区。网络已见过训练和验证部分的矿化信息，只有检验部分的结果才是新的。",
    ),
    "shift_away": (
        "The network was trained on {trained}. Its figures are of that ground; how well it does here, "
        "nobody has measured.",
        "网络在{trained}训练，精度数值属于该区；在本区的效果未经检验。",
    ),
    "shift_geology": (
        "The rasters of geology were not those of the training: faults or plutons were edited between the "
        "two, or the grid is another.",
        "预测所用地质栅格与训练时不同：其间断层或岩体资料有改动，或格网不同。",
    ),
    "shift_none": (
        "How far the features lie from those of training is not stored with this search.",
        "该预测未保存特征与训练区的差异。",
    ),
    "shift_distance": (
        "The features of the ground lie {distance} times as far off as those of training (1: alike). Nothing "
        "beyond the bounds was found.",
        "本区特征距离为训练区的{distance}倍（1表示相同），未发现超限。",
    ),
    "shift_warned": (
        "The features of the ground lie {distance} times as far off as those of training (1: alike). Where "
        "they are unlike, the answer is a guess:",
        "本区特征距离为训练区的{distance}倍（1表示相同）。差异大的地方结果近于猜测：",
    ),
    "channel": ("Channel", "通道"),
    "kind.spectral": ("Band", "波段"),
    "kind.evidence": ("Evidence", "证据图层"),
    "kind.geology": ("Geology", "地质"),
    "made_of": ("Made of", "取自"),
    "mean_difference": ("Mean moved by, σ of training", "均值偏移（训练区σ）"),
    "outside_share": ("Outside percentiles 1–99", "超出1–99百分位"),
    "channels_note": (
        "The {shown} of {count} channels that moved most; all: {command}. At home 2 % of the cells lie "
        "outside.",
        "仅列偏移最大的{shown}个通道，共{count}个；全部：{command}。在训练区约2 %的单元超出范围。",
    ),
    "channels_note_all": (
        "At home 2 % of the cells lie outside.",
        "在训练区约2 %的单元超出范围。",
    ),
    # the model
    "model_card": ("The model", "模型"),
    "type": ("Kind", "类型"),
    "arch.gcn_residual": ("graph network with residuals", "残差图卷积网络"),
    "arch.gcn": ("graph network", "图卷积网络"),
    "arch.cnn": ("convolutional network", "卷积神经网络"),
    "arch.svm": ("support vector machine on mean spectra", "支持向量机（平均光谱）"),
    "arch.forest": ("random forest", "随机森林"),
    "arch.majority": ("the commonest answer", "多数类"),
    "trained_on": ("Trained on", "训练区"),
    "trained_at": ("Trained", "训练时间"),
    "patch_set": ("Set of patches", "图块集"),
    "patch_size": ("Patches", "图块"),
    "patch_size_said": ("{px} × {px} cells of {metres} m", "{px}×{px}个单元，{metres}米"),
    "inputs": ("Channels", "输入通道"),
    "count_spectral": ("{count} spectral", "{count}个波段"),
    "count_evidence": ("{count} of evidence", "{count}个证据图层"),
    "count_geology": ("{count} of geology", "{count}个地质通道"),
    "no_geology": ("no geology", "无地质通道"),
    "ore_is": ("Counts as ore-bearing", "含矿判据"),
    "ore_is_said": (
        "{share} of a patch within {buffer} m of one of {count} known deposits",
        "图块的{share}位于{count}个已知矿床之一的{buffer}米以内",
    ),
    "held_out": ("Held out", "检验方式"),
    "held_out.block": ("whole blocks of ground", "整块地段"),
    "held_out.north": ("all north of a parallel", "某纬线以北全部"),
    "held_out.south": ("all south of a parallel", "某纬线以南全部"),
    "threshold_rule": (
        "{value}, of the highest balanced accuracy on the validation patches",
        "{value}，取验证图块平衡精度最高者",
    ),
    "weights": ("Weights", "权重"),
    "patches_by_part": ("Patches by part", "各部分图块"),
    "part": ("Part", "部分"),
    "part.train": ("Training", "训练"),
    "part.validation": ("Validation", "验证"),
    "part.test": ("Test", "检验"),
    "with_ore": ("With ore", "含矿"),
    "without_ore": ("Without", "不含矿"),
    "blocks": ("Blocks of ground", "地块"),
    "figures": ("Figures on the test part", "检验部分的精度"),
    "figures_none": (
        "No figures of a test part are stored with this model: nobody can say what its answers are worth.",
        "该模型未保存检验部分的精度，其结果的可靠性无从得知。",
    ),
    "figures_note": (
        "{patches} patches in {blocks} blocks that took no part in training or in any choice; looked at "
        "once, at the end.",
        "{patches}个图块，分布于{blocks}个地块，未参与训练和任何选择，仅在最后使用一次。",
    ),
    "figures_note_intervals": (
        "Intervals ({level}): what the figures would have been on other blocks of this ground.",
        "区间为换用本区其他地块时数值的范围（{level}）。",
    ),
    "figures_few": (
        "With ore in {ore} test blocks and barren ground in {barren} the intervals are narrower than the "
        "truth.",
        "检验地块中，{ore}个有含矿图块，{barren}个有不含矿图块，数量偏少，区间偏窄。",
    ),
    "figures_few_places": (
        "Ore lies in {ore} of the test blocks and barren ground in {barren}: too few places for an interval. "
        "Whether the model is better than guessing is not known. Take the map as a drawing, not as advice.",
        "检验地块中，{ore}个有含矿图块，{barren}个有不含矿图块，地点过少，不给出区间。"
        "该模型是否优于随机猜测无从得知。本图不宜作为依据。",
    ),
    "figures_guessing": (
        "On its test part the model cannot be told from guessing: the interval of the area under the ROC "
        "curve reaches 0.5, or there is none. Take the map as a drawing, not as advice.",
        "在检验部分，该模型与随机猜测无法区分：ROC曲线下面积的区间包含0.5或没有区间。本图不宜作为依据。",
    ),
    "figures_worse": (
        "On its test part the model ranks barren ground above ore, worse than guessing: the interval of the "
        "area under the ROC curve lies below 0.5. Take the map as a drawing, not as advice.",
        "在检验部分，该模型把不含矿地段排在含矿地段之前，劣于随机猜测：ROC曲线下面积的区间低于0.5。本图不宜作为依据。",
    ),
    "figures_one_class": (
        "The test patches are all of one class: nothing can be said about the model.",
        "检验图块只有一类，无法评价模型。",
    ),
    "figure": ("Figure", "指标"),
    "figure.balanced_accuracy": ("Balanced accuracy", "平衡精度"),
    "figure.roc_auc": ("Area under ROC curve", "ROC曲线下面积"),
    "figure.pr_auc": ("Average precision", "平均精确率"),
    "figure.precision": ("Precision of ore", "含矿精确率"),
    "figure.recall": ("Recall of ore", "含矿召回率"),
    "figure.f1": ("F1 of ore", "含矿F1"),
    "figure.macro_f1": ("Mean F1", "平均F1"),
    "figure.accuracy": ("Accuracy", "总体精度"),
    "answer.model": ("This model", "本模型"),
    "answer.majority": ("Commonest answer", "多数类"),
    "interval_95": ("{level} interval", "{level}区间"),
    "confusion": ("Test patches: truth and answer", "检验图块：真值与判定"),
    "called_ore": ("Called ore", "判为含矿"),
    "called_barren": ("Called barren", "判为不含矿"),
    "truly_ore": ("With ore", "实为含矿"),
    "truly_barren": ("Without", "实为不含矿"),
    "importance": ("What it goes by", "判定所依据的通道"),
    "importance_note": (
        "How much the area under the ROC curve falls when a channel is shuffled among the patches; thin "
        "lines: the spread of the shuffling. Channels that say the same share their importance.",
        "将某通道在图块间打乱后ROC曲线下面积的下降；细线为多次打乱的离散程度。信息相同的通道分担其重要性。",
    ),
    "importance_all": ("All {kind} together", "全部{kind}"),
    # reading
    "reading": ("How to read this page", "阅读说明"),
    "reading.rank": (
        "A probability ranks ground. It is that of ground where ore-bearing and barren patches are equally "
        "common; real ground holds far less ore. Of ten targets at 0.9 not nine hold ore.",
        "概率用于排序。它以含矿与不含矿图块各占一半为前提，而实际含矿地段少得多：十个概率0.9的靶区并不意味着九个含矿。",
    ),
    "reading.cell": (
        "A cell's probability is the mean over the patches that hold it. The threshold was chosen on single "
        "patches.",
        "单元的概率为包含它的各图块的平均值；阈值则按单个图块选定。",
    ),
    "reading.known": (
        "Where no deposit is known, none may have been looked for: ground counted as barren in training may "
        "hold ore, and the figures then call a find an error.",
        "未知有矿不等于无矿：训练时计为不含矿的地段可能含矿，此时精度会把发现计为错误。",
    ),
    "reading.place": (
        "A target is a place to look at in the field. It is no deposit, no resource and no reserve.",
        "靶区是供野外查证的地段，不是矿床，也不是资源量或储量。",
    ),
}
