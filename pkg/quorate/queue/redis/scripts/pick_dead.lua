-- pick_dead: dead letters by the time of their death, the oldest first, without payloads.
-- idempotent
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1 from and 2 to in ms (also -inf and +inf), 3 first, 4 how many
-- returns three words for each: id, note, header
local base, result = KEYS[1], {}
local ids = redis.call('ZRANGEBYSCORE', base .. 'dead', ARGV[1], ARGV[2],
  'LIMIT', ARGV[3], ARGV[4])
if #ids == 0 then
  return result
end
local notes = redis.call('HMGET', base .. 'err', unpack(ids))
local envelopes = redis.call('HMGET', base .. 'job', unpack(ids))
for n, id in ipairs(ids) do
  local envelope = envelopes[n] or ''
  local guard = string.match(envelope, '^!([^\n]*)\n')
  local from = guard and #guard + 3 or 1
  local at = #result
  result[at + 1], result[at + 2] = id, notes[n] or ''
  result[at + 3] = string.match(envelope, '^[^\n]*\n', from) or ''
end
return result
