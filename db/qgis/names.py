"""What columns and values are called on maps and in forms, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping

Name = tuple[str, str]
"""English and Chinese."""

COLUMNS: Mapping[str, Name] = {
    "ogc_fid": ("Key", "编号"),
    "anomaly": ("Anomaly, deviations", "异常（偏差倍数）"),
    "anomaly_spread": ("Spread of the anomaly", "异常离散度"),
    "area_m2": ("Area, m²", "面积（平方米）"),
    "area_km2": ("Area, km²", "面积（平方千米）"),
    "observed_area_m2": ("Observed, m²", "已观测面积（平方米）"),
    "observed_fraction": ("Observed share", "已观测比例"),
    "exclusive_area_m2": ("Area counted once, m²", "不重复面积（平方米）"),
    "damaged_area_m2": ("Still damaged, m²", "现存损毁面积（平方米）"),
    "new_area_m2": ("New, m²", "新增面积（平方米）"),
    "treated_area_m2": ("Treated, m²", "治理面积（平方米）"),
    "persisting_area_m2": ("Persisting, m²", "持续损毁面积（平方米）"),
    "unobserved_area_m2": ("Not observed, m²", "未观测面积（平方米）"),
    "acquired_on": ("Acquired on", "成像日期"),
    "boundary": ("Boundary", "矿区范围"),
    "change": ("Change", "变化"),
    "cloud_fraction": ("Cloud", "云覆盖比例"),
    "code": ("Code", "编码"),
    "colour": ("Map colour", "图示颜色"),
    "commodity": ("Commodity", "矿种"),
    "confidence": ("Confidence", "可信度"),
    "damage_kind": ("Kind of damage", "损毁类型"),
    "deposit_type": ("Deposit type", "矿床类型"),
    "end_date": ("Shown until", "结束日期"),
    "favourability": ("Favourability of the geology", "地质有利度"),
    "favourability_spread": ("Spread of the favourability", "有利度离散度"),
    "prospectivity": ("Prospectivity", "成矿远景度"),
    "prospectivity_spread": ("Spread of the prospectivity", "远景度离散度"),
    "deviations": ("Deviations above expected", "超出期望（偏差倍数）"),
    "expected": ("Expected", "期望值"),
    "fault_type": ("Fault type", "断层类型"),
    "first_damaged_on": ("First damaged on", "首次损毁日期"),
    "first_raised_at": ("First raised", "首次预警时间"),
    "first_year": ("First year", "首次年份"),
    "from_year": ("From year", "起始年份"),
    "ingested_at": ("Stored at", "入库时间"),
    "interpreter": ("Interpreter", "解译人"),
    "has_risen_since_review": ("Risen since review", "核查后升级"),
    "is_counted": ("Counts in accounts", "计入统计"),
    "is_current": ("Current", "当前有效"),
    "is_new": ("New", "新增"),
    "is_to_review": ("To review", "待核查"),
    "kind": ("Kind", "类型"),
    "land_class": ("Class key", "地类代号"),
    "land_class_code": ("Class", "地类"),
    "land_class_name": ("Class, English", "地类（英文）"),
    "land_class_name_zh": ("Class, Chinese", "地类（中文）"),
    "last_seen_on": ("Last seen on", "最近观测日期"),
    "last_seen_year": ("Last seen in", "最近观测年份"),
    "level": ("Level", "级别"),
    "lithology": ("Rock", "岩性"),
    "mean_probability": ("Mean probability", "平均概率"),
    "mine_code": ("Mine code", "矿山编码"),
    "mine_id": ("Mine", "矿山"),
    "mine_name": ("Mine", "矿山名称"),
    "mineral": ("Mineral", "矿种"),
    "mining_method": ("Mining method", "开采方式"),
    "body": ("Ore body", "矿体范围"),
    "cells": ("Cells", "单元数"),
    "deposit_distance_m": ("To the nearest deposit, m", "距最近矿床（米）"),
    "element": ("Element", "元素"),
    "evidence": ("Evidence", "依据"),
    "fault_distance_m": ("To the nearest fault, m", "距最近断层（米）"),
    "ground": ("Ground", "预测区"),
    "highest_probability": ("Highest probability", "最高概率"),
    "is_positive": ("Ore-bearing", "含矿"),
    "is_target": ("Target", "靶区"),
    "nearest_deposit": ("Nearest deposit", "最近矿床"),
    "pluton_distance_m": ("To the nearest pluton, m", "距最近岩体（米）"),
    "positive_share": ("Share near a deposit", "近矿比例"),
    "probability": ("Probability", "概率"),
    "published_at": ("Published at", "发布时间"),
    "split": ("Part", "用途"),
    "threshold": ("Threshold", "阈值"),
    "set_name": ("Set", "数据集"),
    "name": ("Name", "名称"),
    "name_zh": ("Name, Chinese", "中文名称"),
    "note": ("Note", "备注"),
    "number": ("Number", "序号"),
    "product": ("Scene", "影像产品"),
    "rank": ("Rank", "排名"),
    "reason": ("Reason", "原因"),
    "reason_zh": ("Reason, Chinese", "原因（中文）"),
    "region_code": ("Region code", "区域编码"),
    "region_name": ("Region", "区域名称"),
    "resolution_m": ("Pixel size, m", "分辨率（米）"),
    "reviewed_area_m2": ("Area when reviewed, m²", "核查时面积（平方米）"),
    "reviewed_at": ("Reviewed at", "核查时间"),
    "reviewed_by": ("Reviewed by", "核查人"),
    "run_id": ("Run", "解译任务"),
    "scene_id": ("Scene", "影像"),
    "sensor": ("Sensor", "传感器"),
    "share": ("Share", "比例"),
    "start_date": ("Shown from", "开始日期"),
    "state": ("State", "核查状态"),
    "to_year": ("To year", "终止年份"),
    "unreviewed_area_m2": ("Area not reviewed, m²", "未核查面积（平方米）"),
    "updated_at": ("Changed at", "更新时间"),
    "valid_on": ("Valid on", "有效日期"),
    "year": ("Year", "年份"),
}

RELATIONS: Mapping[str, Name] = {
    "active_newly_cumulative": ("Active, newly and cumulative by mine", "现存、新增与累计损毁（矿山）"),
    "active_newly_cumulative_by_region": (
        "Active, newly and cumulative by region",
        "现存、新增与累计损毁（区域）",
    ),
    "active_newly_cumulative_by_year": (
        "Active, newly and cumulative by year",
        "现存、新增与累计损毁（年度）",
    ),
    "alert": ("Alerts (table)", "预警表"),
    "alert_review": ("Reviews of alerts", "预警核查记录"),
    "alert_rule": ("Rules of alerts", "预警规则"),
    "assessed_class": ("Classes of assessments", "精度评价类别"),
    "assessment_seal": ("Seals of assessments", "精度评价封存校验"),
    "area_uncertainty": ("Uncertainty of areas", "面积不确定性"),
    "change_by_mine_year": ("Change by mine and year", "矿山年度变化"),
    "change_by_year": ("Change by year", "年度变化"),
    "damage_alert": ("Alerts", "损毁预警"),
    "damage_by_mine_year": ("Damage by mine and year", "矿山年度损毁"),
    "damage_by_region_year": ("Damage by region and year", "区域年度损毁"),
    "damage_by_year": ("Damage by year", "年度损毁"),
    "damage_change": ("Change of damage", "损毁变化图斑"),
    "damage_patch": ("Damage patches", "损毁图斑"),
    "data_gap": ("Data gaps", "数据缺口"),
    "deposit": ("Deposits", "矿床"),
    "error_matrix": ("Error matrix", "误差矩阵"),
    "evidence": ("Evidence", "依据"),
    "evidence_by_label": ("Evidence by label", "解译依据"),
    "evidence_by_run": ("Evidence by run", "影像依据"),
    "evidence_catalogue": ("Layers of evidence", "找矿证据图层"),
    "fault": ("Faults", "断层"),
    "ingest_item_status": ("Items of sources", "数据源影像状态"),
    "ingest_source_status": ("Sources of scenes", "数据源状态"),
    "label": ("Labels", "解译样本"),
    "landcover_map": ("Land cover", "土地覆盖"),
    "mine": ("Mines", "矿山"),
    "mine_damage": ("Damaged ground", "损毁土地"),
    "mine_in_region": ("Mines in regions", "区域内矿山"),
    "mine_ranking": ("Mines by new damage", "新增损毁排名"),
    "mine_summary": ("Mines at a glance", "矿山概况"),
    "observation_by_mine_year": ("Observation by mine and year", "矿山年度观测"),
    "outside_licence": ("Damage outside licences", "越界损毁"),
    "outside_licence_by_mine_year": ("Outside the licence by mine and year", "矿山年度越界情况"),
    "own_alert": ("Alerts (own mines)", "预警（本矿）"),
    "own_change_by_mine_year": ("Change by year (own mines)", "年度变化（本矿）"),
    "own_damage_by_mine_year": ("Damage by year (own mines)", "年度损毁（本矿）"),
    "own_damage_change": ("Change polygons (own mines)", "变化图斑（本矿）"),
    "own_mine": ("Own mines", "本矿范围"),
    "own_mine_damage": ("Damaged ground (own mines)", "损毁图斑（本矿）"),
    "pluton": ("Plutons", "岩体"),
    "prospect_history": ("Searches for ore", "找矿预测任务"),
    "lithology": ("Rocks", "岩性"),
    "mineral_system": ("Mineral systems", "成矿系统"),
    "prospect_evaluation": ("Evaluations of searches", "预测评价"),
    "prospect_reason": ("Why cells score", "预测依据"),
    "prospectivity_map": ("Prospectivity", "成矿远景"),
    "prospect_map": ("Probability of ore", "成矿概率"),
    "prospect_sample": ("Patches that networks learn from", "训练图块"),
    "prospect_target": ("Targets", "找矿靶区"),
    "queue": ("Queue", "任务队列"),
    "region": ("Regions", "区域"),
    "region_summary": ("Regions at a glance", "区域概况"),
    "report_period": ("Periods of reports", "报告期"),
    "report_year": ("Years of reports", "报告年份"),
    "restoration_rate": ("Restoration rate", "治理率"),
    "run_history": ("Interpretations", "解译任务"),
    "sample_answer": ("Answers at sample points", "检查点判读结果"),
    "sample_reference": ("Reference of sample points", "检查点参考值"),
    "sample_task": ("Sample points to interpret", "待判读检查点"),
    "scene_catalogue": ("Scenes", "影像目录"),
    "sensitive_overlap": ("Damage in sensitive ground", "敏感区损毁"),
    "sensitive_overlap_by_mine_year": ("Sensitive ground by mine and year", "矿山年度敏感区情况"),
    "transition_by_mine_year": ("Transitions between classes", "地类转移矩阵"),
    "worker_status": ("Workers", "计算节点状态"),
}

KINDS: Mapping[str, Name] = {
    "excavated": ("excavated", "挖损"),
    "occupied": ("occupied", "压占"),
    "subsided": ("subsided", "塌陷"),
    "treated": ("treated", "已治理"),
    "none": ("no damage", "未损毁"),
    "any": ("any damage", "全部损毁"),
}

CHANGES: Mapping[str, Name] = {
    "new": ("new damage", "新增损毁"),
    "persisting": ("persisting damage", "持续损毁"),
    "treated": ("treated", "已治理"),
}

LEVELS: Mapping[str, Name] = {
    "severe": ("severe", "严重"),
    "warning": ("warning", "警告"),
    "notice": ("notice", "提示"),
}

STATES: Mapping[str, Name] = {
    "open": ("open", "待核查"),
    "confirmed": ("confirmed", "属实"),
    "rejected": ("rejected", "不属实"),
}

ALERT_KINDS: Mapping[str, Name] = {
    "new_damage": ("new damage", "新增损毁"),
    "outside_licence": ("outside the licence", "越界损毁"),
    "tailings_growth": ("growth of a tailings pond", "尾矿库扩大"),
}


def column_name(column: str, comment: str | None) -> Name:
    """What a column is called: by the list above, else by the head of its comment; Chinese may be empty."""
    known = COLUMNS.get(column)
    if known is not None:
        return known
    if column.endswith("_id") or not comment:
        return column, ""
    head = comment.split(";")[0].split(",")[0].split(":")[0].split("(")[0].strip()
    return (head if len(head) <= 40 else column), ""


def relation_name(table: str) -> Name:
    """What a layer is called; a relation without an entry above goes by its own name."""
    return RELATIONS.get(table, (table.replace("_", " "), ""))


def in_language(name: Name, *, chinese_only: bool) -> str:
    """English and Chinese beside each other, or Chinese alone where there is any."""
    english, chinese = name
    if chinese_only:
        return chinese or english
    return f"{english} {chinese}".strip()
