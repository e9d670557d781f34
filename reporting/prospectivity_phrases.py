"""What the page of a search without deposits says, in English and Chinese. Values in braces are filled in."""

from __future__ import annotations

PROSPECTIVITY_PHRASES: dict[str, tuple[str, str]] = {
    "prospectivity_report": ("Where to look for ore", "无监督找矿预测报告"),
    "method": ("Method", "方法"),
    "mineral_system": ("Mineral system", "成矿系统"),
    "seeds": ("Seeds", "随机种子"),
    "target_from": ("Targets from prospectivity", "靶区起始远景度"),
    # verdict
    "verdict": ("What it is worth", "效果评价"),
    "verdict.none": (
        "NOT EVALUATED. Nobody has held this search against known deposits, so that nobody knows whether it "
        "ranks ground better than chance, or than a plain distance in geochemistry. With deposits of this "
        "ground in the database: {command}",
        "未评价。尚未用已知矿床检验本预测，其排序是否优于随机、是否优于简单的地球化学距离均不得而知。将本区矿床入库后运行：{command}",
    ),
    "verdict.NOT above": (
        "A PLAIN ANSWER IS NOT BEATEN. {name} ranks the known deposits as high or higher: the area under the "
        "ROC curve of this search less that of the plain answer is {value}{interval}. On these deposits the "
        "model shows nothing that the plain answer does not.",
        "未胜过简单方法。{name}对已知矿床的排序不低于本预测：本预测ROC曲线下面积与其相差{value}{interval}。"
        "就这些矿床而言，模型没有显示出简单方法所没有的信息。",
    ),
    "verdict.not shown to be above": (
        "NOT SHOWN TO BEAT A PLAIN ANSWER. Against {name} the "
        "difference of the areas under the ROC curves is "
        "{value}{interval}: other deposits of this ground might have said the opposite.",
        "未证明胜过简单方法。与{name}相比，ROC曲线下面积之差为{value}{interval}：换一批矿床，结论可能相反。",
    ),
    "verdict.above": (
        "Above {name}: the difference of the areas under the ROC curves is {value}{interval}.",
        "胜过{name}：ROC曲线下面积之差为{value}{interval}。",
    ),
    "verdict.lacking": (
        "{name} could not be held beside it: the evidence has no such layers.",
        "无法与{name}比较：证据图层中没有所需图层。",
    ),
    "verdict.chance": (
        "CHANCE EXPLAINS THE RANKING. Shifted at random over the ground, the same deposits rank as high in a "
        "share of {p} of the shifts.",
        "随机即可解释该排序。将同一批矿床在区内随机平移，有{p}的平移排序不低于实际。",
    ),
    "verdict_interval": (" (interval {low} to {high})", "（区间{low}至{high}）"),
    "verdict_no_interval": (", too few places for an interval", "，地点过少，无区间"),
    "verdict.few": (
        "The deposits lie in {places} places only: no interval can be told, and no comparison decided.",
        "矿床仅分布于{places}处：无法给出区间，也无法判定优劣。",
    ),
    # key figures
    "key_best_rank": ("Mean prospectivity of target 1", "1号靶区平均远景度"),
    "key_roc": ("Area under ROC curve", "ROC曲线下面积"),
    "key_density": ("Normalised density", "归一化密度"),
    "key_density_note": (
        "{capture} of the deposits in {area} of the ground; chance: 1",
        "{area}的面积含{capture}的矿床；随机为1",
    ),
    "key_of_scored_top": ("of the ground that was scored", "占已评分区域"),
    "key_not_evaluated": ("not evaluated", "未评价"),
    # map
    "prospectivity_map": ("Prospectivity", "找矿远景度"),
    "legend_prospectivity": ("Prospectivity, a rank", "远景度（排序值）"),
    "prospectivity_no_raster": (
        "The raster of scores is not in this database: the map shows targets only.",
        "数据库中没有得分栅格，图上仅显示靶区。",
    ),
    # targets
    "mean_prospectivity": ("Mean prospectivity", "平均远景度"),
    "highest_prospectivity": ("Highest", "最高"),
    "prospectivity_targets_note": (
        "Ranked by mean prospectivity, then by size. Distances run from the edge of the target to what was "
        "mapped when the ground was searched, in the plane of the grid; 0: it touches it or lies inside. "
        "Known deposits played no part in the search.",
        "按平均远景度排名，相同者按面积。距离由靶区边缘至预测时已填图的要素，按格网平面计算；0表示相接或位于其内。"
        "已知矿床未参与预测。",
    ),
    "why": ("Why, at the best cell", "最佳单元得分原因"),
    "reason_expected": ("expected {value}", "期望{value}"),
    "reason_share": ("{share} of its part", "占该部分{share}"),
    "reasons_note": (
        "An element stands with what was found, what the method expected there, and how many robust "
        "deviations lie between; geology with its distance. The share is that of the anomaly, or of the "
        "favourability, which it makes up.",
        "元素后依次为实测值、方法的期望值及相差的稳健离差倍数；地质要素后为距离。占比为其在异常度或有利度中的比例。",
    ),
    # scores
    "scores": ("What the scores say", "各得分的含义"),
    "score.prospectivity": ("Prospectivity S", "远景度S"),
    "score.anomaly": ("Anomaly A", "异常度A"),
    "score.favourability": ("Favourability F", "有利度F"),
    "meaning.prospectivity": (
        "rank(A) to the power {share} times rank(F) to the power {rest}, ranks from 0 to 1 over the scored "
        "ground. It says which ground comes first. It does not say how likely ore is.",
        "rank(A)的{share}次方乘以rank(F)的{rest}次方，秩在已评分区域内取0至1。它表示先查证何处，不表示有矿的可能性大小。",
    ),
    "meaning.prospectivity_plain": (
        "the ranks of A and F, 0 to 1 over the scored ground, weighed and multiplied. It says which ground "
        "comes first. It does not say how likely ore is.",
        "A与F的秩（在已评分区域内取0至1）加权相乘。它表示先查证何处，不表示有矿的可能性大小。",
    ),
    "meaning.anomaly": (
        "how far the system's elements stand above what the method expects at this place, in robust "
        "deviations; of methods that expect nothing, their own measure of how unusual a cell is.",
        "系统元素高出方法在该处期望值的程度，以稳健离差计；不产生期望值的方法则为其自身的异常度量。",
    ),
    "meaning.favourability": (
        "how near the geology lies that favours this ore, 0 to 1, by the rules of the mineral system.",
        "按成矿系统规则，距有利地质要素的远近，0至1。",
    ),
    # evaluation
    "evaluation": ("Known deposits against the scores", "已知矿床检验"),
    "evaluation_facts": (
        "{count} deposits ({rule}) in {places} places, on {cells} "
        "cells; {outside} more lie on this grid where "
        "nothing is scored, {off_grid} elsewhere. No deposit was "
        "read in training or in the search. Evaluated "
        "{when} by {who}.",
        "{count}个矿床（{rule}），分布于{places}处，共{cells}个单元；另有{outside}个位于格网内未评分处，"
        "{off_grid}个在格网以外。训练和预测均未使用矿床。{who}于{when}评价。",
    ),
    "score": ("Score", "得分"),
    "answer.mahalanobis": ("Mahalanobis distance", "马氏距离"),
    "answer.single_layer": ("Single layer {layer}", "单图层{layer}"),
    "answer.best_layer": ("Best layer in hindsight, {layer}", "事后最佳图层{layer}"),
    "answer.search": ("Search {run}, {model}", "预测任务{run}，{model}"),
    "figure.capture_5": ("in the best 5 %", "前5 %"),
    "figure.capture_10": ("in the best 10 %", "前10 %"),
    "figure.capture_20": ("in the best 20 %", "前20 %"),
    "figure.capture_1": ("Deposits in the best 1 %", "前1 %面积含矿床"),
    "figure.density": ("Normalised density", "归一化密度"),
    "null_p": ("Null p", "零假设p"),
    "interval_of": ("{level} interval", "{level}区间"),
    "evaluation_note": (
        "Area under the ROC curve: mean share of the ground that scores lower than a deposit; chance 0.5. "
        "Normalised density: share of the deposits over share of the ground where the curves of the "
        "prediction-area plot cross; chance 1. Intervals: places with deposits drawn anew, those nearer than "
        "{distance} m together. Null p: share of {shifts} shifts of all deposits over the ground, as on a "
        "torus, that do as well.",
        "ROC曲线下面积：得分低于矿床处的面积比例的平均值，随机为0.5。归一化密度：预测-面积图两曲线交点处矿床比例与面积比例之比，"
        "随机为1。区间：对矿床地点重抽样，相距不足{distance}米者一并抽取。零假设p：矿床整体环面平移{shifts}次中不低于实际者的比例。",
    ),
    "plain_note": (
        "Plain answers, on the same cells: Mahalanobis distance of log contents to their mean, and the layer "
        "of the element that the mineral system weighs most.",
        "简单方法（相同单元）：对数含量到均值的马氏距离，以及成矿系统中权重最大元素的图层。",
    ),
    "few_note": (
        "With deposits in {places} places only, the intervals are narrower than the truth.",
        "矿床仅分布于{places}处，数量偏少，区间偏窄。",
    ),
    "hindsight_note": (
        "The best layer in hindsight was chosen by these very deposits: nobody could have chosen it before.",
        "事后最佳图层由这些矿床选出，事先无人能选。",
    ),
    "differences": ("Prospectivity against the others", "远景度与其他方法之差"),
    "against": ("Against", "对比方法"),
    "difference": ("Difference of the areas under ROC", "ROC曲线下面积之差"),
    "decision": ("Prospectivity is", "判定"),
    "decision.above": ("above", "胜过"),
    "decision.NOT above": ("NOT above", "未胜过"),
    "decision.not shown to be above": ("not shown to be above", "未证明胜过"),
    "roc_chart": ("ROC curve", "ROC曲线"),
    "roc_x": ("ground without a deposit", "无矿床面积比例"),
    "capture_chart": ("Deposits in the best of the ground", "成功率曲线"),
    "capture_x": ("area, best first", "面积比例（由高到低）"),
    "deposits_y": ("share of deposits", "矿床比例"),
    "pa_chart": ("Prediction-area plot of prospectivity", "远景度预测-面积图"),
    "pa_x": ("prospectivity from which on", "远景度下限"),
    "pa_area": ("area, downwards", "面积，向下"),
    "chance": ("chance", "随机"),
    # system and training
    "system_part": ("What the mineral system weighs", "成矿系统权重"),
    "system_of": ("Element or feature", "元素或要素"),
    "weight": ("Weight", "权重"),
    "range_m": ("Range, m", "作用距离（米）"),
    "matches": ("Looks for", "匹配"),
    "system.element": ("element", "元素"),
    "system.geology": ("geology", "地质"),
    "feature.fault": ("fault", "断层"),
    "feature.pluton": ("pluton", "岩体"),
    "feature.lithology": ("rock", "岩性"),
    "feature.layer": ("layer", "图层"),
    "training_part": ("Training, without any deposit", "训练（不使用矿床）"),
    "seed": ("Seed", "种子"),
    "validation_loss": ("Loss on held-out blocks", "检验块损失"),
    "training_none": (
        "No losses are stored: the method is fitted at once.",
        "未保存损失：该方法一次拟合完成。",
    ),
    "training_note": (
        "Mean squared error, in robust deviations, of hidden geochemistry and geophysics on blocks of ground "
        "that were held out. The state of each seed was chosen by it; deposits were not looked at.",
        "留出地块上被遮盖的地球化学和地球物理数据的均方误差（稳健离差单位）。各种子的状态据此选定，未查看矿床。",
    ),
    "settings": ("Settings", "设置"),
    "count_geochemistry": ("{count} of geochemistry", "{count}个地球化学图层"),
    "count_geophysics": ("{count} of geophysics", "{count}个地球物理图层"),
    "method.vit": ("masked Transformer", "掩码Transformer"),
    "method.vit_no_fusion": ("masked Transformer without fusion layer", "掩码Transformer（无融合层）"),
    "method.vit_no_geology": ("masked Transformer without geology", "掩码Transformer（无地质）"),
    "method.conv_autoencoder": ("convolutional autoencoder", "卷积自编码器"),
    "method.dense_autoencoder": ("autoencoder of single cells", "单元自编码器"),
    "method.pca": ("principal components", "主成分分析"),
    "method.isolation_forest": ("isolation forest", "孤立森林"),
    "method.one_class_svm": ("one-class support vector machine", "单类支持向量机"),
    "method.mahalanobis": ("Mahalanobis distance", "马氏距离"),
    "method.single_layer": ("single layer", "单图层"),
    # reading
    "prospectivity_reading.rank": (
        "Prospectivity ranks ground and nothing else. 0.9 is no chance of nine in ten, and two searches "
        "cannot be compared by it.",
        "远景度仅用于排序。0.9并不表示九成把握，不同预测之间也不能据此比较。",
    ),
    "prospectivity_reading.anomaly": (
        "An anomaly is no ore. Mines, smelters, other rocks and errors of the laboratory stand out as well.",
        "异常不等于矿。矿山、冶炼、其他岩性和分析误差同样会形成异常。",
    ),
    "prospectivity_reading.known": (
        "Known deposits are where people looked. Ranking them well is no proof for ground that nobody looked "
        "at.",
        "已知矿床位于勘查过的地段。对其排序良好，并不能证明未勘查地段的结果。",
    ),
    "prospectivity_reading.spread": (
        "Spread over seeds says how stable training is, not how right it is.",
        "种子间离散反映训练的稳定性，而非正确性。",
    ),
}
