-- take_all: take several locks at once, or none of them. It never waits.
-- Not resent by the wire itself: see acquire.
-- KEYS  1 sessions
-- ARGV  1 session, 2 mode (x | s), 3 hard ms or 0, 4 owner, 5 label,
--       6 first: 1 until a claim of the session is known to be here,
--       then for each lock its name and the id of the hold
-- returns {'granted', server ms, token, last token of the block, hard end or 0, …}
--       | {'busy', server ms} at least one is held, or somebody waits for it
--       | {'dead', server ms} the session is over
-- clock: server
-- include keys
-- include granting
-- include grace
local session, mode, hard_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local ends = redis.call('ZSCORE', KEYS[1], session)
if not ends or tonumber(ends) <= now then
  return {'dead', now}
end
local found, last = {'granted', now}, {}
for at = 7, #ARGV, 2 do
  local name, id = ARGV[at], ARGV[at + 1]
  local key = holds(name)
  local is = redis.call('HMGET', key, 'm', 'f', id)
  if is[3] then
    -- A copy of this ask was here before: then all of them are held.
    local token, hard_end = string.match(is[3], '^([^\n]*)\n([^\n]*)')
    found[#found + 1] = tonumber(token)
    found[#found + 1] = mode == 'x' and tonumber(token) + block - 1 or tonumber(token)
    found[#found + 1] = tonumber(hard_end)
  elseif is[1] or redis.call('EXISTS', writers(name), readers(name)) > 0
      or redis.call('ZSCORE', given_up, id) then
    return {'busy', now}
  end
  last[at] = is[2]
end
if #found > 2 then
  return found
end
if in_grace() then
  return {'busy', now}
end
for at = 7, #ARGV, 2 do
  local name, id = ARGV[at], ARGV[at + 1]
  local token, final, hard_end =
    grant(name, mode, last[at], id, hard_ms, session, ARGV[4], ARGV[5])
  redis.call('SADD', claims(session), lines(id, name))
  found[#found + 1] = token
  found[#found + 1] = final
  found[#found + 1] = hard_end
end
if ARGV[6] == '1' then
  redis.call('SADD', index, session)
end
return found
