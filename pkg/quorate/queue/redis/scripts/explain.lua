-- explain: what is known of one task, and what may keep it from running.
-- idempotent
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1 id
-- returns {envelope or empty, owner or empty, record or empty, progress or empty, lane or
--          -1, tasks before it in its lane or -1, ms until it is due or -1, note of its
--          death or empty, shed level, paused, result's letter or empty, gate that it is
--          parked at or empty, tasks before it there, ids that have its slot}
-- clock: server
-- include server_time
local base, id = KEYS[1], ARGV[1]
local lane, before, due = -1, -1, -1
for candidate = 0, 2 do
  local score = redis.call('ZSCORE', base .. 'due', candidate .. ':' .. id)
  local place = redis.call('LPOS', base .. 'r' .. candidate, id)
  if score then
    lane, due = candidate, math.max(0, tonumber(score) - now)
  elseif place then
    lane, before = candidate, place
  end
end
local cfg = redis.call('HMGET', base .. 'cfg', 'shed', 'paused')
local gate, ahead = redis.call('HGET', base .. 'parked', id) or '', -1
for candidate = 0, 2 do
  local rank = redis.call('ZRANK', base .. 'park:' .. gate, candidate .. ':' .. id)
  if rank then
    lane, ahead = candidate, rank
  end
end
return {redis.call('HGET', base .. 'job', id) or '',
  redis.call('HGET', base .. 'own', id) or '',
  redis.call('HGET', base .. 'att', id) or '',
  redis.call('HGET', base .. 'prog', id) or '', lane, before, due,
  redis.call('HGET', base .. 'err', id) or '', tonumber(cfg[1] or 0), cfg[2] and 1 or 0,
  string.sub(redis.call('HGET', base .. 'res', id) or '', 1, 1), gate, ahead,
  redis.call('HKEYS', base .. 'slot:' .. string.sub(gate, 3))}
