-- put_in_flow: tasks that come after one another, and how.
-- idempotent: the links of tasks that are known stay as they are
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1 last step of a group or '', 2 size of the group, 3 its rule, 4 the ids of all its
--       tasks, 5 how many links, 6… two words each: id, link; then queue and tasks as for
--       enqueue
-- returns as enqueue does
-- clock: server
local given, base = ARGV, KEYS[1]
local function is_known(id)
  return redis.call('HEXISTS', base .. 'job', id) == 1
    or redis.call('HEXISTS', base .. 'res', id) == 1
end
if given[1] ~= '' and not is_known(given[1]) then
  redis.call('HSETNX', base .. 'g:' .. given[1], 'n', given[2])
  redis.call('HSETNX', base .. 'g:' .. given[1], 'p', given[3])
  redis.call('HSETNX', base .. 'g:' .. given[1], 'all', given[4])
end
local after = 6 + 2 * tonumber(given[5])
for at = 6, after - 1, 2 do
  if not is_known(given[at]) then
    redis.call('HSET', base .. 'link', given[at], given[at + 1])
  end
end
local ARGV = {unpack(given, after)}
-- include enqueue
