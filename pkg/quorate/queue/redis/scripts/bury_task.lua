-- Dead letters: at most `most_dead`, for at most `dead_ms`; the oldest go, a few at a
-- time. Wants `guards`.
local function forget_dead(base, ids)
  if #ids > 0 then
    redis.call('ZREM', base .. 'dead', unpack(ids))
    redis.call('HDEL', base .. 'err', unpack(ids))
    redis.call('HDEL', base .. 'att', unpack(ids))
    redis.call('HDEL', base .. 'job', unpack(ids))
    redis.call('HDEL', base .. 'prog', unpack(ids))
  end
  return #ids
end
-- Without dead letters nobody has to be reminded of them.
local function let_rest(base)
  if redis.call('EXISTS', base .. 'dead') == 0 then
    redis.call('ZREM', base .. 'alarms', 'dead')
  end
end
-- Set tasks aside: `died` are times and ids, `notes` ids and notes. Returns the ids.
local function bury(guards, died, notes, now)
  local base, ids = guards.base, {}
  redis.call('ZADD', base .. 'dead', unpack(died))
  redis.call('HSET', base .. 'err', unpack(notes))
  for n = 1, #notes, 2 do
    ids[#ids + 1] = notes[n]
  end
  local over = redis.call('ZCARD', base .. 'dead') - guards.most_dead
  if over > 0 then
    forget_dead(base, redis.call('ZRANGE', base .. 'dead', 0, math.min(over, 100) - 1))
  end
  if not redis.call('ZSCORE', base .. 'alarms', 'dead') then
    arm(guards, 'dead', now + guards.dead_ms)
  end
  return ids
end
-- The alarm has gone: some have been kept long enough.
local function forget_old(guards, now)
  local dead = guards.base .. 'dead'
  forget_dead(guards.base, redis.call('ZRANGEBYSCORE', dead, '-inf', now - guards.dead_ms,
    'LIMIT', 0, 50))
  local first = redis.call('ZRANGE', dead, 0, 0, 'WITHSCORES')[2]
  if first then
    arm(guards, 'dead', math.max(now, tonumber(first) + guards.dead_ms))
  end
end
