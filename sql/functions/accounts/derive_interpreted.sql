-- Purpose: which ground the labels decide in a year's account.
-- Rules: a label counts when it says so (is_counted) or when no network maps its class (subsidence, treated
--   ground). Where counting labels of a year overlap, the later one has the ground (valid_on, then key).
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_all, the trigger on lode.label. `changed` are the outlines of labels that came,
--   went or moved; every label that meets one of them in these years is worked out again.
create function lode_api.derive_interpreted(changed geometry[], years integer[]) returns void
language plpgsql
as $$
begin
  delete from lode.interpreted_ground g
  using lode.label l, unnest(changed) as c(geom)
  where l.label_id = g.label_id and g.year = any(years) and (l.geom && c.geom or g.geom && c.geom);

  insert into lode.interpreted_ground (label_id, year, land_class_code, geom, area_m2)
  with counting as materialized (
    select l.label_id, l.land_class_code, l.geom, l.valid_on, extract(year from l.valid_on)::integer as year
    from lode.label l
    join lode.land_class k on k.land_class_code = l.land_class_code
    where (l.is_counted or not k.is_mapped)
      and extract(year from l.valid_on)::integer = any(years)
      and l.label_id in (
        select n.label_id from unnest(changed) as c(geom) join lode.label n on n.geom && c.geom
      )
  ),
  decided as (
    select t.label_id, t.year, t.land_class_code,
      case
        when later.geom is null then t.geom
        else st_multi(st_collectionextract(lode_api.safe_difference(t.geom, later.geom), 3))
      end as geom
    from counting t
    cross join lateral (
      select st_union(l.geom order by l.valid_on, l.label_id) as geom
      from lode.label l
      join lode.land_class k on k.land_class_code = l.land_class_code
      where l.geom && t.geom
        and (l.valid_on, l.label_id) > (t.valid_on, t.label_id)
        and l.valid_on < make_date(t.year + 1, 1, 1)
        and (l.is_counted or not k.is_mapped)
        and lode_api.meets(l.geom, t.geom)
    ) as later
  )
  select d.label_id, d.year, d.land_class_code, d.geom, st_area(d.geom::geography)
  from decided d
  where not st_isempty(d.geom)
  order by d.label_id
  on conflict (label_id) do update set
    year = excluded.year, land_class_code = excluded.land_class_code, geom = excluded.geom,
    area_m2 = excluded.area_m2;
end
$$;

comment on function lode_api.derive_interpreted(geometry[], integer[]) is
  'Derive lode.interpreted_ground again where labels of these years meet these outlines.';
