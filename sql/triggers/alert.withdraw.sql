-- Open alerts whose condition no longer holds go at the end of the transaction.
create constraint trigger withdraw after update on lode.alert
deferrable initially deferred
for each row when (not new.is_current and new.state = 'open')
execute function lode_api.withdraw_alert();
