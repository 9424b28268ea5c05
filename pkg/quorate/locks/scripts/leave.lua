#!lua flags=allow-oom
-- leave: end a claim, held or awaited, and make the next in line the holder.
-- Whose it is, is told by its id, which nobody else knows and which is never used twice.
-- Not resent by the wire itself: a second answer would say that it was not held.
-- KEYS  1 sessions
-- ARGV  1 name, 2 id, 3 echo: 1 when a copy of its acquire may still arrive
-- returns 'held' | 'waiting' | 'unknown': what it was
-- clock: server
-- include room
-- include holders
local was = end_claim(ARGV[1], ARGV[2])
if ARGV[3] == '1' then
  local echo_ms = 120000
  redis.call('ZADD', given_up, digits(now), ARGV[2])
  redis.call('ZREMRANGEBYSCORE', given_up, '-inf', digits(now - echo_ms))
  redis.call('PEXPIRE', given_up, echo_ms)
end
return was
