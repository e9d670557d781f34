-- Purpose: keep the sum of a sample when its draw is over.
-- Rules: at the end of the transaction that stores an assessment, whoever stores it: none stays open.
--   `lode assess sample` seals its own before, to print the sum.
-- Used by: the trigger on lode.assessment.
create function lode_api.seal_assessment() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
begin
  update lode.assessment a set drawn_sha256 = l.found_sha256
  from lode_api.assessment_seal l
  where l.ogc_fid = new.assessment_id and a.assessment_id = new.assessment_id and a.drawn_sha256 is null;
  return null;
end
$$;

comment on function lode_api.seal_assessment() is
  'Trigger: the SHA-256 of a sample is kept at the end of the transaction that draws it.';
