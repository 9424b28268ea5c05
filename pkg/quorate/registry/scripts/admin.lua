#!lua flags=allow-oom
-- admin: whether an instance is to be given work: active, draining, maintenance. Its
-- owner may say so, and so may an operator whose own session lives.
-- idempotent
-- KEYS  1 sessions, 2 root of the registry
-- ARGV  1 session of who asks, 2 service, 3 id, 4 state, 5 why,
--       6 incarnation that is meant, 0 for any, 7 name of the grant or '', 8 its token
-- returns {'done' | 'same' | 'absent' | 'dead' | 'superseded', epoch, rev, incarnation}
--       | {'stale', last token, 0, 0} a later grant of that name has decided here
-- clock: server
-- include clock
-- include records
-- include notes
-- include fence
local service, id, state = ARGV[2], ARGV[3], ARGV[4]
local epoch = redis.call('GET', root .. 'epoch') or ''
if not is_alive(ARGV[1]) then
  return {'dead', epoch, 0, 0}
end
local holder, incarnation, _ = owner(service, id)
if not holder then
  return {'absent', epoch, revision_of(service), 0}
elseif tonumber(ARGV[6]) > 0 and tonumber(ARGV[6]) ~= incarnation then
  return {'superseded', epoch, revision_of(service), incarnation}
end
if ARGV[7] ~= '' then
  local last = overtaken(root, ARGV[7], ARGV[8])
  if last then
    return {'stale', last, 0, 0}
  end
  remember(root, ARGV[7], ARGV[8])
end
local before = redis.call('HGET', key(service, 'admin'), id) or ''
redis.call('HSET', key(service, 'admin'), id, state .. ' ' .. ARGV[5])
if string.match(before, '^(%S+)') == state then
  return {'same', epoch, revision_of(service), incarnation}
end
local revision = note_state(service, 'admin', id, holder, incarnation)
publish(service, revision)
return {'done', epoch, revision, incarnation}
