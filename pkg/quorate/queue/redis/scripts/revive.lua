-- revive: dead letters go back to the end of their lanes with a clean record. One whose
-- unique key has gone to another task stays where it is.
-- idempotent: what is not dead is left alone
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1 queue, 2 µs between two of them, or 0 for all at once, 3… ids
-- returns how many
-- clock: server
-- include server_time
-- include ring
-- include put_ready
-- include guards
-- include unique
-- include bury_task
local base, ids, asked, due = KEYS[1], {}, {}, {}
for n = 3, #ARGV do
  asked[#asked + 1] = ARGV[n]
end
local ready, interval = new_lanes(), tonumber(ARGV[2])
local at = time[1] * 1000000 + time[2]
if interval > 0 then
  -- The ones before are still on their way: these come after them.
  at = math.max(at, tonumber(redis.call('HGET', base .. 'cfg', 'replayed') or 0))
end
local notes = redis.call('HMGET', base .. 'err', unpack(asked))
local envelopes = redis.call('HMGET', base .. 'job', unpack(asked))
for n, id in ipairs(asked) do
  local envelope = envelopes[n]
  local is_free = envelope and notes[n] and redis.call('ZREM', base .. 'dead', id) == 1
  if is_free and string.byte(envelope) == 33 and take_unique(base, id, envelope, {}) then
    redis.call('ZADD', base .. 'dead', math.floor(at / 1000), id)
    is_free = false
  end
  if is_free then
    local lane = string.match(notes[n], '"lane":(%d)}$') or '1'
    ids[#ids + 1] = id
    if interval > 0 then
      due[#due + 1], due[#due + 2] = math.floor(at / 1000), lane .. ':' .. id
      at = at + interval
    else
      local list = ready[lane]
      list[#list + 1] = id
    end
  end
end
if #ids == 0 then
  return 0
end
redis.call('HDEL', base .. 'err', unpack(ids))
redis.call('HDEL', base .. 'att', unpack(ids))
redis.call('HDEL', base .. 'prog', unpack(ids))
let_rest(base)
if #due > 0 then
  redis.call('ZADD', base .. 'due', unpack(due))
  redis.call('HSET', base .. 'cfg', 'replayed', string.format('%.0f', at))
end
local count = put(base, 'RPUSH', ready)
ring(base, ARGV[1], math.max(count, 1), #ready['0'] > 0)
return #ids
