#!lua flags=allow-oom
-- call_back: a task that is still on its way over RabbitMQ is not wanted any more. It is
-- marked as cancelled, and when it arrives it is known and not put in.
-- idempotent
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1 id, 2 how long to remember it in ms
-- returns 1 if it was on its way, else 0
-- clock: server
-- include server_time
local base, id = KEYS[1], ARGV[1]
if redis.call('HDEL', base .. 'way', id) == 0 then
  return 0
end
redis.call('HSET', base .. 'res', id, 'c')
redis.call('ZADD', base .. 'resx', now + tonumber(ARGV[2]), id)
return 1
