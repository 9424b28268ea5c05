#!lua flags=allow-oom
-- begin: a task with a crash on its record is about to run; from now on a death of its
-- worker counts against it.
-- idempotent
-- KEYS  1 sessions, 2 the queue's keys (prefix)
-- ARGV  1 session, 2 id, 3 token
-- returns 1 | 0 when it is not ours
-- clock: server
-- include server_time
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
local owner = redis.call('HGET', KEYS[2] .. 'own', ARGV[2])
local claim = ARGV[1] .. '|' .. ARGV[3] .. '|'
if not ends or tonumber(ends) <= now or not owner
    or string.sub(owner, 1, #claim) ~= claim then
  return 0
end
redis.call('HSET', KEYS[2] .. 'own', ARGV[2], string.sub(owner, 1, -2) .. '1')
return 1
