-- look_at_schedules: the records of schedules, and whether their last tasks are over.
-- idempotent
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1 'due' | 'all' | 'one', 2 at most so many, or the name of the one
-- returns {server ms, ms until another is due or -1, {record, 1 if its last task is not
--          over, …}}
-- clock: server
-- include server_time
local base, records = KEYS[1], {}
if ARGV[1] == 'all' then
  records = redis.call('HVALS', base .. 'cron')
elseif ARGV[1] == 'one' then
  records = {redis.call('HGET', base .. 'cron', ARGV[2]) or nil}
else
  local names = redis.call('ZRANGEBYSCORE', base .. 'cronz', '-inf', now, 'LIMIT', 0, ARGV[2])
  for _, name in ipairs(names) do
    records[#records + 1] = redis.call('HGET', base .. 'cron', name) or nil
  end
end
local found = {}
for _, record in ipairs(records) do
  local last = string.match(record, '^[^\n]*')
  local is_busy = last ~= '' and redis.call('HEXISTS', base .. 'job', last) == 1
    and not redis.call('ZSCORE', base .. 'dead', last)
  found[#found + 1] = record
  found[#found + 1] = is_busy and 1 or 0
end
local next = redis.call('ZRANGEBYSCORE', base .. 'cronz', '(' .. now, '+inf',
  'WITHSCORES', 'LIMIT', 0, 1)
return {now, next[2] and math.ceil(tonumber(next[2]) - now) or -1, found}
