#!lua flags=allow-oom
-- join: enter a session into a tag, or confirm that it lives there.
-- idempotent
-- KEYS  1 sessions        ARGV  1 session, 2 ttl in ms
-- returns {1, server ms} | {0, server ms} when the name is dead already
-- clock: server
-- include server_time
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if ends and tonumber(ends) <= now then
  return {0, now}
end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
return {1, now}
