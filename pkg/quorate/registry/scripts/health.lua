#!lua flags=allow-oom
-- health: how an instance is, as its owner says. Only another state is a revision; a
-- new reason for the same state is written silently, so that texts wake nobody.
-- idempotent
-- KEYS  1 sessions, 2 root of the registry
-- ARGV  1 session, 2 service, 3 id, 4 state, 5 why
-- returns {'done' | 'same' | 'absent' | 'dead' | 'superseded', epoch, rev, incarnation}
-- clock: server
-- include clock
-- include records
-- include notes
local session, service, id, state = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local epoch = redis.call('GET', root .. 'epoch') or ''
if not is_alive(session) then
  return {'dead', epoch, 0, 0}
end
local holder, incarnation, _ = owner(service, id)
if not holder then
  return {'absent', epoch, revision_of(service), 0}
elseif holder ~= session then
  return {'superseded', epoch, revision_of(service), incarnation}
end
local before = redis.call('HGET', key(service, 'health'), id) or ''
redis.call('HSET', key(service, 'health'), id, state .. ' ' .. ARGV[5])
if string.match(before, '^%S+') == state then
  return {'same', epoch, revision_of(service), incarnation}
end
local revision = note_state(service, 'health', id, session, incarnation)
publish(service, revision)
return {'done', epoch, revision, incarnation}
