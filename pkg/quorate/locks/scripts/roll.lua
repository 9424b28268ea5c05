-- roll: which server this is, and what it knows of a session's claims.
-- idempotent
-- KEYS  1 sessions        ARGV  1 session, 2 run id as known, or ''
-- returns {run id} when it is as known
--       | {run id, 1 alive | 0 dead, "<id>\n<name>", …}
-- clock: server
-- include keys
-- include granting
-- include room
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
if run == ARGV[2] then
  return {run}
end
local found = redis.call('SMEMBERS', claims(ARGV[1]))
table.insert(found, 1, is_alive(ARGV[1]) and 1 or 0)
table.insert(found, 1, run)
return found
