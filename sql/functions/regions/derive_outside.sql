-- Purpose: derive damaged ground outside mines again where something changed, and the regions it lies in.
-- Rules: every polygon and label of these years whose box meets the box of an outline is worked out again;
--   then what is new in later years on the same ground; then the regions that any of it touches. The costs
--   are those of the ground that changed.
-- CRS: EPSG:4326.
-- Used by: lode_api.derive_standing (a run, scene or label came or went), lode_api.mine_changed (with every year),
--   lode_api.derive_all_regions. `changed` are the outlines of what came, went or moved, old and new.
create function lode_api.derive_outside(changed geometry[], years integer[]) returns void
language plpgsql
set plan_cache_mode = force_custom_plan
as $$
declare
  since integer := (select min(y) from unnest(years) as y);
  landcover_ids bigint[];
  label_ids integer[];
  made bigint[];
  renewed bigint[];
  regions integer[];
  boxes geometry[];
begin
  if coalesce(cardinality(changed), 0) = 0 or since is null then
    return;
  end if;
  select array_agg(distinct l.landcover_id) into landcover_ids
  from unnest(changed) as c(geom)
  join lode.landcover l on l.geom && c.geom
  join lode.land_class k on k.land_class_code = l.land_class_code and k.counts_outside_mines
  join lode.observation o on o.run_id = l.run_id and o.year = any(years);

  select array_agg(l.label_id) into label_ids
  from (
    select l.label_id
    from unnest(changed) as c(geom)
    join lode.label l on l.geom && c.geom
    where exists (select from lode.interpreted_ground g where g.label_id = l.label_id and g.year = any(years))
      or exists (select from lode.outside_piece q where q.label_id = l.label_id and q.year = any(years))
      or exists (select from lode.region_ground g where g.label_id = l.label_id and g.year = any(years))
    union
    select q.label_id -- it lay here, wherever it lies now
    from unnest(changed) as c(geom)
    join lode.outside_piece q on q.geom && c.geom and q.year = any(years)
    where q.label_id is not null
    union
    select g.label_id -- regions hold ground of it that it no longer decides: it moved away and stopped counting
    from lode.region_ground g
    where g.label_id is not null and g.year = any(years) and not exists (
      select from lode.interpreted_ground i where i.label_id = g.label_id and i.year = g.year
    )
  ) l;

  -- What goes or comes reaches further than what changed: later years and regions there follow too.
  with doomed as materialized (
    select q.outside_piece_id
    from unnest(changed) as c(geom)
    join lode.outside_piece q on q.geom && c.geom and q.year = any(years)
    union
    select q.outside_piece_id from lode.outside_piece q
    where q.landcover_id = any(landcover_ids) and q.year = any(years)
    union
    select q.outside_piece_id from lode.outside_piece q
    where q.label_id = any(label_ids) and q.year = any(years)
  ),
  deleted as (
    delete from lode.outside_piece q
    using doomed d
    where d.outside_piece_id = q.outside_piece_id
    returning st_envelope(q.geom) as geom
  )
  select changed || array_agg(d.geom) into boxes from deleted d;

  made := lode_api.derive_outside_pieces(landcover_ids, label_ids, years);
  select boxes || array_agg(st_envelope(q.geom)) into boxes
  from lode.outside_piece q
  where q.outside_piece_id = any(made);

  select array_agg(distinct q.outside_piece_id) into renewed
  from unnest(boxes) as b(geom)
  join lode.outside_piece q on q.geom && b.geom and q.year >= since;
  renewed := lode_api.derive_outside_newly(renewed);

  if not exists (select from lode.region) then
    return;
  end if;
  perform lode_api.derive_region_pieces(made || renewed, null);
  if label_ids is not null then
    perform lode_api.derive_region_labels(label_ids, null);
  end if;
  select array_agg(distinct p.region_id) into regions
  from unnest(boxes) as b(geom)
  join lode.region_part p on p.geom && b.geom;
  perform lode_api.derive_region_years(regions, since);
end
$$;

comment on function lode_api.derive_outside(geometry[], integer[]) is
  'Derive damaged ground outside mines again where these outlines lie in these years, and its regions.';
