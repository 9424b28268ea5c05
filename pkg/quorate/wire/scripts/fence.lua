-- fence: of two grants of one name, refuse the earlier once the later has written. A
-- fragment; wants `now`. What has not written for a day is forgotten.
--   <base>fence   HASH name of the grant → highest token      <base>fencet  ZSET → when
local fence_kept_ms, fence_forgotten_at_once = 86400000, 10

-- The token that has overtaken this one, or false.
local function overtaken(base, name, token)
  local last = redis.call('HGET', base .. 'fence', name)
  return last and tonumber(last) > tonumber(token) and last
end

local function remember(base, name, token)
  redis.call('HSET', base .. 'fence', name, token)
  redis.call('ZADD', base .. 'fencet', string.format('%.0f', now), name)
  local until_ms = string.format('%.0f', now - fence_kept_ms)
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', base .. 'fencet', '-inf', until_ms,
      'LIMIT', 0, fence_forgotten_at_once)) do
    redis.call('HDEL', base .. 'fence', old)
    redis.call('ZREM', base .. 'fencet', old)
  end
end
