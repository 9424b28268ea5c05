-- holders: a fragment that ends claims: of the dead, and of who gives up.
-- Needs `room`. clock: server

-- End every hold whose session is dead or whose hard end has passed. Returns how the
-- lock is held then (false: it is free), the mode of the phase that has ended by this
-- (or nil), one holder that is left ('' if none), and the first hard end (0 if none).
local function drop_dead(name)
  local key = holds(name)
  local all = redis.call('HGETALL', key)
  local mode, left, one, first_end = false, 0, '', 0
  for at = 1, #all, 2 do
    local id, record = all[at], all[at + 1]
    if id == 'm' then
      mode = record
    elseif id ~= 'f' then
      local is = fields(record)
      local hard_end = tonumber(is[2])
      if (hard_end > 0 and hard_end <= now) or not is_alive(is[4]) then
        redis.call('HDEL', key, id)
        redis.call('SREM', claims(is[4]), lines(id, name))
        tell(is[4], 'lost', name, id)
      else
        left = left + 1
        one = record
        if hard_end > 0 and (first_end == 0 or hard_end < first_end) then
          first_end = hard_end
        end
      end
    end
  end
  if mode and left == 0 then
    redis.call('HDEL', key, 'm')
    return false, mode, '', 0
  end
  return mode, nil, one, first_end
end

-- End one claim, held or awaited, and let in who may enter then.
-- Returns 'held', 'waiting' or 'unknown': what it was.
local function end_claim(name, id)
  local key = holds(name)
  local found = redis.call('HMGET', key, id, 'm')
  local record, mode = found[1], found[2]
  if record then
    redis.call('SREM', claims(fields(record)[4]), lines(id, name))
    redis.call('HDEL', key, id)
    -- What is left beside the holders is f and m.
    if mode == 'x' or redis.call('HLEN', key) <= 2 then
      redis.call('HDEL', key, 'm')
      if not settle(name, false, mode) then
        keep(key, redis.call('HGET', key, 'f'))
      end
    end
    return 'held'
  end
  record = redis.call('HGET', waits, id)
  if not record then
    return 'unknown'
  end
  local is = fields(record)
  redis.call('SREM', claims(is[5]), lines(id, name))
  redis.call('HDEL', waits, id)
  redis.call('ZREM', queue(name, is[2]), id)
  -- Readers may have waited only because this writer did.
  if is[2] == 'x' then
    settle(name, mode, nil)
  end
  return 'waiting'
end
