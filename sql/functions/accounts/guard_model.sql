-- Purpose: which classes a network had labels for stays as it was trained once a run of it exists.
-- Rules: where a run saw a mine and did not find such a class, the account says 0; of other classes, nothing.
-- Used by: the trigger on lode.model.
create function lode_api.guard_model() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
begin
  if exists (select from lode.run r where r.model_id = new.model_id) then
    raise exception 'model %: mapped_codes stays as it was trained, because runs of it exist', old.name
      using errcode = 'check_violation',
        hint = 'Train a network with other labels (lode train), and interpret the scenes with it.';
  end if;
  return new;
end
$$;

comment on function lode_api.guard_model() is
  'Trigger: the classes of a network that has runs stay as they were trained.';
