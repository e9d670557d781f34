-- Purpose: keep the design of an assessment as it was when its points were drawn.
-- Rules: a sealed row (drawn_sha256) is not changed by anybody, not even its name: reports quote it. Sealing
--   takes the sum that lode_api.assessment_seal finds, and no other. An assessment may be deleted as a whole,
--   with its points and answers.
-- Used by: the triggers on lode.assessment.
create function lode_api.assessment_kept() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
begin
  if tg_op = 'TRUNCATE' then
    raise exception 'assessments are not truncated' using errcode = 'check_violation',
      hint = 'Delete the assessment that is not wanted: its strata, points and answers go with it.';
  elsif tg_op = 'INSERT' then
    if new.drawn_sha256 is not null then
      raise exception 'assessment %: drawn_sha256 is found at the end of the draw and not stated', new.name
        using errcode = 'check_violation';
    end if;
    return new;
  end if;

  if old.drawn_sha256 is not null and new is distinct from old then
    raise exception 'assessment %: its points were drawn and its design must stay as it is', old.name
      using errcode = 'check_violation', hint = 'Draw a new sample, or delete the whole assessment.';
  end if;
  if new.drawn_sha256 is distinct from old.drawn_sha256 and (
    to_jsonb(new) - 'drawn_sha256' <> to_jsonb(old) - 'drawn_sha256'
    or new.drawn_sha256 <> (
      select l.found_sha256 from lode_api.assessment_seal l where l.ogc_fid = old.assessment_id
    )
  ) then
    raise exception 'assessment %: drawn_sha256 is not the sum of what was drawn', old.name
      using errcode = 'check_violation', hint = 'It is lode_api.assessment_seal.found_sha256.';
  end if;
  return new;
end
$$;

comment on function lode_api.assessment_kept() is
  'Trigger: the design of an assessment stays as it was when its points were drawn.';
