#!lua flags=allow-oom
-- renew: keep a session alive for another while, if it still lives. Never revives.
-- idempotent
-- KEYS  1 sessions        ARGV  1 session, 2 ttl in ms
-- returns {1 renewed | 0 lost, server ms, ms until the first end among the others,
--          or -1; how many of the others are dead}
-- clock: server
-- include server_time
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
local alive = 0
if ends and tonumber(ends) > now then
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
  alive = 1
end
local dead = redis.call('ZCOUNT', KEYS[1], '-inf', now)
local first = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now),
  '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local left = -1
if first[2] then
  left = tonumber(first[2]) - now
end
return {alive, now, left, dead}
