-- Purpose: raise, renew and withdraw the alerts of mines whose accounts were derived again.
-- Rules: an alert is known by mine, kind and year. The highest level of the enabled rules whose thresholds are
--   all met counts. Ground that nobody looked at before (top_level) has no share: a rule that asks for one does
--   not hold. Numbers and ground follow; state and note, which people set, stay, and how much of the ground
--   lies outside what was reviewed is measured. An alert whose condition no longer holds gets is_current =
--   false; the trigger lode.alert.withdraw takes it away at the end of the transaction unless it was reviewed.
--   Nothing is written where nothing changed. Some mines at a time, as in lode_api.derive_accounts: shapes of
--   thousands of vertices are joined, which a plan for few rows does over and over.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_mines at its end, the trigger on lode.alert_rule. The trigger lode.alert.guard lets
--   through what this function writes (lode.deriving_alerts) for the owner of the table alone. Set within: only a
--   superuser may declare a setting of ours with a function. An error takes it back with what it undoes.
create function lode_api.derive_alerts(mine_ids integer[], years integer[]) returns void
language plpgsql
set search_path = lode, public, pg_temp
as $$
declare
  slice integer[];
  raised_mines integer[];
  raised_kinds text[];
  raised_years integer[];
  before constant text := coalesce(current_setting('lode.deriving_alerts', true), 'off');
begin
  if coalesce(cardinality(mine_ids), 0) = 0 or coalesce(cardinality(years), 0) = 0 then
    return;
  end if;
  perform set_config('lode.deriving_alerts', 'on', true);

  for start in 1..cardinality(mine_ids) by 20 loop
    slice := mine_ids[start : start + 19];

    with least_area as (
      select r.kind, min(coalesce(r.threshold_m2, 0)) as m2
      from lode.alert_rule r
      where r.is_enabled
      group by r.kind
    ),
    found as (
      select l.kind, f.*
      from least_area l
      cross join lateral lode_api.derive_new_damage(slice, years, l.m2) f
      where l.kind = 'new_damage'
      union all
      select l.kind, f.*
      from least_area l
      cross join lateral lode_api.derive_outside_licence(slice, years, l.m2) f
      where l.kind = 'outside_licence'
      union all
      select l.kind, f.*
      from least_area l
      cross join lateral lode_api.derive_tailings_growth(slice, years, l.m2) f
      where l.kind = 'tailings_growth'
    ),
    raised as materialized (
      select distinct on (f.mine_id, f.kind, f.to_year)
        f.mine_id, f.kind, f.from_year, f.to_year, v.level, f.reason, f.reason_zh, f.area_m2, f.share, f.geom
      from found f
      cross join lateral (
        select coalesce(f.top_level, r.level) as level
        from lode.alert_rule r
        where r.kind = f.kind and r.is_enabled and f.area_m2 >= coalesce(r.threshold_m2, 0)
          and case
            when f.top_level is not null then r.threshold_fraction is null
            -- A pond where there was none has grown by more than any share.
            else coalesce(f.share, 'infinity') >= coalesce(r.threshold_fraction, 0)
          end
        order by lode_api.alert_level_rank(r.level) desc
        limit 1
      ) v
      -- What is sure goes before what nobody had looked at, whatever its level.
      order by f.mine_id, f.kind, f.to_year, f.top_level is null desc
    ),
    stored as (
      insert into lode.alert as a (
        mine_id, kind, from_year, to_year, level, reason, reason_zh, area_m2, share, confidence,
        agreeing_scene_count, run_ids, start_date, end_date, geom
      )
      select r.mine_id, r.kind, r.from_year, r.to_year, r.level, r.reason, r.reason_zh, r.area_m2, r.share, 0,
        0, '{}', make_date(r.to_year, 1, 1), make_date(r.to_year + 1, 1, 1), r.geom
      from raised r
      order by r.mine_id, r.to_year, r.kind
      on conflict (mine_id, kind, to_year) do update set
        from_year = excluded.from_year, level = excluded.level, reason = excluded.reason,
        reason_zh = excluded.reason_zh, area_m2 = excluded.area_m2, share = excluded.share, is_current = true,
        updated_at = now(), geom = excluded.geom
      where (a.from_year, a.level, a.reason, a.reason_zh, a.area_m2, a.share, a.is_current)
          is distinct from (excluded.from_year, excluded.level, excluded.reason, excluded.reason_zh,
            excluded.area_m2, excluded.share, true)
        or not st_orderingequals(a.geom, excluded.geom)
    )
    select array_agg(r.mine_id), array_agg(r.kind), array_agg(r.to_year)
    into raised_mines, raised_kinds, raised_years
    from raised r;

    update lode.alert a set is_current = false, updated_at = now()
    from lode_api.derive_alert_since(slice, years) t
    where a.mine_id = t.mine_id and a.to_year >= t.since and a.is_current
      and not exists (
        select from unnest(raised_mines, raised_kinds, raised_years) as r(mine_id, kind, year)
        where (r.mine_id, r.kind, r.year) = (a.mine_id, a.kind, a.to_year)
      );

    -- Where the row of its review was lost, nobody knows what the reviewer saw: all of it counts as unseen.
    update lode.alert a
    set unreviewed_area_m2 = coalesce(lode_api.unreviewed_area(a.alert_id, a.geom), a.area_m2)
    from lode_api.derive_alert_since(slice, years) t
    where a.mine_id = t.mine_id and a.to_year >= t.since and a.is_current and a.state <> 'open'
      and a.unreviewed_area_m2
        is distinct from coalesce(lode_api.unreviewed_area(a.alert_id, a.geom), a.area_m2);

    perform lode_api.derive_alert_confidence(slice, years);
  end loop;
  perform set_config('lode.deriving_alerts', before, true);
end
$$;

comment on function lode_api.derive_alerts(integer[], integer[]) is
  'Derive the alerts of these mines again where these years matter; what people said of them stays.';
