-- move_schedule: write the record of a schedule and put its tasks in, both or neither;
-- only if the record is still what it was when this was decided.
-- idempotent: what is written names its writer, so who repeats finds it done
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1 name, 2 record as it was or '', 3 record or '' to remove it, 4 ms of the next
--       look or '', 5 queue, 6… tasks as for enqueue
-- returns 0 it has moved on | 1 written, without tasks | 2 was written before | a list with
--         1 (put in) or 0 (known) for each task
-- clock: server
local given, base = ARGV, KEYS[1]
local before = redis.call('HGET', base .. 'cron', given[1]) or ''
if before == given[3] then
  return 2
elseif before ~= given[2] then
  return 0
end
if given[3] == '' then
  redis.call('HDEL', base .. 'cron', given[1])
else
  redis.call('HSET', base .. 'cron', given[1], given[3])
end
if given[4] == '' then
  redis.call('ZREM', base .. 'cronz', given[1])
else
  redis.call('ZADD', base .. 'cronz', given[4], given[1])
end
if #given == 5 then
  return 1
end
local ARGV = {unpack(given, 5)}
-- include enqueue
