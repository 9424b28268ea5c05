-- The gates whose time has come, and old dead letters.
local function heed_alarms(guards, now)
  local alarms = guards.base .. 'alarms'
  local names = redis.call('ZRANGEBYSCORE', alarms, '-inf', now, 'LIMIT', 0, 20)
  guards.alarm = 0
  for _, name in ipairs(names) do
    redis.call('ZREM', alarms, name)
    if name == 'dead' then
      forget_old(guards, now)
    else
      open_gate(guards, name)
    end
  end
  guards.alarm = tonumber(redis.call('ZRANGE', alarms, 0, 0, 'WITHSCORES')[2] or nil)
  if guards.alarm then
    redis.call('HSET', guards.base .. 'cfg', 'alarm', guards.alarm)
  else
    redis.call('HDEL', guards.base .. 'cfg', 'alarm')
  end
end
-- A little housekeeping: what is due becomes ready, old results go. Bounded.
-- Returns ms until the next delayed task is due or the next alarm, or -1.
local function upkeep(guards, now)
  local base = guards.base
  if guards.alarm and guards.alarm <= now then
    heed_alarms(guards, now)
  end
  local due = redis.call('ZRANGEBYSCORE', base .. 'due', '-inf', now, 'LIMIT', 0, 100)
  if #due > 0 then
    local ready = new_lanes()
    for _, member in ipairs(due) do
      local ids = ready[string.sub(member, 1, 1)]
      ids[#ids + 1] = string.sub(member, 3)
    end
    redis.call('ZREM', base .. 'due', unpack(due))
    guards.promoted, guards.promoted_urgent = put(base, 'RPUSH', ready), #ready['0'] > 0
  end
  local old = redis.call('ZRANGEBYSCORE', base .. 'resx', '-inf', now, 'LIMIT', 0, 1000)
  if #old > 0 then
    redis.call('ZREM', base .. 'resx', unpack(old))
    redis.call('HDEL', base .. 'res', unpack(old))
  end
  local first = tonumber(redis.call('ZRANGE', base .. 'due', 0, 0, 'WITHSCORES')[2] or nil)
  first = math.min(first or math.huge, guards.alarm or math.huge)
  return first < math.huge and math.max(0, math.ceil(first - now)) or -1
end
