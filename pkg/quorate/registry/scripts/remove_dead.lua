#!lua flags=allow-oom
-- remove_dead: an ended session has no instances any more. When many of one service
-- vanish at once the cause may be a network and not they, so they stay, as suspects,
-- until a probe has told. At once: their sessions have ended or have missed a renewal.
-- idempotent
-- KEYS  1 sessions, 2 root of the registry
-- ARGV  1 session, 2 many is above so many percent of a service, 3 and at least so many,
--       4 a renewal is missed when less than so many ms are left, 5 ms for which a
--       suspect stays that nobody can probe, 6 ms between probes, 7 at most so many
-- returns {how many it still has or -1 when it lives, removed,
--          {{service's name, id, document, own, health, admin}, …} for the caller to
--          probe}
-- clock: server
-- include clock
-- include records
-- include notes
local session, limit = ARGV[1], tonumber(ARGV[7])
if is_alive(session) then
  return {-1, 0, {}}
end
local on_purpose = ends(session) == 0
local mine = root .. 'of:' .. session
local crowds, touched, probes, removed = {}, {}, {}, 0
local function is_crowd(service)
  if crowds[service] == nil then
    local owners, late = redis.call('HVALS', key(service, 'own')), 0
    for _, own in ipairs(owners) do
      local at = ends(string.match(own, '^%S+'))
      if not at or (at > 0 and at - now < tonumber(ARGV[4])) then
        late = late + 1
      end
    end
    crowds[service] = late >= tonumber(ARGV[3])
      and late * 100 > tonumber(ARGV[2]) * #owners
  end
  return crowds[service]
end
local function drop(service, id, why)
  touched[service] = remove(service, id, session, why)
  removed = removed + 1
end
local function doubt(service, id, incarnation, at)
  local since, till, next_probe = string.match(at or '', '^(%d+) (%d+) (%d+)$')
  if till and now >= tonumber(till) then
    return drop(service, id, 'unconfirmed')
  end
  if next_probe and now < tonumber(next_probe) then
    return
  end
  redis.call('HSET', key(service, 'suspect'), id, (since or whole(now)) .. ' ' ..
    (till or whole(now + tonumber(ARGV[5]))) .. ' ' .. whole(now + tonumber(ARGV[6])))
  if not since then
    touched[service] = note_state(service, 'suspect', id, session, incarnation)
  end
  local row = {redis.call('HGET', root .. 'services', service), id}
  for _, part in ipairs({'inst', 'own', 'health', 'admin'}) do
    row[#row + 1] = redis.call('HGET', key(service, part), id)
  end
  probes[#probes + 1] = row
end
for index, member in ipairs(redis.call('SMEMBERS', mine)) do
  if index > limit then
    break
  end
  local service, id = string.match(member, '^(.-)\n(.*)$')
  local holder, incarnation, _ = owner(service, id)
  local at = redis.call('HGET', key(service, 'suspect'), id)
  if holder ~= session then
    forget(session, service, id)
  elseif on_purpose then
    drop(service, id, 'ended')
  elseif at or is_crowd(service) then
    doubt(service, id, incarnation, at)
  else
    drop(service, id, 'died')
  end
end
for service, revision in pairs(touched) do
  publish(service, revision)
end
if redis.call('EXISTS', mine) == 0 then
  redis.call('SREM', root .. 'sessions', session)
end
return {redis.call('SCARD', mine), removed, probes}
