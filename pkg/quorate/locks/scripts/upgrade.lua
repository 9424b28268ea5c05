-- upgrade: make a reader the writer as soon as the other readers are gone. One reader
-- at a time: two would wait for each other. Asking again is looking again.
-- idempotent
-- KEYS  1 sessions        ARGV  1 name, 2 id of the hold
-- returns {'granted', server ms, token, last token of the block}
--       | {'queued', server ms, first hard end among the holders or 0, the holder}
--       | {'deadlock', server ms, 0, the other reader that waits for the same}
--       | {'unknown', server ms} it is not held
-- clock: server
-- include keys
-- include granting
-- include room
-- include holders
local name, id = ARGV[1], ARGV[2]
local key = holds(name)
local held, after, _, first_end = drop_dead(name)
settle(name, held, after)
local found = redis.call('HMGET', key, id, 'm', 'u')
if not found[1] then
  return {'unknown', now}
end
if found[2] == 's' then
  if found[3] and found[3] ~= id then
    return {'deadlock', now, 0, redis.call('HGET', key, found[3])}
  end
  redis.call('HSET', key, 'u', id)
  local grace = in_grace()
  if grace or not promote(name, id) then
    return {'queued', now, grace or first_end, found[1]}
  end
end
local token = tonumber(fields(redis.call('HGET', key, id))[1])
return {'granted', now, token, token + block - 1}
