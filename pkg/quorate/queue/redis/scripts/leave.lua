#!lua flags=allow-oom
-- leave: a session that stops working asks for no attention any more, unless it has
-- claims still.
-- idempotent
-- KEYS  1 the queue's keys (prefix), 2 sessions with claims in any queue, 3 queues in
--       which this session has claims
-- ARGV  1 session, 2 queue, 3 channel
-- returns how many claims it has still
local base, session = KEYS[1], ARGV[1]
redis.call('SREM', base .. 'bell', ARGV[3])
redis.call('SREM', base .. 'bellh', ARGV[3])
local left = redis.call('SCARD', base .. 'mine:' .. session)
if left == 0 then
  redis.call('HDEL', base .. 'cfg', 'x:' .. session .. ':0', 'x:' .. session .. ':1')
  redis.call('SREM', KEYS[3], ARGV[2])
  if redis.call('SCARD', KEYS[3]) == 0 then
    redis.call('SREM', KEYS[2], session)
  end
end
return left
