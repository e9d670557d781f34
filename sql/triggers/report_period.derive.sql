-- Change follows the periods of reports.
create trigger derive after insert or update or delete or truncate on lode.report_period
for each statement execute function lode_api.report_period_changed();
