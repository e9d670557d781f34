-- Purpose: how much of an alert's ground its reviewer did not see, because it came later.
-- Rules: connected parts smaller than the smallest mapped patch of damage are left out: the edge of one pit,
--   drawn from another scene, is no other ground.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84). Null where the alert was not reviewed.
-- Used by: lode_api.derive_alerts. Volatile, so that a review that was saved a moment ago is seen.
create function lode_api.unreviewed_area(of_alert integer, ground geometry) returns double precision
language plpgsql volatile
as $$
declare
  reviewed geometry := (
    select w.geom
    from lode.alert_review w
    where w.alert_id = of_alert and w.state <> 'open'
    order by w.alert_review_id desc
    limit 1
  );
begin
  if reviewed is null then
    return null;
  elsif st_orderingequals(ground, reviewed) then
    return 0;
  end if;
  return coalesce((
    select p.area_m2
    from lode_api.large_parts(lode_api.safe_difference(ground, reviewed), (
      select min(c.min_patch_m2)
      from lode.land_class c
      where c.damage_kind in ('excavated', 'occupied', 'subsided')
    )) p
  ), 0);
end
$$;

comment on function lode_api.unreviewed_area(integer, geometry) is
  'Area of an alert''s ground outside what was reviewed, without slivers; null: not reviewed.';
