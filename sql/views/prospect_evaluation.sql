-- Purpose: how known deposits rank in searches that were made without them, a row for each figure.
-- Units: shares and areas under curves 0..1.
-- Rules: also of searches that were withdrawn, as status says: figures are not lost with them.
-- Used by: `lode report prospect`, reviewers.
create view lode_api.prospect_evaluation as
select
  f.prospect_evaluation_figure_id as ogc_fid,
  e.prospect_evaluation_id,
  e.prospect_run_id,
  h.model,
  h.architecture,
  h.ground,
  h.status,
  e.deposit_rule,
  cardinality(e.deposit_ids) as deposits,
  e.outside,
  f.score,
  f.figure,
  f.value,
  f.low,
  f.high,
  f.null_p,
  e.evaluated_by,
  e.evaluated_at
from lode.prospect_evaluation_figure f
join lode.prospect_evaluation e on e.prospect_evaluation_id = f.prospect_evaluation_id
join lode_api.prospect_history h on h.ogc_fid = e.prospect_run_id;

comment on view lode_api.prospect_evaluation is
  'How known deposits rank in searches that were made without them: figures with intervals.';
comment on column lode_api.prospect_evaluation.ogc_fid is 'Key: prospect_evaluation_figure_id';
comment on column lode_api.prospect_evaluation.prospect_evaluation_id is 'The evaluation';
comment on column lode_api.prospect_evaluation.prospect_run_id is 'The search';
comment on column lode_api.prospect_evaluation.model is 'The method, by its name';
comment on column lode_api.prospect_evaluation.architecture is 'What it is';
comment on column lode_api.prospect_evaluation.ground is 'Study area that was searched';
comment on column lode_api.prospect_evaluation.status is
  'published: the search stands; superseded; or withdrawn';
comment on column lode_api.prospect_evaluation.deposit_rule is 'Which deposits: all, or column=value';
comment on column lode_api.prospect_evaluation.deposits is 'How many lie on scored ground';
comment on column lode_api.prospect_evaluation.outside is 'Deposits within the grid but not on scored ground';
comment on column lode_api.prospect_evaluation.score is
  'Whose figure: a score of the search, or a plain answer';
comment on column lode_api.prospect_evaluation.figure is 'roc_auc, capture_5, density, ..., or a difference';
comment on column lode_api.prospect_evaluation.value is 'Its value';
comment on column lode_api.prospect_evaluation.low is
  'Lower end of its 95 % interval; null: too few deposits';
comment on column lode_api.prospect_evaluation.high is
  'Upper end of its 95 % interval; null: too few deposits';
comment on column lode_api.prospect_evaluation.null_p is
  'Share of shifted deposits that do as well; null: not asked';
comment on column lode_api.prospect_evaluation.evaluated_by is 'Who asked for it';
comment on column lode_api.prospect_evaluation.evaluated_at is 'When';
