#!lua flags=allow-oom
-- settle: what a probe has found out about a suspect. Refuted, it goes; confirmed, it
-- stays a suspect for another while. One that has come back is not touched.
-- idempotent
-- KEYS  1 sessions, 2 root of the registry
-- ARGV  1 session that ended, 2 service, 3 id, 4 'alive' | 'dead', 5 ms to stay
-- returns 1 when it was removed | 0
-- clock: server
-- include clock
-- include records
-- include notes
local session, service, id = ARGV[1], ARGV[2], ARGV[3]
local holder, _, _ = owner(service, id)
local at = redis.call('HGET', key(service, 'suspect'), id)
if holder ~= session or not at or is_alive(session) then
  return 0
end
if ARGV[4] == 'alive' then
  local since, next_probe = string.match(at, '^(%d+) %d+ (%d+)$')
  redis.call('HSET', key(service, 'suspect'), id,
    since .. ' ' .. whole(now + tonumber(ARGV[5])) .. ' ' .. next_probe)
  return 0
end
publish(service, remove(service, id, session, 'refuted'))
return 1
