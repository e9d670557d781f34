-- Purpose: how sure an alert's ground is what the alert says, and who else saw it.
-- Rules: what shows an alert is damage of any kind, for growth of a tailings pond the pond. Probabilities are
--   means over the ground of lode.landcover.mean_probability (0.5 where a run stored none), weighted by area.
--   p  the run or runs whose polygons raised the alert
--   a  each other current run of the year that saw at least half of that ground, and at least half of what it
--      saw shows the alert: its probability of that. The next observed year is one more where at least half
--      of the ground still shows it; where it does not, the ground may have been treated: nothing follows.
--   d  each such run in which less than half shows it: its probability of what it saw instead.
--   A run whose network does not map the class of that ground, and shows nothing there, says nothing of it.
--   confidence = [1 - (1 - p) * product of (1 - a)] * product of (1 - d / 2)
--   Interpreted ground is certain (1) whatever a network says: the confidence of an alert is the mean of the
--   two by area. Noisy-or takes observers for independent, which two scenes of one network are only in part.
-- CRS: EPSG:4326; overlaps are weighed by their area in degrees, which for one mine is the same.
-- Used by: lode_api.derive_alerts.
create function lode_api.derive_alert_confidence(mine_ids integer[], years integer[]) returns void
language sql
begin atomic
  with sign as (
    select k.kind, c.land_class_code
    from (values ('new_damage'), ('outside_licence'), ('tailings_growth')) as k(kind)
    join lode.land_class c
      on case k.kind
        when 'tailings_growth' then c.key = 'tailings_pond'
        else c.damage_kind in ('excavated', 'occupied', 'subsided')
      end
  ),
  raised as materialized (
    select a.alert_id, a.mine_id, a.kind, a.to_year, n.year as next_year, a.geom
    from lode_api.derive_alert_since(mine_ids, years) t
    join lode.alert a on a.mine_id = t.mine_id and a.to_year >= t.since and a.is_current
    cross join lateral (
      select min(y.year) as year from lode.mine_year y where y.mine_id = a.mine_id and y.year > a.to_year
    ) n
  ),
  near as materialized ( -- pieces that show it, in the year of the alert and in the next that was observed
    select a.alert_id, a.kind, q.year = a.to_year as is_own, q.run_id, q.land_class_code, g.geom,
      st_envelope(g.geom) as box,
      case when q.label_id is not null then 1 else coalesce(l.mean_probability, 0.5) end as probability
    from raised a
    join lode.mine_zone z
      on z.mine_id = a.mine_id
    join lode.mine_piece q
      on q.mine_zone_id = z.mine_zone_id and q.year in (a.to_year, a.next_year)
      and (a.kind <> 'outside_licence' or q.unlicensed_area_m2 > 0)
    join sign s on s.kind = a.kind and s.land_class_code = q.land_class_code
    left join lode.landcover l on l.landcover_id = q.landcover_id
    cross join lateral (select st_force2d(coalesce(q.geom, l.geom)) as geom offset 0) g
    where g.geom && a.geom
  ),
  part as materialized ( -- a part is soon intersected, the whole of an alert is not
    select a.alert_id, d.geom, st_envelope(d.geom) as box
    from raised a
    cross join lateral st_dump(a.geom) d
  ),
  piece as materialized (
    select n.alert_id, n.is_own, n.run_id, n.land_class_code, n.probability, x.geom,
      st_area(x.geom) as weight
    from near n
    join part t on t.alert_id = n.alert_id and t.box && n.box
    cross join lateral (
      select case
        when t.box ~ n.box and lode_api.covers(t.geom, n.geom) then n.geom
        when n.box ~ t.box and lode_api.covers(n.geom, t.geom) then t.geom
        else lode_api.cut_out(t.geom, n.geom)
      end as geom offset 0
    ) x
    where not st_isempty(x.geom)
  ),
  own as (
    select p.alert_id, sum(p.weight order by p.weight) as weight,
      coalesce(sum(p.weight order by p.weight) filter (where p.run_id is not null), 0) as run_weight,
      sum(p.weight * (1 - p.probability) order by p.weight * (1 - p.probability))
        filter (where p.run_id is not null) as run_doubt,
      coalesce(array_agg(distinct p.run_id order by p.run_id) filter (where p.run_id is not null), '{}') as run_ids
    from piece p
    where p.is_own
    group by p.alert_id
  ),
  witness as materialized ( -- other runs of the year that may have seen it
    select distinct a.alert_id, a.kind, o.run_id, d.mapped_codes
    from raised a
    join own w on w.alert_id = a.alert_id
    join lode.observation o
      on o.year = a.to_year and o.geom && a.geom and (o.run_id <> all (w.run_ids) or cardinality(w.run_ids) > 1)
    join lode.run r on r.run_id = o.run_id and r.is_current
    join lode.model d on d.model_id = r.model_id
    join lode.scene c on c.scene_id = r.scene_id and c.superseded_by is null
  ),
  seen_again as ( -- by those, on the ground that they do not own
    select w.alert_id, w.run_id, sum(x.weight order by x.weight) as weight,
      coalesce(sum(x.weight order by x.weight) filter (where s.kind is not null), 0) as sign_weight,
      sum(x.weight * coalesce(l.mean_probability, 0.5) order by x.weight * coalesce(l.mean_probability, 0.5))
        filter (where s.kind is not null) as sign_sum,
      sum(x.weight * coalesce(l.mean_probability, 0.5) order by x.weight * coalesce(l.mean_probability, 0.5))
        filter (where s.kind is null) as other_sum
    from witness w
    join piece p on p.alert_id = w.alert_id and p.is_own and p.run_id <> w.run_id
    cross join lateral (
      select b.land_class_code, b.mean_probability, b.geom
      from lode.landcover b
      where b.run_id = w.run_id and b.geom && p.geom
        and not exists (select from lode.landcover_part e where e.landcover_id = b.landcover_id)
      union all
      select b.land_class_code, b.mean_probability, e.geom
      from lode.landcover_part e
      join lode.landcover b on b.landcover_id = e.landcover_id
      where e.run_id = w.run_id and e.geom && p.geom
      offset 0
    ) l
    left join sign s on s.kind = w.kind and s.land_class_code = l.land_class_code
    cross join lateral (select st_area(lode_api.cut_out(p.geom, l.geom)) as weight offset 0) x
    where x.weight > 0 and (s.kind is not null or p.land_class_code = any(w.mapped_codes))
    group by w.alert_id, w.run_id
  ),
  seen_next as (
    select p.alert_id, sum(p.weight order by p.weight) as weight,
      sum(p.weight * p.probability order by p.weight * p.probability) as sign_sum
    from piece p
    where not p.is_own
    group by p.alert_id
  ),
  opinion as ( -- half, less what rounding takes
    select s.alert_id, s.sign_weight >= 0.499999 * s.weight as agrees,
      case
        when s.sign_weight >= 0.499999 * s.weight then s.sign_sum / s.sign_weight
        else s.other_sum / (s.weight - s.sign_weight)
      end as probability
    from seen_again s
    join own w on w.alert_id = s.alert_id
    where s.weight >= 0.499999 * w.run_weight
    union all
    select n.alert_id, true, n.sign_sum / n.weight
    from seen_next n
    join own w on w.alert_id = n.alert_id
    where n.weight >= 0.499999 * w.weight and n.weight > 0
  ),
  counted as ( -- products by way of logarithms, whose argument must not be 0
    select o.alert_id, count(*) filter (where o.agrees) as agreeing,
      coalesce(exp(sum(x.doubt order by x.doubt) filter (where o.agrees)), 1) as doubt,
      coalesce(exp(sum(x.trust order by x.trust) filter (where not o.agrees)), 1) as trust
    from opinion o
    cross join lateral (
      select ln(greatest(1 - o.probability, 1e-12)) as doubt, ln(1 - o.probability / 2) as trust
    ) x
    group by o.alert_id
  ),
  judged as (
    select r.alert_id, coalesce(c.agreeing, 0)::integer as agreeing, coalesce(w.run_ids, '{}') as run_ids,
      round(coalesce(
        (w.weight - w.run_weight
          + w.run_weight * (1 - coalesce(w.run_doubt / nullif(w.run_weight, 0), 0) * coalesce(c.doubt, 1))
            * coalesce(c.trust, 1)
        ) / nullif(w.weight, 0), 0
      )::numeric, 4)::double precision as confidence
    from raised r
    left join own w on w.alert_id = r.alert_id
    left join counted c on c.alert_id = r.alert_id
  )
  update lode.alert a set
    confidence = least(greatest(j.confidence, 0), 1), agreeing_scene_count = j.agreeing, run_ids = j.run_ids,
    updated_at = now()
  from judged j
  where j.alert_id = a.alert_id
    and (a.confidence, a.agreeing_scene_count, a.run_ids)
      is distinct from (least(greatest(j.confidence, 0), 1), j.agreeing, j.run_ids);
end;

comment on function lode_api.derive_alert_confidence(integer[], integer[]) is
  'Derive confidence, agreeing scenes and runs of the alerts of these mines again.';
