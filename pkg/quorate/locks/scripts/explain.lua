-- explain: who holds a lock, who waits for it, and how long each can be trusted.
-- idempotent
-- KEYS  1 sessions        ARGV  1 name, 2 at most so many waiters of each kind
-- returns {server ms, mode or '', last token or '',
--          {id, holder, ms that its session lives, …}, {id, waiter, ms, …}}
-- clock: server
-- include keys
-- include granting
-- include room
local function lives_ms(session)
  local ends = redis.call('ZSCORE', KEYS[1], session)
  return ends and math.max(0, tonumber(ends) - now) or 0
end
local name, most = ARGV[1], tonumber(ARGV[2])
local mode, token, holders, waiters = '', '', {}, {}
local all = redis.call('HGETALL', holds(name))
for at = 1, #all, 2 do
  local id, record = all[at], all[at + 1]
  if id == 'm' then
    mode = record
  elseif id == 'f' then
    token = record
  elseif #id > 1 and #holders < most * 3 then
    holders[#holders + 1] = id
    holders[#holders + 1] = record
    holders[#holders + 1] = lives_ms(fields(record)[4])
  end
end
for _, kind in ipairs({'x', 's'}) do
  for _, id in ipairs(redis.call('ZRANGE', queue(name, kind), 0, most - 1)) do
    local record = redis.call('HGET', waits, id)
    if record then
      waiters[#waiters + 1] = id
      waiters[#waiters + 1] = record
      waiters[#waiters + 1] = lives_ms(fields(record)[5])
    end
  end
end
return {now, mode, token, holders, waiters}
