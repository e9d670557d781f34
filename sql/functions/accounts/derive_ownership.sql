-- Purpose: the year map: which run owns which ground, so that ground that several scenes saw counts once.
-- Rules: only current runs of scenes that no newer version replaced own ground. Of two that saw the same
--   ground the better one owns it: the higher run.priority (the analyst's choice), then the larger share
--   free of clouds in whole per cent (a scene whose clouds nobody outlined counts as free of them), then the
--   later day, then the scene ingested later.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_ground. `box` bounds the ground on which something changed in `of_year`.
create function lode_api.derive_ownership(box geometry, of_year integer) returns void
language plpgsql
as $$
begin
  update lode.observation o set owned = null, owned_area_m2 = null
  where o.year = of_year and o.owned is not null
    and not exists (
      select from lode.run r
      join lode.scene s on s.scene_id = r.scene_id
      where r.run_id = o.run_id and r.is_current and s.superseded_by is null
    );

  with contender as materialized (
    select o.run_id, o.geom,
      row_number() over (
        order by r.priority, round(100 * (1 - coalesce(s.cloud_fraction, 0))), s.acquired_on, s.scene_id
      ) as place
    from lode.observation o
    join lode.run r on r.run_id = o.run_id and r.is_current
    join lode.scene s on s.scene_id = r.scene_id and s.superseded_by is null
    where o.year = of_year
  ),
  owned as (
    select t.run_id, st_multi(st_collectionextract(
      case when better.geom is null then t.geom else lode_api.safe_difference(t.geom, better.geom) end, 3
    )) as geom
    from contender t
    cross join lateral (
      select st_union(b.geom order by b.place) as geom
      from contender b
      where b.place > t.place and b.geom && t.geom and lode_api.meets(b.geom, t.geom)
    ) as better
    where t.geom && box
  )
  update lode.observation o set owned = n.geom, owned_area_m2 = st_area(n.geom::geography)
  from owned n
  where n.run_id = o.run_id and (o.owned is null or not st_orderingequals(o.owned, n.geom));
end
$$;

comment on function lode_api.derive_ownership(geometry, integer) is
  'Derive again which run owns which ground of a year, where runs meet the box.';
