-- Areas cannot follow when lode.scene is emptied at once.
create trigger guard_truncated before truncate on lode.scene
for each statement execute function lode_api.guard_truncate('scene');
