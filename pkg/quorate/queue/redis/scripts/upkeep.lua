-- A little housekeeping: what is due becomes ready, old results go. Bounded.
-- Returns ms until the next delayed task is due, or -1.
local function upkeep(base, now)
  local due = redis.call('ZRANGEBYSCORE', base .. 'due', '-inf', now, 'LIMIT', 0, 100)
  if #due > 0 then
    local ready = new_lanes()
    for _, member in ipairs(due) do
      local ids = ready[string.sub(member, 1, 1)]
      ids[#ids + 1] = string.sub(member, 3)
    end
    redis.call('ZREM', base .. 'due', unpack(due))
    put(base, 'RPUSH', ready)
  end
  local old = redis.call('ZRANGEBYSCORE', base .. 'resx', '-inf', now, 'LIMIT', 0, 1000)
  if #old > 0 then
    redis.call('ZREM', base .. 'resx', unpack(old))
    redis.call('HDEL', base .. 'res', unpack(old))
  end
  local first = redis.call('ZRANGE', base .. 'due', 0, 0, 'WITHSCORES')
  if first[2] then
    return math.max(0, math.ceil(tonumber(first[2]) - now))
  end
  return -1
end
