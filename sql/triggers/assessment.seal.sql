-- A draw is over when its transaction ends.
create constraint trigger seal after insert on lode.assessment
deferrable initially deferred
for each row execute function lode_api.seal_assessment();
