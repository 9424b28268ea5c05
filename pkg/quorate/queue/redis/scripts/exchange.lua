#!lua flags=allow-oom
-- exchange: settle finished tasks and claim the next ones, in one call.
-- idempotent: the last claims of each exchanger are kept and given again for the same
-- number; a lower number comes from a request that was overtaken, and does nothing.
-- KEYS  1 sessions, 2 the queue's keys (prefix), 3 sessions with claims in any queue,
--       4 queues in which this session has claims
-- ARGV  1 session, 2 exchanger, 3 number, 4-6 how many of each lane, 7 most in all,
--       8 most outside the first lane, 9 flags, 10 channel, 11 queue, 12 most dead letters,
--       13 ms that they are kept, 14 how many are finished, 15… those: id, claim, code,
--       number, body
--       flags: u upkeep, l look, b ring me when the lanes had too little, r my bell may
--       hang still from before
-- returns {0 dead | 1 | 2 overtaken, claims, stale ids, shed level, ms until it is worth
--          asking again or -1, 1 when the lanes had too little or 2 when the queue's rate
--          allowed no more, {depths and first ids}}
-- clock: server
-- include server_time
-- include ring
-- include put_ready
-- include tell
-- include guards
-- include bury_task
-- include admit
-- include gates
-- include call_off
-- include follow
-- include held
-- include settle
-- include claim
-- include upkeep
local session, base, flags = ARGV[1], KEYS[2], ARGV[9]
local count = tonumber(ARGV[14])
local ends = redis.call('ZSCORE', KEYS[1], session)
if not ends or tonumber(ends) <= now then
  local refused = {}
  for n = 0, count - 1 do
    refused[n + 1] = ARGV[15 + n * 5]
  end
  return {0, {}, refused, 0, -1, 1, {}}
end
local memory = 'x:' .. session .. ':' .. ARGV[2]
local cfg = redis.call('HMGET', base .. 'cfg', 'shed', 'paused', 'token', 'waiting', memory,
  'gates', 'alarm', 'stops')
local shed = tonumber(cfg[1] or 0)
local open = (cfg[2] or shed >= 3) and 0 or 3 - shed
if cfg[5] then
  local lines = string.gmatch(cfg[5], '[^\n]+')
  local last, refused = tonumber(lines()), tonumber(lines())
  if tonumber(ARGV[3]) < last then
    return {2, {}, {}, shed, -1, 1, {}}
  elseif tonumber(ARGV[3]) == last then
    local stale, ids = {}, {}
    for id in lines do
      local list = #stale < refused and stale or ids
      list[#list + 1] = id
    end
    return {1, claim_again(base, session, ids), stale, shed, -1, 0, {}}
  end
end
local guards = new_guards(base, KEYS[1], time[1] * 1000000 + time[2], cfg[6], cfg[7])
guards.stops = cfg[8]
guards.open, guards.most_dead, guards.dead_ms = open, tonumber(ARGV[12]), tonumber(ARGV[13])
local stale = settle(guards, ARGV[11], session, 15, count, cfg[4], now)
local due = guards.rest and math.ceil(guards.rest) or -1
if string.find(flags, 'u', 1, true) then
  due = upkeep(guards, now)
end
local alarm = guards.alarm
local counts = {tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])}
local total, others, narrow = allowance(guards, tonumber(ARGV[7]), tonumber(ARGV[8]))
local token = math.max(tonumber(cfg[3] or 0) + 1, guards.at)
local claims, mine, parked, rounds, more = {}, {}, 0, 0, false
repeat
  local ids, lanes
  guards.woken = false
  ids, lanes, total, others = take(base, counts, total, others, open)
  parked, others = claim(guards, session, ids, lanes, token, claims, mine, others)
  total, rounds, more = total + parked, rounds + 1, parked > 0 or guards.woken
until not more or rounds == 4
local short = total > 0 and not more
local again_in = close_guards(guards, #mine, narrow)
local spare = (guards.promoted or 0) - #mine
if spare > 0 then
  -- What became ready here and does not fit here is for somebody else.
  ring(base, ARGV[11], spare, guards.promoted_urgent)
end
if guards.alarm and guards.alarm ~= alarm then
  due = math.min(due < 0 and math.huge or due, math.max(0, guards.alarm - now))
  if total == 0 then
    ring(base, ARGV[11], 1, false)
  end
end
local limited = again_in and not short
if limited then
  due = math.min(due < 0 and math.huge or due, again_in)
end
if not cfg[5] then
  redis.call('SADD', KEYS[3], session)
  redis.call('SADD', KEYS[4], ARGV[11])
end
local kept = ARGV[3] .. '\n' .. #stale
if #stale > 0 then
  kept = kept .. '\n' .. table.concat(stale, '\n')
end
if #mine > 0 then
  kept = kept .. '\n' .. table.concat(mine, '\n')
  cfg[3] = string.format('%.0f', token + #mine - 1)
end
redis.call('HSET', base .. 'cfg', 'token', cfg[3] or '0', memory, kept)
local bell = nil
if short and string.find(flags, 'b', 1, true) then
  bell = others > 0 and 'bell' or 'bellh'
  redis.call('SADD', base .. bell, ARGV[10])
end
if string.find(flags, 'r', 1, true) then
  for _, other in ipairs({'bell', 'bellh'}) do
    if other ~= bell then
      redis.call('SREM', base .. other, ARGV[10])
    end
  end
end
local sight = {}
if string.find(flags, 'l', 1, true) then
  for lane = 0, 2 do
    sight[lane + 1] = redis.call('LLEN', base .. 'r' .. lane)
    sight[lane + 4] = redis.call('LINDEX', base .. 'r' .. lane, 0) or ''
  end
  sight[7] = now
end
return {1, claims, stale, shed, due, limited and 2 or short and 1 or 0, sight}
