-- take_permits: take permits of a semaphore, or stand in line for them. The same as
-- acquire in everything else.
-- KEYS  1 sessions
-- ARGV  1 name, 2 id, 3 session, 4 weight, 5 wait (1 | 0), 6 owner, 7 label,
--       8 first: 1 until a claim of the session is known to be here, 9 hard ms or 0,
--       10 ahead: by so many µs it may stand before who came earlier, 11 limit
-- returns what acquire returns
-- clock: server
-- include keys
-- include granting
-- include room
-- include holders
-- include permits
local name, id, session, weight = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local wait, owner, label, hard_ms = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[9])
local key = holds(name)
if not is_alive(session) then
  return {'dead', now}
end

local function claim()
  redis.call('SADD', claims(session), lines(id, name))
  if ARGV[8] == '1' then
    redis.call('SADD', index, session)
  end
end

local function look()
  local found = redis.call('HMGET', key, id, 'w', 'n', 'f')
  if found[1] then
    local is = fields(found[1])
    return {'granted', now, tonumber(is[1]), tonumber(is[1]), tonumber(is[2])}
  end
  local fits = tonumber(found[2] or '0') + weight <= tonumber(found[3] or ARGV[11])
  if fits and not in_grace() and redis.call('EXISTS', writers(name)) == 0 then
    local token, hard_end =
      hand_out(name, found[4], id, hard_ms, session, owner, label, weight)
    claim()
    return {'granted', now, token, token, hard_end}
  end
end

if redis.call('EXISTS', given_up) == 1 and redis.call('ZSCORE', given_up, id) then
  return {'left', now}
end
local granted = look()
if granted then
  return granted
end
local first_end, one = take_back_from_the_dead(name)
hand_on(name)
granted = look()
if granted then
  return granted
end
local grace = in_grace()
if grace and (first_end == 0 or grace < first_end) then
  first_end = grace
end
if wait ~= '1' then
  return {'busy', now, first_end, one}
end
local record = lines(name, 'p', digits(hard_ms), digits(now), session, owner, label,
  weight, ARGV[11])
if stand(name, 'x', id, record, tonumber(ARGV[10])) then
  claim()
end
return {'queued', now, first_end, one}
