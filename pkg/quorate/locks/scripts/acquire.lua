-- acquire: take a lock, or stand in line for it. Asking again with the same id is
-- looking again: it grants nothing twice. Not resent by the wire itself: the caller has
-- to know that a second copy is under way (see leave).
-- KEYS  1 sessions
-- ARGV  1 name, 2 id, 3 session, 4 mode (x | s), 5 wait (1 | 0), 6 owner, 7 label,
--       and, unless nothing of the following is to be said,
--       8 first: 1 until a claim of the session is known to be here,
--       9 hard ms or 0, 10 ahead: by so many µs it may stand before who came earlier
-- returns token: a free lock was taken for writing; its block begins with it
--       | {'granted', server ms, token, last token of the block, hard end or 0}
--       | {'queued', server ms, first hard end among the holders or 0, a holder}
--       | {'busy', server ms, first hard end among the holders or 0, a holder}
--       | {'dead', server ms} the session is over
--       | {'left', server ms} this id was given up before it arrived
-- clock: server
-- include clock
local name, id, session, mode = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local wait, owner, label = ARGV[5], ARGV[6], ARGV[7]
local ends = redis.call('ZSCORE', KEYS[1], session)
if not ends or tonumber(ends) <= now then
  return {'dead', now}
end
-- The usual case, before all that only others need: nothing special is wanted, the lock
-- is free, and nobody is before us. What follows says the same at length.
local base = string.sub(KEYS[1], 1, -2) .. 'l:'
local key = base .. 'h:' .. name
local found = redis.call('HMGET', key, 'm', 'f', 'u')
local held, last = found[1], found[2]
local is_free = not held
  and redis.call('EXISTS', base .. 'q:' .. name, base .. 'r:' .. name, base .. 'g',
    base .. 'e') == 0
if is_free and mode == 'x' and not ARGV[8] and string.sub(name, 1, 3) ~= '%03' then
  local token = tonumber(last or '0')
  token = math.max(token + 1, micros)
  local final = token + 31
  redis.call('HSET', key, 'm', 'x', 'f', digits(final), id,
    string.format('%.0f\n0\n%.0f\n%s\n%s\n%s', token, now, session, owner, label))
  if last then
    redis.call('PERSIST', key)
  end
  redis.call('SADD', base .. 'i:' .. session, id .. '\n' .. name)
  return token
end
-- include keys
-- include granting
local first, hard_ms = ARGV[8], tonumber(ARGV[9] or '0')

local function claim()
  redis.call('SADD', claims(session), lines(id, name))
  if first == '1' then
    redis.call('SADD', index, session)
  end
end

local function take(last)
  local token, final, hard_end =
    grant(name, mode, last, id, hard_ms, session, owner, label)
  claim()
  return {'granted', now, token, final, hard_end}
end

if is_free then
  return take(last)
end
-- include room
-- include holders
if redis.call('ZSCORE', given_up, id) then
  return {'left', now}
end
local one, first_end, after = '', 0, nil
local among_readers = held == 's' and mode == 's' and not found[3]
  and redis.call('EXISTS', writers(name)) == 0
if held and not among_readers then
  held, after, one, first_end = drop_dead(name)
end
held = settle(name, held, after)
local mine = held and redis.call('HGET', key, id)
if mine then
  local is = fields(mine)
  local token = tonumber(is[1])
  local final = held == 'x' and token + block - 1 or token
  return {'granted', now, token, final, tonumber(is[2])}
end
local grace = in_grace()
if not grace and (not held or (held == 's' and mode == 's'
    and not first_alive(name, 'x') and redis.call('HEXISTS', key, 'u') == 0)) then
  return take(redis.call('HGET', key, 'f'))
end
if one == '' then
  held, after, one, first_end = drop_dead(name)
end
if grace and (first_end == 0 or grace < first_end) then
  first_end = grace
end
if wait ~= '1' then
  return {'busy', now, first_end, one}
end
local record = lines(name, mode, digits(hard_ms), digits(now), session, owner, label)
if stand(name, mode, id, record, tonumber(ARGV[10] or '0')) then
  claim()
end
return {'queued', now, first_end, one}
