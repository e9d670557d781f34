-- No polygon is added to a run that was published. A trigger after the row: COPY stores rows in bulk only where
-- none is before it; what the transaction is publishing costs a comparison a row, and no call.
create trigger guard_inserted after insert on lode.landcover
for each row when (new.run_id <> currval('lode_api.publication'))
execute function lode_api.guard_landcover();
