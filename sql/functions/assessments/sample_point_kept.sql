-- Purpose: keep sample points where they were drawn.
-- Rules: a point stands for its stratum only because chance put it there. Moving, renumbering or reassigning
--   one is refused; answers are what is edited.
-- Used by: the trigger on lode.sample_point.
create function lode_api.sample_point_kept() returns trigger
language plpgsql
as $$
begin
  if (new.assessment_id, new.assessment_stratum_id, new.number)
      is distinct from (old.assessment_id, old.assessment_stratum_id, old.number)
    or not st_orderingequals(new.geom, old.geom) then
    raise exception 'sample point % was drawn at random and must stay as it is', old.number
      using errcode = 'check_violation',
        hint = 'What interpreters saw belongs into lode.sample_answer.';
  end if;
  return new;
end
$$;

comment on function lode_api.sample_point_kept() is 'Trigger: sample points stay where they were drawn.';
