-- dead: which sessions have ended and still have a row.
-- idempotent
-- KEYS  1 sessions        ARGV  1 at most so many
-- returns a list of sessions
-- clock: server
-- include server_time
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, tonumber(ARGV[1]))
