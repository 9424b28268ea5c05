-- list_dead: dead letters, the latest first.
-- idempotent
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1 first, 2 how many
-- returns a list with four words for each: id, died at in ms, note, envelope
local base, result = KEYS[1], {}
local first = tonumber(ARGV[1])
local found = redis.call('ZREVRANGE', base .. 'dead', first, first + tonumber(ARGV[2]) - 1,
  'WITHSCORES')
local ids = {}
for n = 1, #found, 2 do
  ids[#ids + 1] = found[n]
end
if #ids == 0 then
  return result
end
local notes = redis.call('HMGET', base .. 'err', unpack(ids))
local envelopes = redis.call('HMGET', base .. 'job', unpack(ids))
for n, id in ipairs(ids) do
  local at = #result
  result[at + 1], result[at + 2] = id, found[n * 2]
  result[at + 3], result[at + 4] = notes[n] or '', envelopes[n] or ''
end
return result
