-- Keep at most `most` dead letters: the oldest go, a few at a time.
local function trim_dead(base, most)
  local over = redis.call('ZCARD', base .. 'dead') - most
  if over > 0 then
    local old = redis.call('ZRANGE', base .. 'dead', 0, math.min(over, 100) - 1)
    redis.call('ZREM', base .. 'dead', unpack(old))
    redis.call('HDEL', base .. 'err', unpack(old))
    redis.call('HDEL', base .. 'att', unpack(old))
    redis.call('HDEL', base .. 'job', unpack(old))
  end
end
