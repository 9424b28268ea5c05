-- room: who is alive, who is next, and letting them in. Needs `keys` and `granting`.
-- clock: server
-- include grace
local function queue(name, mode)
  return mode == 'x' and writers(name) or readers(name)
end

local function fields(record)
  local found = {}
  for field in string.gmatch(record .. '\n', '([^\n]*)\n') do
    found[#found + 1] = field
  end
  return found
end

local function is_alive(session)
  local ends = redis.call('ZSCORE', KEYS[1], session)
  return ends and tonumber(ends) > now
end

local function tell(session, ...)
  redis.call('PUBLISH', base .. 'to:' .. session, lines(...))
end

-- The first waiter of a queue whose session lives; the dead before it are dropped.
local function first_alive(name, mode)
  local key = queue(name, mode)
  local id = redis.call('ZRANGE', key, 0, 0)[1]
  while id do
    local record = redis.call('HGET', waits, id)
    local is = record and fields(record)
    if is and is_alive(is[5]) then
      return id, is
    end
    redis.call('ZREM', key, id)
    redis.call('HDEL', waits, id)
    if is then
      redis.call('SREM', claims(is[5]), lines(id, name))
    end
    id = redis.call('ZRANGE', key, 0, 0)[1]
  end
  return nil
end

-- Stand in line, at most once. `ahead`: by so many µs before who came earlier, so that
-- an urgent one passes those who came a little earlier and nobody waits for ever.
local function stand(name, mode, id, record, ahead)
  if redis.call('HSETNX', waits, id, record) == 0 then
    return false
  end
  local line = queue(name, mode)
  local last = redis.call('ZRANGE', line, -1, -1, 'WITHSCORES')[2]
  local place = math.max(micros, last and tonumber(last) + 1 or 0)
  redis.call('ZADD', line, digits(place - ahead), id)
  return true
end

-- Make the first waiter of a queue a holder and tell its process.
local function admit(name, mode)
  local id, is = first_alive(name, mode)
  if not id then
    return false
  end
  redis.call('ZREM', queue(name, mode), id)
  redis.call('HDEL', waits, id)
  local last = redis.call('HGET', holds(name), 'f')
  local token, final, hard_end =
    grant(name, mode, last, id, tonumber(is[3]), is[5], is[6], is[7])
  tell(is[5], 'granted', name, id, digits(token), digits(final), digits(now))
  if hard_end > 0 then
    -- Nobody sweeps a hard end: the next in line has to look when it is due.
    local next_id, next_is = first_alive(name, 'x')
    if not next_id then
      next_id, next_is = first_alive(name, 's')
    end
    if next_id then
      tell(next_is[5], 'look', name, next_id, digits(hard_end - now))
    end
  end
  return true
end

local function admit_readers(name)
  local any = false
  while admit(name, 's') do
    any = true
  end
  return any
end

-- Make a reader the writer when no other reader is left: what is there beside the
-- holders is f, m and u. Returns its block of tokens and its session, or false.
local function promote(name, id)
  local key = holds(name)
  if redis.call('HLEN', key) > 4 then
    return false
  end
  local found = redis.call('HMGET', key, id, 'f')
  local is = fields(found[1])
  local token = math.max(tonumber(found[2]) + 1, micros)
  local final = token + block - 1
  redis.call('HDEL', key, 'u')
  redis.call('HSET', key, 'm', 'x', 'f', digits(final), id,
    lines(digits(token), is[2], is[3], is[4], is[5], is[6]))
  return token, final, is[4]
end

-- Let in who may enter now. `mode` is how the lock is held (false: it is free), `after`
-- the mode of the phase that has just ended: readers and writers take turns, and a turn
-- of readers is all of them (Brandenburg and Anderson, phase-fair locks, 2010). A
-- reader that waits to become the writer comes before all that wait outside.
-- Returns how the lock is held then.
local function settle(name, mode, after)
  if mode == 'x' or in_grace() then
    return mode
  end
  local upgrading = mode == 's' and redis.call('HGET', holds(name), 'u')
  if upgrading then
    local token, final, session = promote(name, upgrading)
    if not token then
      return mode
    end
    tell(session, 'granted', name, upgrading, digits(token), digits(final), digits(now))
    return 'x'
  end
  if redis.call('EXISTS', writers(name), readers(name)) > 0 then
    if mode == 's' then
      if not first_alive(name, 'x') then
        admit_readers(name)
      end
      return mode
    end
    if after == 'x' and admit_readers(name) then
      return 's'
    end
    if admit(name, 'x') then
      return 'x'
    end
    if admit_readers(name) then
      return 's'
    end
  end
  return mode
end
