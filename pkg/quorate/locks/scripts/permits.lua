-- permits: a fragment for semaphores. Needs `holders`. clock: server
-- A semaphore is a lock of mode p with further fields: w permits in use, n the limit if
-- one was set for all. A holder's record has its weight as field 7, a waiter's has its
-- weight and the limit it was made with as fields 8 and 9. They wait in the queue of
-- writers, and nobody overtakes a heavy one.

-- Make `id` a holder of so many permits. Tokens grow, but say nothing of who is last.
local function hand_out(name, last, id, hard_ms, session, owner, label, weight)
  local key = holds(name)
  local token = math.max(tonumber(last or '0') + 1, micros)
  local hard_end = hard_ms > 0 and now + hard_ms or 0
  redis.call('HSET', key, 'm', 'p', 'f', digits(token), id,
    lines(digits(token), digits(hard_end), digits(now), session, owner, label, weight))
  redis.call('HINCRBY', key, 'w', weight)
  redis.call('PERSIST', key)
  return token, hard_end
end

-- Take the permits of a hold back; whose session it was is not asked.
local function take_back(name, id, is)
  local key = holds(name)
  redis.call('HDEL', key, id)
  redis.call('SREM', claims(is[4]), lines(id, name))
  if redis.call('HINCRBY', key, 'w', '-' .. is[7]) <= 0 then
    redis.call('HDEL', key, 'm', 'w')
    if redis.call('HEXISTS', key, 'n') == 0 then
      redis.call('PEXPIRE', key, kept_ms)
    end
  end
end

-- Take back what the dead hold, and what is over. Returns the first hard end (0: none)
-- and one holder that is left ('': none).
local function take_back_from_the_dead(name)
  local all, first_end, one = redis.call('HGETALL', holds(name)), 0, ''
  for at = 1, #all, 2 do
    local id, is = all[at], fields(all[at + 1])
    if is[7] then
      local hard_end = tonumber(is[2])
      if (hard_end > 0 and hard_end <= now) or not is_alive(is[4]) then
        take_back(name, id, is)
        tell(is[4], 'lost', name, id)
      else
        one = all[at + 1]
        if hard_end > 0 and (first_end == 0 or hard_end < first_end) then
          first_end = hard_end
        end
      end
    end
  end
  return first_end, one
end

-- Let in who is next, as long as there are permits for it.
local function hand_on(name)
  local key = holds(name)
  local id, is = first_alive(name, 'x')
  while id do
    local found = redis.call('HMGET', key, 'w', 'n', 'f')
    local wanted = tonumber(found[1] or '0') + tonumber(is[8])
    if wanted > tonumber(found[2] or is[9]) or in_grace() then
      return
    end
    redis.call('ZREM', writers(name), id)
    redis.call('HDEL', waits, id)
    local token, hard_end =
      hand_out(name, found[3], id, tonumber(is[3]), is[5], is[6], is[7], is[8])
    tell(is[5], 'granted', name, id, digits(token), digits(token), digits(now))
    id, is = first_alive(name, 'x')
    if id and hard_end > 0 then
      tell(is[5], 'look', name, id, digits(hard_end - now))
    end
  end
end

-- End one claim of permits, held or awaited. Returns what it was.
local function end_permits(name, id)
  local record = redis.call('HGET', holds(name), id)
  if record then
    take_back(name, id, fields(record))
    hand_on(name)
    return 'held'
  end
  record = redis.call('HGET', waits, id)
  if not record then
    return 'unknown'
  end
  redis.call('SREM', claims(fields(record)[5]), lines(id, name))
  redis.call('HDEL', waits, id)
  redis.call('ZREM', writers(name), id)
  hand_on(name)
  return 'waiting'
end
