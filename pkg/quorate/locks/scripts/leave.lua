#!lua flags=allow-oom
-- leave: end a claim, held or awaited, and make the next in line the holder.
-- Whose it is, is told by its id, which nobody else knows and which is never used twice.
-- Not resent by the wire itself: a second answer would say that it was not held.
-- KEYS  1 sessions
-- ARGV  1 name, 2 id, 3 echo: 1 when a copy of its acquire may still arrive
-- returns 'held' | 'waiting' | 'unknown': what it was
-- clock: server
local name, id, echo = ARGV[1], ARGV[2], ARGV[3]
-- The usual case, before all that only others need: ours, and nobody waits.
local base = string.sub(KEYS[1], 1, -2) .. 'l:'
local key = base .. 'h:' .. name
local found = redis.call('HMGET', key, id, 'm', 'f')
if found[1] and found[2] == 'x' and echo == '0' and string.sub(name, 1, 3) ~= '%03'
    and redis.call('EXISTS', base .. 'q:' .. name, base .. 'r:' .. name) == 0 then
  local session = string.match(found[1], '^[^\n]*\n[^\n]*\n[^\n]*\n([^\n]*)')
  redis.call('HDEL', key, id, 'm')
  redis.call('PEXPIREAT', key,
    string.format('%.0f', 3600000 + math.floor(found[3] / 1000)))
  redis.call('SREM', base .. 'i:' .. session, id .. '\n' .. name)
  return 'held'
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
