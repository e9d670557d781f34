-- The accounting lock is taken before runs of a network are looked for, so that one that is being published is seen.
create trigger hold before update of mapped_codes on lode.model
for each statement execute function lode_api.hold_accounts();
