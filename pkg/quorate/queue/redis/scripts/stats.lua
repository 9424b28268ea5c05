-- stats: one queue as it is now.
-- idempotent
-- KEYS  1 the queue's keys (prefix)
-- returns {depths, first ids, in flight, all by lane; scheduled, dead, shed level, paused,
--          server ms, parked}
-- clock: server
-- include server_time
local base = KEYS[1]
local depths, heads, running = {}, {}, {0, 0, 0}
for lane = 0, 2 do
  depths[lane + 1] = redis.call('LLEN', base .. 'r' .. lane)
  heads[lane + 1] = redis.call('LINDEX', base .. 'r' .. lane, 0) or ''
end
for _, owner in ipairs(redis.call('HVALS', base .. 'own')) do
  local lane = tonumber(string.match(owner, '|(%d)|%d$'))
  running[lane + 1] = running[lane + 1] + 1
end
local cfg = redis.call('HMGET', base .. 'cfg', 'shed', 'paused')
return {depths, heads, running, redis.call('ZCARD', base .. 'due'),
  redis.call('ZCARD', base .. 'dead'), tonumber(cfg[1] or 0), cfg[2] and 1 or 0, now,
  redis.call('HLEN', base .. 'parked')}
