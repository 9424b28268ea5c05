#!lua flags=allow-oom
-- leave: end a claim, held or awaited, and make the next in line the holder.
-- Whose it is, is told by its id, which nobody else knows and which is never used twice.
-- Not resent by the wire itself: a second answer would say that it was not held.
-- KEYS  1 sessions
-- ARGV  1 name, 2 id, 3 echo: 1 when a copy of its acquire may still arrive
-- returns 'held' | 'waiting' | 'unknown': what it was
-- clock: server
local name, id, echo = ARGV[1], ARGV[2], ARGV[3]
-- The usual cases, before all that only others need: ours to write, no election, and
-- either nobody waits or, where nobody is strict (T:l:e), only writers do. What follows
-- says the same at length.
local base = string.sub(KEYS[1], 1, -2) .. 'l:'
local key = base .. 'h:' .. name
local found = redis.call('HMGET', key, id, 'm', 'f')
if found[1] and found[2] == 'x' and echo == '0' and string.sub(name, 1, 3) ~= '%03' then
  local line = base .. 'q:' .. name
  local lines_found = redis.call('EXISTS', line, base .. 'r:' .. name, base .. 'e')
  local mine = base .. 'i:'
    .. string.match(found[1], '^[^\n]*\n[^\n]*\n[^\n]*\n([^\n]*)')
  if lines_found == 0 then
    redis.call('HDEL', key, id, 'm')
    redis.call('PEXPIREAT', key,
      string.format('%.0f', 3600000 + math.floor(found[3] / 1000)))
    redis.call('SREM', mine, id .. '\n' .. name)
    return 'held'
  end
  local next = lines_found == 1 and redis.call('ZRANGE', line, 0, 0)[1]
  local record = next and redis.call('HGET', base .. 'w', next)
  local hard_ms, session, owner, label = string.match(record or '',
    '^[^\n]*\nx\n([^\n]*)\n[^\n]*\n([^\n]*)\n([^\n]*)\n([^\n]*)')
  local ends = hard_ms == '0' and redis.call('ZSCORE', KEYS[1], session)
-- include clock
  if ends and tonumber(ends) > now then
    local token = tonumber(found[3])
    token = math.max(token + 1, micros)
    local final = token + 31
    redis.call('HDEL', key, id)
    redis.call('HSET', key, 'f', digits(final), next,
      string.format('%.0f\n0\n%.0f\n%s\n%s\n%s', token, now, session, owner, label))
    redis.call('PUBLISH', base .. 'to:' .. session,
      string.format('granted\n%s\n%s\n%.0f\n%.0f\n%.0f', name, next, token, final, now))
    redis.call('ZREM', line, next)
    redis.call('HDEL', base .. 'w', next)
    redis.call('SREM', mine, id .. '\n' .. name)
    return 'held'
  end
end
-- include keys
-- include granting
-- include room
-- include holders
-- include giving_up
local was = end_claim(name, id)
if echo == '1' then
  give_up(id)
end
return was
