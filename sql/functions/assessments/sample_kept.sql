-- Purpose: keep strata and sample points as they were drawn.
-- Rules: a point stands for its stratum only because chance put it there. Once the draw is over
--   (lode.assessment.drawn_sha256), points and strata are neither changed nor added nor deleted, by whomever;
--   they go with their assessment. Writing a row as it is changes nothing and passes, as GIS clients do.
-- Used by: the triggers on lode.assessment_stratum and lode.sample_point.
create function lode_api.sample_kept() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  drawn text;
  what text;
begin
  if tg_op = 'TRUNCATE' then
    raise exception '% is not truncated', tg_table_name using errcode = 'check_violation',
      hint = 'Delete the assessment that is not wanted: its strata, points and answers go with it.';
  end if;
  if tg_op = 'UPDATE' and new is not distinct from old then
    return new;
  end if;
  -- An assessment that is deleted as a whole is gone when its strata and points follow.
  select a.name into drawn
  from lode.assessment a
  where a.drawn_sha256 is not null and (
    tg_op <> 'INSERT' and a.assessment_id = old.assessment_id
    or tg_op <> 'DELETE' and a.assessment_id = new.assessment_id
  )
  limit 1;
  if drawn is not null then
    what := case tg_op when 'INSERT' then to_jsonb(new) else to_jsonb(old) end
      ->> case tg_table_name when 'sample_point' then 'number' else 'assessment_stratum_id' end;
    raise exception '% % of assessment % was drawn and must stay as it is',
      case tg_table_name when 'sample_point' then 'sample point' else 'stratum' end, what, drawn
      using errcode = 'check_violation',
        detail = format('%s of the row was refused.', tg_op),
        hint = 'What interpreters saw belongs into lode.sample_answer; another sample into a new assessment.';
  end if;
  return case tg_op when 'DELETE' then old else new end;
end
$$;

comment on function lode_api.sample_kept() is 'Trigger: strata and sample points stay as they were drawn.';
