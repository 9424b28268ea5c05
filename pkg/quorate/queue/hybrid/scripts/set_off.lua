-- set_off: tasks are about to be sent over RabbitMQ; note that they are on their way.
-- idempotent: an id that is on its way already stays so, and may be sent again.
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1… ids
-- returns for each: 1 new · 2 on its way already · 0 known here, not to be sent
-- clock: server
-- include server_time
local base = KEYS[1]
local waiting = redis.call('HMGET', base .. 'job', unpack(ARGV))
local over = redis.call('HMGET', base .. 'res', unpack(ARGV))
local going = redis.call('HMGET', base .. 'way', unpack(ARGV))
local found, noted = {}, {}
for n, id in ipairs(ARGV) do
  local known = waiting[n]
  if not known and over[n] then
    local ends = redis.call('ZSCORE', base .. 'resx', id)
    known = ends and tonumber(ends) > now
  end
  if known then
    found[n] = 0
  elseif going[n] then
    found[n] = 2
  else
    found[n] = 1
    noted[#noted + 1] = id
    noted[#noted + 1] = string.format('%.0f', now)
  end
end
if #noted > 0 then
  redis.call('HSET', base .. 'way', unpack(noted))
end
return found
