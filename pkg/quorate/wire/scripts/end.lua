#!lua flags=allow-oom
-- end: a session is over now. Its row stays as a tombstone until it is purged.
-- idempotent
-- KEYS  1 sessions        ARGV  1 session
-- returns 1 | 0 when it was not alive
-- clock: server
-- include server_time
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ends or tonumber(ends) <= now then
  return 0
end
redis.call('ZADD', KEYS[1], 0, ARGV[1])
return 1
