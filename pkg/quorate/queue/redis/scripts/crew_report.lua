#!lua flags=allow-oom
-- crew_report: what a worker does in this queue, for who looks. Reports that are too old
-- go, a few at a time.
-- idempotent
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1 session, 2 report, 3 reports are kept for so many ms; an empty report removes it
-- returns 1
-- clock: server
-- include server_time
local base, session = KEYS[1], ARGV[1]
local gone = redis.call('ZRANGEBYSCORE', base .. 'crewx', '-inf', now - tonumber(ARGV[3]),
  'LIMIT', 0, 20)
if ARGV[2] == '' then
  gone[#gone + 1] = session
end
if #gone > 0 then
  redis.call('ZREM', base .. 'crewx', unpack(gone))
  redis.call('HDEL', base .. 'crew', unpack(gone))
end
if ARGV[2] ~= '' then
  redis.call('ZADD', base .. 'crewx', now, session)
  redis.call('HSET', base .. 'crew', session, ARGV[2])
end
return 1
