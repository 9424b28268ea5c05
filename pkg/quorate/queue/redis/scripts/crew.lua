-- crew: who works on this queue, by the reports of the last while and by the sessions.
-- idempotent
-- KEYS  1 sessions, 2 the queue's keys (prefix)
-- ARGV  1 reports are fresh for so many ms, 2 at most so many
-- returns a list with four words for each: session, report, ms since, 1 when it lives
-- clock: server
-- include server_time
local base, crew = KEYS[2], {}
local found = redis.call('ZRANGEBYSCORE', base .. 'crewx', now - tonumber(ARGV[1]), '+inf',
  'WITHSCORES', 'LIMIT', 0, tonumber(ARGV[2]))
for n = 1, #found, 2 do
  local session = found[n]
  local ends = redis.call('ZSCORE', KEYS[1], session)
  local at = #crew
  crew[at + 1] = session
  crew[at + 2] = redis.call('HGET', base .. 'crew', session) or ''
  crew[at + 3] = math.floor(now - tonumber(found[n + 1]))
  crew[at + 4] = (ends and tonumber(ends) > now) and 1 or 0
end
return crew
