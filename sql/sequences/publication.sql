-- Purpose: which run this session is publishing, as lode_api.note_publication found; 0: none.
-- Rules: what a session sets of a sequence it alone sees (currval), and only the owner may set it: a setting
--   (set_config) could be given by any login in the middle of its own statement. Everybody may read it, because a
--   trigger's condition reads it with the rights of whoever writes. nextval leads from 0
--   to no run, and fails from any other.
-- Used by: the triggers note_publication and guard_inserted on lode.landcover.
create sequence lode_api.publication as integer increment 2147483647 minvalue 0 maxvalue 2147483647 start 0 no cycle;

grant select on lode_api.publication to public;

comment on sequence lode_api.publication is
  'Run that this session is publishing (currval); 0: none. Set by the trigger note_publication alone.';
