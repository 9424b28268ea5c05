#!lua flags=allow-oom
-- control: set what every worker must heed from its next exchange on, and wake the idle.
-- idempotent
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1 queue, 2 "shed" or "paused", 3 value; an empty one removes it
-- returns the value before, or empty
-- include ring
local before = redis.call('HGET', KEYS[1] .. 'cfg', ARGV[2]) or ''
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1] .. 'cfg', ARGV[2])
else
  redis.call('HSET', KEYS[1] .. 'cfg', ARGV[2], ARGV[3])
end
if before ~= ARGV[3] then
  local idle = redis.call('SCARD', KEYS[1] .. 'bell')
    + redis.call('SCARD', KEYS[1] .. 'bellh')
  ring(KEYS[1], ARGV[1], idle * 8, true)
end
return before
