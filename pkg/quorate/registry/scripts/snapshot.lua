-- snapshot: everything about one service, as of one revision. An instance whose session
-- has ended is told as suspect, whether or not anybody has swept yet.
-- idempotent
-- KEYS  1 sessions, 2 root of the registry        ARGV  1 service
-- returns {epoch, rev, {{id, document, own, health, admin, suspect 1 | 0}, …}}
-- clock: server
-- include clock
-- include records
local service = ARGV[1]
local function all(part)
  local flat, map = redis.call('HGETALL', key(service, part)), {}
  for at = 1, #flat, 2 do
    map[flat[at]] = flat[at + 1]
  end
  return map
end
local own, health, admin = all('own'), all('health'), all('admin')
local rows = {}
for id, document in pairs(all('inst')) do
  local session = string.match(own[id], '^%S+')
  rows[#rows + 1] = {id, document, own[id], health[id], admin[id],
    is_alive(session) and 0 or 1}
end
return {redis.call('GET', root .. 'epoch') or '', revision_of(service), rows}
