-- set_gate: a rule of the queue, which every worker heeds from its next exchange on. Who
-- waits at its gate is looked at anew.
-- idempotent
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1 queue, 2 letter (q rate of the queue, t of a task, p pause of a task), 3 task or
--       empty, 4 µs between two, 5 how many in a burst, 6 1 to set it, 0 to remove it
-- returns 1 if there was such a rule
-- clock: server
-- include server_time
-- include ring
local base, name = KEYS[1], ARGV[2] .. ':' .. ARGV[3]
local rules = redis.call('HGET', base .. 'cfg', 'gates') or ''
local lines, was = {}, 0
for kind, first, second, task in
    string.gmatch(rules, '(%a)|(%d+)|(%d+)|([^\n]*)\n') do
  if kind == ARGV[2] and task == ARGV[3] then
    was = 1
  else
    lines[#lines + 1] = kind .. '|' .. first .. '|' .. second .. '|' .. task .. '\n'
  end
end
if ARGV[6] == '1' then
  lines[#lines + 1] = ARGV[2] .. '|' .. ARGV[4] .. '|' .. ARGV[5] .. '|' .. ARGV[3] .. '\n'
end
if #lines > 0 then
  redis.call('HSET', base .. 'cfg', 'gates', table.concat(lines))
else
  redis.call('HDEL', base .. 'cfg', 'gates')
end
if redis.call('EXISTS', base .. 'park:' .. name, base .. 'inv:' .. name) > 0 then
  redis.call('ZADD', base .. 'alarms', now, name)
  redis.call('HSET', base .. 'cfg', 'alarm', now)
end
local idle = redis.call('SCARD', base .. 'bell') + redis.call('SCARD', base .. 'bellh')
ring(base, ARGV[1], idle * 8, true)
return was
