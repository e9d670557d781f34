-- Purpose: change of each mine between pairs of years: from which class to which, and by kind of damage.
-- Rules: only ground that both years observed and could judge is compared; the rest of the mine is unobserved.
--   A pair whose years were derived again is made anew; one that is no longer wanted goes.
-- Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_mines, after derive_areas.
create function lode_api.derive_change(mine_ids integer[], years integer[]) returns void
language plpgsql
as $$
declare
  made integer[];
begin
  delete from lode.mine_pair p
  where p.mine_id = any(mine_ids) and (
    p.from_year = any(years) or p.to_year = any(years)
    or not exists (
      select from lode_api.wanted_pairs(mine_ids) w
      where (w.mine_id, w.from_year, w.to_year, w.is_consecutive, w.is_bridging)
        = (p.mine_id, p.from_year, p.to_year, p.is_consecutive, p.is_bridging)
    )
  );

  with stored as (
    insert into lode.mine_pair (
      mine_id, from_year, to_year, is_consecutive, is_bridging, observed_area_m2,
      exclusive_observed_area_m2, unobserved_area_m2
    )
    select w.mine_id, w.from_year, w.to_year, w.is_consecutive, w.is_bridging, 0, 0, 0
    from lode_api.wanted_pairs(mine_ids) w
    where not exists (
      select from lode.mine_pair p
      where (p.mine_id, p.from_year, p.to_year) = (w.mine_id, w.from_year, w.to_year)
    )
    order by w.mine_id, w.from_year, w.to_year
    returning mine_pair_id
  )
  select array_agg(s.mine_pair_id) into made from stored s;
  if made is null then
    return;
  end if;

  perform lode_api.derive_transitions(made);
  perform lode_api.derive_blind_pairs(made);

  with total as (
    select t.mine_pair_id, sum(t.area_m2 order by t.area_m2) as area_m2,
      sum(t.exclusive_area_m2 order by t.exclusive_area_m2) as exclusive_area_m2
    from lode.mine_transition t
    where t.mine_pair_id = any(made)
    group by t.mine_pair_id
  ),
  boundary as (
    select z.mine_id, sum(z.area_m2 order by z.area_m2) as area_m2
    from lode.mine_zone z
    where z.mine_id = any(mine_ids)
    group by z.mine_id
  )
  update lode.mine_pair p set
    observed_area_m2 = coalesce(t.area_m2, 0),
    exclusive_observed_area_m2 = coalesce(t.exclusive_area_m2, 0),
    unobserved_area_m2 = greatest(b.area_m2 - coalesce(t.area_m2, 0), 0)
  from lode.mine_pair q
  left join total t on t.mine_pair_id = q.mine_pair_id
  join boundary b on b.mine_id = q.mine_id
  where p.mine_pair_id = q.mine_pair_id and q.mine_pair_id = any(made);

  -- A kind has a row where both years looked for one of its classes; one that no network maps, where
  -- interpreters drew it, or treated ground, in the later year.
  insert into lode.mine_change (
    mine_pair_id, mine_id, from_year, to_year, damage_kind, new_area_m2, treated_area_m2,
    persisting_area_m2, converted_from_area_m2, converted_to_area_m2, interpreted_treated_area_m2,
    unobserved_area_m2, exclusive_new_area_m2, exclusive_treated_area_m2, exclusive_persisting_area_m2
  )
  with moved as (
    select t.mine_pair_id, t.area_m2, t.exclusive_area_m2,
      case when b.damage_kind in ('excavated', 'occupied', 'subsided') then b.damage_kind end as was,
      case when a.damage_kind in ('excavated', 'occupied', 'subsided') then a.damage_kind end as is_now,
      a.damage_kind = 'treated' as is_drawn_treated
    from lode.mine_transition t
    join lode.land_class b on b.land_class_code = t.from_class_code
    join lode.land_class a on a.land_class_code = t.to_class_code
    where t.mine_pair_id = any(made)
  ),
  kind as (
    select p.mine_pair_id, p.mine_id, p.from_year, p.to_year, p.unobserved_area_m2, k.damage_kind
    from lode.mine_pair p
    cross join lateral (
      select coalesce(c.damage_kind, 'any') as damage_kind
      from lode.mine_year y
      join lode.mine_area a on a.mine_year_id = y.mine_year_id
      join lode.land_class c on c.land_class_code = a.land_class_code
      where y.mine_id = p.mine_id and y.year in (p.from_year, p.to_year)
        and c.damage_kind in ('excavated', 'occupied', 'subsided')
      group by grouping sets ((c.damage_kind), ())
      having (bool_or(y.year = p.to_year) or bool_or(not c.is_mapped) and exists (
          select from lode.mine_year l
          join lode.mine_area d on d.mine_year_id = l.mine_year_id and d.area_m2 > 0
          join lode.land_class t on t.land_class_code = d.land_class_code and t.damage_kind = 'treated'
          where l.mine_id = p.mine_id and l.year = p.to_year
        ))
        and (bool_or(y.year = p.from_year) or bool_or(not c.is_mapped))
    ) k
    where p.mine_pair_id = any(made)
  )
  select k.mine_pair_id, k.mine_id, k.from_year, k.to_year, k.damage_kind,
    coalesce(sum(m.area_m2 order by m.area_m2)
      filter (where m.was is null and m.is_now is not null and c.has_now), 0),
    coalesce(sum(m.area_m2 order by m.area_m2)
      filter (where m.was is not null and m.is_now is null and c.had), 0),
    coalesce(sum(m.area_m2 order by m.area_m2) filter (where c.had and c.has_now), 0),
    coalesce(sum(m.area_m2 order by m.area_m2)
      filter (where m.was is not null and c.has_now and not c.had), 0),
    coalesce(sum(m.area_m2 order by m.area_m2)
      filter (where m.is_now is not null and c.had and not c.has_now), 0),
    coalesce(sum(m.area_m2 order by m.area_m2)
      filter (where m.is_now is null and c.had and m.is_drawn_treated), 0),
    k.unobserved_area_m2,
    coalesce(sum(m.exclusive_area_m2 order by m.exclusive_area_m2)
      filter (where m.was is null and m.is_now is not null and c.has_now), 0),
    coalesce(sum(m.exclusive_area_m2 order by m.exclusive_area_m2)
      filter (where m.was is not null and m.is_now is null and c.had), 0),
    coalesce(sum(m.exclusive_area_m2 order by m.exclusive_area_m2) filter (where c.had and c.has_now), 0)
  from kind k
  left join moved m on m.mine_pair_id = k.mine_pair_id
  cross join lateral (
    select coalesce(m.was = k.damage_kind or (k.damage_kind = 'any' and m.was is not null), false) as had,
      coalesce(m.is_now = k.damage_kind or (k.damage_kind = 'any' and m.is_now is not null), false) as has_now
  ) c
  group by k.mine_pair_id, k.mine_id, k.from_year, k.to_year, k.damage_kind, k.unobserved_area_m2
  order by k.mine_pair_id, k.damage_kind;
end
$$;

comment on function lode_api.derive_change(integer[], integer[]) is
  'Derive lode.mine_pair, mine_transition and mine_change of these mines again where these years matter.';
