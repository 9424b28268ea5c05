#!lua flags=allow-oom
-- deregister: an instance leaves on purpose, at once and for everybody.
-- idempotent
-- KEYS  1 sessions, 2 root of the registry        ARGV  1 session, 2 service, 3 id
-- returns {'done' | 'same' when it is not there | 'dead' | 'superseded', epoch, rev, 0}
-- clock: server
-- include clock
-- include records
-- include notes
local session, service, id = ARGV[1], ARGV[2], ARGV[3]
local epoch = redis.call('GET', root .. 'epoch') or ''
if not is_alive(session) then
  return {'dead', epoch, 0, 0}
end
local holder, _, _ = owner(service, id)
if not holder then
  return {'same', epoch, revision_of(service), 0}
elseif holder ~= session then
  return {'superseded', epoch, revision_of(service), 0}
end
local revision = remove(service, id, session, 'left')
publish(service, revision)
return {'done', epoch, revision, 0}
