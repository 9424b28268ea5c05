#!lua flags=allow-oom
-- exchange: settle finished tasks and claim the next ones, in one call.
-- idempotent: the last claims of each exchanger are kept and given again for the same
-- number; a lower number comes from a request that was overtaken, and does nothing.
-- KEYS  1 sessions, 2 the queue's keys (prefix), 3 sessions with claims in any queue,
--       4 queues in which this session has claims
-- ARGV  1 session, 2 exchanger, 3 number, 4-6 how many of each lane, 7 most in all,
--       8 most outside the first lane, 9 flags, 10 channel, 11 queue, 12 most dead letters,
--       13 how many are finished, 14… those: id, claim, code, number, body
--       flags: u upkeep, l look, b ring me when the lanes had too little, r my bell may
--       hang still from before
-- returns {0 dead | 1 | 2 overtaken, claims, stale ids, shed level, ms until a task is
--          due or -1, 1 when the lanes had too little, {depths and first ids}}
-- clock: server
-- include server_time
-- include ring
-- include put_ready
-- include tell
-- include bury_task
-- include call_off
-- include follow
-- include settle
-- include claim
-- include upkeep
local session, base, flags = ARGV[1], KEYS[2], ARGV[9]
local count = tonumber(ARGV[13])
local ends = redis.call('ZSCORE', KEYS[1], session)
if not ends or tonumber(ends) <= now then
  local refused = {}
  for n = 0, count - 1 do
    refused[n + 1] = ARGV[14 + n * 5]
  end
  return {0, {}, refused, 0, -1, 1, {}}
end
local memory = 'x:' .. session .. ':' .. ARGV[2]
local cfg = redis.call('HMGET', base .. 'cfg', 'shed', 'paused', 'token', 'waiting', memory)
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
local stale = settle(base, ARGV[11], session, 14, count, cfg[4], tonumber(ARGV[12]), now)
local due = -1
if string.find(flags, 'u', 1, true) then
  due = upkeep(base, now)
end
local counts = {tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])}
local ids, lanes, short, others =
  take(base, counts, tonumber(ARGV[7]), tonumber(ARGV[8]), open)
local token = math.max(tonumber(cfg[3] or 0) + 1, time[1] * 1000000 + time[2])
local claims, mine = claim(base, session, ids, lanes, token)
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
return {1, claims, stale, shed, due, short and 1 or 0, sight}
