-- room: what the scripts of this room share. Every key lies under the tag of KEYS[1].
-- KEYS  1 sessions (T:S)
--
--   T:l:h:<name>     HASH  the lock: f last token of the last block granted, m mode
--                          (x one writer, s readers; missing while it is free),
--                          <id> → one holder each
--   T:l:q:<name>     ZSET  waiting writers by arrival      T:l:r:<name>  waiting readers
--   T:l:w            HASH  <id> → one waiter each, of all locks of the tag
--   T:l:i:<session>  SET   the claims of a session, held or awaited: "<id>\n<name>"
--   T:l:s            SET   sessions that may have claims
--   T:l:g            ZSET  ids that were given up before they arrived → when
--   T:l:to:<session>       the channel of a session
--
-- A holder is token, hard end or 0, since, session, owner, label; a waiter is name,
-- mode, hard ms or 0, since, session, owner, label: one field a line. Names, labels and
-- owners have no line breaks. Clock: server.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local micros = time[1] * 1000000 + time[2]
local base = string.sub(KEYS[1], 1, -2) .. 'l:'
local waits, given_up, index = base .. 'w', base .. 'g', base .. 's'
local block = 32

local function holds(name) return base .. 'h:' .. name end
local function claims(session) return base .. 'i:' .. session end
local function queue(name, mode)
  return base .. (mode == 'x' and 'q:' or 'r:') .. name
end
local function digits(number) return string.format('%.0f', number) end
local function lines(...) return table.concat({...}, '\n') end

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

-- Make `id` a holder. A writer gets a block of tokens above all before it; a reader
-- shares the last one, so that any later writer is above it.
local function grant(name, mode, id, hard_ms, session, owner, label)
  local key = holds(name)
  local token = tonumber(redis.call('HGET', key, 'f') or '0')
  if mode == 'x' or token == 0 then
    token = math.max(token + 1, micros)
  end
  local last = mode == 'x' and token + block - 1 or token
  local hard_end = hard_ms > 0 and now + hard_ms or 0
  redis.call('HSET', key, 'm', mode, 'f', digits(last), id,
    lines(digits(token), digits(hard_end), digits(now), session, owner, label))
  redis.call('PERSIST', key)
  return token, last, hard_end
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

-- Make the first waiter of a queue a holder and tell its process.
local function admit(name, mode)
  local id, is = first_alive(name, mode)
  if not id then
    return false
  end
  redis.call('ZREM', queue(name, mode), id)
  redis.call('HDEL', waits, id)
  local token, last, hard_end =
    grant(name, mode, id, tonumber(is[3]), is[5], is[6], is[7])
  tell(is[5], 'granted', name, id, digits(token), digits(last), digits(now))
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

-- Let in who may enter now. `mode` is how the lock is held (false: it is free), `after`
-- the mode of the phase that has just ended: readers and writers take turns, and a turn
-- of readers is all of them (Brandenburg and Anderson, phase-fair locks, 2010).
-- Returns how the lock is held then.
local function settle(name, mode, after)
  if mode == 'x' then
    return mode
  end
  if redis.call('EXISTS', queue(name, 'x'), queue(name, 's')) > 0 then
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
