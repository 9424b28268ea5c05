#!lua flags=allow-oom
-- leave: end a claim, held or awaited, and make the next in line the holder.
-- Whose it is, is told by its id, which nobody else knows and which is never used twice.
-- Not resent by the wire itself: a second answer would say that it was not held.
-- KEYS  1 sessions
-- ARGV  1 name, 2 id, 3 echo: 1 when a copy of its acquire may still arrive
-- returns 'held' | 'waiting' | 'unknown': what it was
-- clock: server
-- include keys
local name, id, echo = ARGV[1], ARGV[2], ARGV[3]
-- The usual case, before what only the others need: ours, and nobody waits.
local key = holds(name)
local found = redis.call('HMGET', key, id, 'm', 'f')
if found[1] and found[2] == 'x' and echo == '0'
    and redis.call('EXISTS', writers(name), readers(name)) == 0 then
  local session = string.match(found[1], '^[^\n]*\n[^\n]*\n[^\n]*\n([^\n]*)')
  redis.call('HDEL', key, id, 'm')
  keep(key, found[3])
  redis.call('SREM', claims(session), lines(id, name))
  return 'held'
end
-- include granting
-- include room
-- include holders
local was = end_claim(name, id)
if echo == '1' then
  local echo_ms = 120000
  redis.call('ZADD', given_up, digits(now), id)
  redis.call('ZREMRANGEBYSCORE', given_up, '-inf', digits(now - echo_ms))
  redis.call('PEXPIRE', given_up, echo_ms)
end
return was
