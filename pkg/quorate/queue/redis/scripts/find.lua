-- find: the state of a task, and its result or the note of its end.
-- idempotent
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1 id, 2 channel to tell when it is over, or empty
-- returns {letter, body}: d done, c cancelled, x dead, r running, t retrying, s scheduled,
--         q queued, u not known
-- clock: server
-- include server_time
local base, id = KEYS[1], ARGV[1]
local result = redis.call('HGET', base .. 'res', id)
if result then
  local ends = redis.call('ZSCORE', base .. 'resx', id)
  if ends and tonumber(ends) > now then
    return {string.sub(result, 1, 1), string.sub(result, 2)}
  end
end
local note = redis.call('HGET', base .. 'err', id)
if note then
  return {'x', note}
end
if redis.call('HEXISTS', base .. 'job', id) == 0 then
  return {'u', ''}
end
if ARGV[2] ~= '' then
  local waiting = redis.call('HGET', base .. 'wait', id)
  if not waiting then
    redis.call('HSET', base .. 'wait', id, ARGV[2])
    redis.call('HINCRBY', base .. 'cfg', 'waiting', 1)
  elseif not string.find('\n' .. waiting .. '\n', '\n' .. ARGV[2] .. '\n', 1, true) then
    redis.call('HSET', base .. 'wait', id, waiting .. '\n' .. ARGV[2])
  end
end
if redis.call('HEXISTS', base .. 'own', id) == 1 then
  return {'r', ''}
end
for lane = 0, 2 do
  if redis.call('ZSCORE', base .. 'due', lane .. ':' .. id) then
    local record = redis.call('HGET', base .. 'att', id)
    local failed = record and string.sub(record, 1, 2) ~= '0|'
    return {failed and 't' or 's', ''}
  end
end
return {'q', ''}
